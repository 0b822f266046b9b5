package lead_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/lead"
	"github.com/unite-hub/berth/internal/store"
)

// table is the row of one lease, by the clock of the test.
type table struct {
	mu    sync.Mutex
	held  store.Lease
	until time.Time
	down  atomic.Bool
}

var errDown = errors.New("database is away")

func (t *table) Acquire(_ context.Context, engineID, holder, _ string, ttl time.Duration) (store.Lease, bool, error) {
	if t.down.Load() {
		return store.Lease{}, false, errDown
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held.Holder != holder && time.Now().Before(t.until) {
		return store.Lease{}, false, nil
	}
	if t.held.Holder != holder {
		t.held = store.Lease{EngineID: engineID, Holder: holder, Fence: t.held.Fence + 1}
	}
	t.until = time.Now().Add(ttl)
	return t.held, true, nil
}

func (t *table) Renew(_ context.Context, l store.Lease, ttl time.Duration) (bool, error) {
	if t.down.Load() {
		return false, errDown
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != l {
		return false, nil
	}
	t.until = time.Now().Add(ttl)
	return true, nil
}

func (t *table) Release(_ context.Context, l store.Lease) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == l {
		t.until = time.Time{}
	}
	return nil
}

// plane is one control plane's part in the election.
type plane struct {
	name  string
	cut   atomic.Bool // from the database
	terms chan *lead.Term
	ended chan struct{} // one for each term that ended
	stop  context.CancelFunc
	over  chan error
}

// reach lets a plane be cut off alone.
type reach struct {
	*table
	p *plane
}

func (r reach) Acquire(ctx context.Context, engineID, holder, url string, ttl time.Duration) (store.Lease, bool, error) {
	if r.p.cut.Load() {
		return store.Lease{}, false, errDown
	}
	return r.table.Acquire(ctx, engineID, holder, url, ttl)
}

func (r reach) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (bool, error) {
	if r.p.cut.Load() {
		return false, errDown
	}
	return r.table.Renew(ctx, l, ttl)
}

func start(t *testing.T, db *table, name string) *plane {
	ctx, cancel := context.WithCancel(t.Context())
	p := &plane{name: name, terms: make(chan *lead.Term, 8), ended: make(chan struct{}, 8), stop: cancel, over: make(chan error, 1)}
	c := &lead.Candidate{
		Leases: reach{db, p}, EngineID: "e", Holder: name, Pace: lead.DefaultPace(), Log: slog.New(slog.DiscardHandler),
		Lead: func(ctx context.Context, term *lead.Term) error {
			p.terms <- term
			<-ctx.Done()
			p.ended <- struct{}{}
			return nil
		},
	}
	go func() { p.over <- c.Run(ctx) }()
	return p
}

func (p *plane) quit(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.over; err != nil {
		t.Error(err)
	}
}

// leads waits for a term and fails unless it began within d.
func (p *plane) leads(t *testing.T, d time.Duration) *lead.Term {
	t.Helper()
	select {
	case term := <-p.terms:
		return term
	case <-time.After(d):
		t.Fatalf("%s does not lead after %v", p.name, d)
		return nil
	}
}

func TestOneLeadsAndAnotherTakesOverWithinFiveSecondsOfItsDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		a := start(t, db, "a")
		first := a.leads(t, time.Second)
		b := start(t, db, "b")
		select {
		case <-b.terms:
			t.Fatal("two lead")
		case <-time.After(time.Minute):
		}
		if err := first.Check(); err != nil {
			t.Fatalf("after a minute of renewals: %v", err)
		}
		a.cut.Store(true) // as good as dead for the database
		second := b.leads(t, 5*time.Second)
		if !berth.Is(first.Check(), berth.CodeNotLeading) {
			t.Error("two act at once")
		}
		if second.Lease.Fence <= first.Lease.Fence {
			t.Errorf("fence %d follows %d", second.Lease.Fence, first.Lease.Fence)
		}
		a.cut.Store(false)
		select {
		case <-a.ended: // it hears that it was replaced
		case <-time.After(2 * time.Second):
			t.Error("the one before goes on")
		}
		a.quit(t)
		b.quit(t)
	})
}

func TestTheLeaseIsGivenBackAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		a := start(t, db, "a")
		a.leads(t, time.Second)
		b := start(t, db, "b")
		synctest.Wait()
		a.quit(t)
		b.leads(t, 600*time.Millisecond)
		b.quit(t)
	})
}

func TestADatabaseThatIsAwayEndsNoTermButNothingIsDoneInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		a := start(t, db, "a")
		term := a.leads(t, time.Second)
		db.down.Store(true)
		<-time.After(time.Minute)
		select {
		case <-a.ended:
			t.Fatal("the term ended: the edge would have closed its ports")
		default:
		}
		if !berth.Is(term.Check(), berth.CodeNotLeading) {
			t.Error("acts without a lease")
		}
		db.down.Store(false)
		<-time.After(2 * time.Second)
		if err := term.Check(); err != nil {
			t.Errorf("the database is back: %v", err)
		}
		a.quit(t)
	})
}

func TestAHolderThatWasStoppedForAMinuteKnowsBeforeItActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &table{}
		// Nothing renews this term: its process stands still.
		lease, _, _ := db.Acquire(t.Context(), "e", "a", "", 3*time.Second)
		hold := make(chan struct{})
		c := &lead.Candidate{
			Leases: db, EngineID: "e", Holder: "a", Pace: lead.Pace{TTL: 3 * time.Second, Renew: time.Hour, Retry: time.Second}, Log: slog.New(slog.DiscardHandler),
			Lead: func(_ context.Context, term *lead.Term) error {
				if term.Lease != lease {
					t.Errorf("held %+v, got %+v", lease, term.Lease)
				}
				<-time.After(time.Minute)
				if !berth.Is(term.Check(), berth.CodeNotLeading) {
					t.Error("acts on a lease of a minute ago")
				}
				close(hold)
				return errors.New("enough")
			},
		}
		if err := c.Run(t.Context()); err == nil || err.Error() != "enough" {
			t.Errorf("what Lead returned is lost: %v", err)
		}
		<-hold
	})
}
