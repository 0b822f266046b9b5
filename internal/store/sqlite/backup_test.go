package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func TestABackupWhileWritingHoldsAPrefixOfTheCommits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "berth.db"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	commits, more := 0, sync.NewCond(&mu)
	wg.Go(func() {
		defer func() {
			mu.Lock()
			commits = 1 << 30 // let nobody wait
			mu.Unlock()
			more.Broadcast()
		}()
		for n := 0; n < 5000; n++ {
			err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return order(ctx, tx, n) })
			if errors.Is(err, context.Canceled) {
				return
			}
			if err != nil {
				t.Errorf("commit %d: %v", n, err)
				return
			}
			mu.Lock()
			commits++
			mu.Unlock()
			more.Broadcast()
		}
	})
	atLeast := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		for commits < n {
			more.Wait()
		}
		return commits
	}
	for i := range 5 {
		before := atLeast((i + 1) * 10)
		path := filepath.Join(dir, "copy"+string(rune('a'+i)))
		if err := s.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		after := atLeast(0) + 1 // one more may be there before its writer has counted it
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the copy has mode %v (%v)", info.Mode(), err)
		}
		if got := integrity(t, path); got != "ok" {
			t.Fatalf("integrity check of the copy: %s", got)
		}
		if got := prefixOf(t, path); got < before || got > after {
			t.Errorf("the copy holds %d commits; there were %d before it and %d after", got, before, after)
		}
	}
	stop()
	wg.Wait()
}

// prefixOf opens a copy and returns how many orders it holds, each whole.
func prefixOf(t *testing.T, path string) (orders int) {
	t.Helper()
	s := mustOpen(t, path)
	defer s.Close()
	ctx := t.Context()
	err := s.View(ctx, berth.System(), func(tx store.Tx) error {
		ports, err := tx.TakenPorts(ctx)
		if err != nil {
			return err
		}
		first, err := tx.Tenant(ctx, orgID(0))
		if err != nil {
			return err
		}
		orders = len(ports)
		if first.Generation != orders-1 {
			t.Errorf("%d orders, but generation %d", orders, first.Generation)
		}
		for n := range orders {
			if ports[n] != 3001+n {
				t.Errorf("order %d is missing", n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return orders
}

func TestAFailedBackupLeavesNoFile(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := s.Backup(ended, filepath.Join(dir, "copy")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left %v (%v)", entries, err)
	}
	err := s.Backup(t.Context(), filepath.Join(dir, "nowhere", "copy"))
	if !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("got %v, want %s", err, berth.CodeStorageUnavailable)
	}
}

func TestABackupOfADiskThatFailsLeavesNoFile(t *testing.T) {
	d, query := newDisk(t, 0, errors.New("device gone"))
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db"), Query: query})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d.cut()
	dir := t.TempDir()
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy")); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("got %v, want %s", err, berth.CodeStorageUnavailable)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left %v (%v)", entries, err)
	}
}

func TestABackupNeverReplacesAFile(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"))
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); !berth.Is(err, berth.CodeInvalidRequest) {
		t.Errorf("got %v, want %s", err, berth.CodeInvalidRequest)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "precious" {
		t.Errorf("the file holds %q now (%v)", got, err)
	}
}
