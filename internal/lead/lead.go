// Package lead has one control plane at a time act for an engine. The others
// stand by, and one of them takes over when the lease of the first runs out.
//
// A lease is a row in the shared database. Whoever was stopped for a while and
// goes on can't know that another has taken over: so the database checks each
// write (store.Leases.Under), and Term.Check, by this process's own clock, goes
// before each call to an engine.
package lead

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Leases are the part of store.Leases that is needed here.
type Leases interface {
	Acquire(ctx context.Context, engineID, holder, url string, ttl time.Duration) (l store.Lease, ok bool, err error)
	Renew(ctx context.Context, l store.Lease, ttl time.Duration) (ok bool, err error)
	Release(ctx context.Context, l store.Lease) error
}

// Pace is how leases are kept. With the defaults another control plane leads
// within 4 s of the end of the one before.
type Pace struct {
	TTL   time.Duration // of a lease; 3 s
	Renew time.Duration // between renewals; 1 s
	Retry time.Duration // between attempts to take one; 500 ms
}

// DefaultPace returns the defaults.
func DefaultPace() Pace {
	return Pace{TTL: 3 * time.Second, Renew: time.Second, Retry: 500 * time.Millisecond}
}

// margin is the part of a lease's life in which its holder does nothing any
// more: for what passes between a look at the clock and the act.
const margin = 6 // of TTL

// callDeadline bounds one call to the database, in parts of the lease's life.
const callDeadline = 2

// Term is the time for which a lease is held.
type Term struct {
	Lease store.Lease

	mu    sync.Mutex
	until time.Time // by the monotonic clock
}

// Check returns CodeNotLeading once the lease may have run out. That it may be
// renewed yet does not matter: until then nothing is done.
func (t *Term) Check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return nil
	}
	return berth.Errorf(berth.CodeNotLeading, "This control plane does not lead engine %s now", t.Lease.EngineID).
		WithHint("it goes on when the database answers, unless another control plane has taken over")
}

// extend counts from before the call that prolonged the lease was sent.
func (t *Term) extend(asked time.Time, ttl time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = asked.Add(ttl - ttl/margin)
}

// Candidate stands for one lease.
type Candidate struct {
	Leases   Leases
	EngineID string // or store.Installation
	Holder   string
	URL      string // where this control plane is reached
	Pace     Pace
	Log      *slog.Logger

	// Waits is called when the lease turns out to be another's, or can't be asked
	// for. May be nil.
	Waits func()

	// Lead acts until ctx ends, which it does when another has taken over or Run
	// is to end. While the database can't be reached nobody can have taken over:
	// ctx goes on, and Check refuses.
	Lead func(ctx context.Context, t *Term) error
}

// Run stands for the lease, and leads whenever it is held, until ctx ends. It
// gives the lease back when Lead has returned.
func (c *Candidate) Run(ctx context.Context) error {
	for {
		term, err := c.campaign(ctx)
		if err != nil {
			return nil // ctx ended
		}
		c.Log.Info("leading", "engine", c.EngineID, "fence", term.Lease.Fence)
		err = c.hold(ctx, term)
		if err != nil || ctx.Err() != nil {
			c.release(ctx, term)
			return err
		}
		c.Log.Warn("another control plane leads", "engine", c.EngineID)
	}
}

// campaign asks for the lease until it is had or ctx ends.
func (c *Candidate) campaign(ctx context.Context) (*Term, error) {
	troubled := false
	for {
		asked := time.Now()
		call, cancel := context.WithTimeout(ctx, c.Pace.TTL/callDeadline)
		lease, ok, err := c.Leases.Acquire(call, c.EngineID, c.Holder, c.URL, c.Pace.TTL)
		cancel()
		if err == nil && ok {
			t := &Term{Lease: lease}
			t.extend(asked, c.Pace.TTL)
			return t, nil
		}
		if failed := err != nil && ctx.Err() == nil; failed != troubled {
			troubled = failed
			if failed {
				c.Log.Warn("lease can't be asked for", "engine", c.EngineID, "error", err)
			}
		}
		if c.Waits != nil {
			c.Waits()
		}
		if !pause(ctx, c.Pace.Retry) {
			return nil, ctx.Err()
		}
	}
}

// hold leads and renews until the lease is another's, Lead returns or ctx ends.
func (c *Candidate) hold(ctx context.Context, t *Term) error {
	ctx, lost := context.WithCancel(ctx)
	defer lost()
	ended := make(chan error, 1)
	go func() { ended <- c.Lead(ctx, t) }()
	tick := time.NewTicker(c.Pace.Renew)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			// Also after ctx has ended, while Lead finishes what it does.
			if !c.renew(context.WithoutCancel(ctx), t) {
				lost()
				return <-ended
			}
		}
	}
}

// renew reports whether the lease may still be held.
func (c *Candidate) renew(ctx context.Context, t *Term) bool {
	asked := time.Now()
	call, cancel := context.WithTimeout(ctx, c.Pace.TTL/callDeadline)
	defer cancel()
	ok, err := c.Leases.Renew(call, t.Lease, c.Pace.TTL)
	switch {
	case err != nil:
		c.Log.Warn("lease can't be renewed", "engine", c.EngineID, "error", err)
		return true // nobody can tell; Check decides
	case ok:
		t.extend(asked, c.Pace.TTL)
	}
	return ok
}

func (c *Candidate) release(ctx context.Context, t *Term) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Pace.TTL/callDeadline)
	defer cancel()
	if err := c.Leases.Release(call, t.Lease); err != nil {
		c.Log.Warn("lease could not be given back: it runs out by itself", "engine", c.EngineID, "error", err)
	}
}

// pause waits; false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
