package sqlite_test

import (
	"maps"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One run of the suite has all statements prepared, which are then planned:
// each test begins with a copy of one database whose schema is up to date.
func TestStore(t *testing.T) {
	template := filepath.Join(t.TempDir(), "berth.db")
	if err := mustOpen(t, template).Close(); err != nil {
		t.Fatal(err)
	}
	statements := &seen{queries: map[string]bool{}}
	if !t.Run("Suite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			s := open(t, freshCopy(t, template))
			t.Cleanup(func() { statements.add(s.Statements()) })
			return s
		})
	}) {
		return
	}
	t.Run("every statement finds its rows by an index", func(t *testing.T) {
		planned(t, open(t, freshCopy(t, template)), statements.queries)
	})
}

// seen are statements that stores prepared.
type seen struct {
	mu      sync.Mutex
	queries map[string]bool
}

func (s *seen) add(queries map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.queries, queries)
}

// open opens a database that the test's cleanup closes.
func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
