package postgres_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

// A server of its own is killed, started and stopped in its tracks, while
// writers order.
func TestWhatWasAcknowledgedOutlivesTheServer(t *testing.T) {
	ctx := t.Context()
	own, err := testbed.StartPostgres(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s := open(t, own.URL("postgres"))

	var mu sync.Mutex
	outcome := map[int]error{}
	stop, done := context.WithCancel(ctx)
	defer done()
	var wg sync.WaitGroup
	for writer := range 4 {
		wg.Go(func() {
			for n := writer; n < 20_000 && stop.Err() == nil; n += 4 {
				err := tryInsert(ctx, s, n)
				mu.Lock()
				outcome[n] = err
				mu.Unlock()
			}
		})
	}
	acknowledged := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, err := range outcome {
			if err == nil {
				n++
			}
		}
		return n
	}
	more := func() {
		t.Helper()
		before := acknowledged()
		until(t, "orders are acknowledged", func() bool { return acknowledged() > before+10 })
	}
	for range 3 {
		more()
		if err := own.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := own.Start(ctx); err != nil {
			t.Fatal(err)
		}
		more()
		if err := own.Pause(); err != nil {
			t.Fatal(err)
		}
		asked, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		if err := tryInsert(asked, s, 30_000); err == nil {
			t.Error("a server that stands still acknowledged")
		}
		cancel()
		if err := own.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	done()
	wg.Wait()

	there := ports(t, s)
	lost, unknown := 0, 0
	for n, err := range outcome {
		stored := slices.Contains(there, newTenant(n).ExternalPort)
		switch {
		case berth.Is(err, berth.CodeOutcomeUnknown):
			unknown++
		case stored != (err == nil):
			t.Errorf("order %d: stored %v, but its answer was %v", n, stored, err)
		case err != nil:
			lost++
			if !berth.Is(err, berth.CodeStorageUnavailable) {
				t.Errorf("order %d: %v", n, err)
			}
		}
	}
	t.Logf("%d orders: %d refused, %d unknown", len(outcome), lost, unknown)
}
