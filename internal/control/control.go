// Package control leads: it runs the parts that touch engine and edge for as
// long as this control plane may, and shows the API what is known of them, here
// or wherever another control plane leads.
//
// With a database of its own, a control plane leads for as long as it lives.
// Where several share one, package lead decides: one of them leads each engine,
// one does the chores of the installation, and each may be another one.
package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/lead"
	"github.com/unite-hub/berth/internal/store"
)

// engineLook is how often an engine is asked for its id while nobody leads it
// here, and how long it may take.
const engineLook = 2 * time.Second

// Shared is a database that several control planes may have open.
type Shared interface {
	store.Leases
	// Listen calls ring for each tenant that another control plane took an order
	// for, until ctx ends. Rings may be lost. It rings "" for a new connection.
	Listen(ctx context.Context, ring func(organizationID string)) error
}

// Config is what a Control works with.
type Config struct {
	Store  store.Store
	Shared Shared // the same database, where several control planes may have it; else nil
	Engine Engine
	View   *View
	Holder string // of leases; another with each process
	URL    string // where this control plane is reached
	Log    *slog.Logger

	// NewTerm makes the parts of a term; nothing of it runs yet. The store refuses
	// writes once the term is over, and so does check, which goes before each
	// request to the engine. The lease is empty where nobody else has the
	// database.
	NewTerm func(st store.Store, lease store.Lease, check func() error) (*Term, error)

	// Chores are what one control plane does for all engines: each runs until its
	// ctx ends.
	Chores func(st store.Store) []func(ctx context.Context) error
}

// Control leads. New makes one.
type Control struct {
	Config
	edges sync.WaitGroup // that finish their requests
}

// New returns a Control that does nothing until Run.
func New(c Config) *Control { return &Control{Config: c} }

// Run leads whenever it may, until ctx ends. ready is called once the first term
// is in force, or it is known that there is none yet: another control plane
// leads, or the engine does not answer. Edges may finish requests after it: see
// Wait.
func (c *Control) Run(ctx context.Context, ready func()) error {
	if c.Shared == nil {
		return c.leadAlone(ctx, ready)
	}
	return c.contend(ctx, ready)
}

// Wait returns when no edge of a term has a request under way any more. It is
// called after Run.
func (c *Control) Wait() { c.edges.Wait() }

// leadAlone leads for as long as the process lives: nobody else has the database.
func (c *Control) leadAlone(ctx context.Context, ready func()) error {
	t, err := c.NewTerm(c.Store, store.Lease{}, func() error { return nil })
	if err != nil {
		return err
	}
	c.View.term.Store(t)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.run(ctx, ready, &c.edges, c.Log) })
	g.Go(func() error { return runAll(ctx, c.Chores(c.Store)) })
	return g.Wait()
}

// contend asks for the lease on the engine and for the one on the installation,
// beside the other control planes of the database.
func (c *Control) contend(ctx context.Context, ready func()) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return c.candidate(store.Installation, func(ctx context.Context, t *lead.Term) error {
			st := c.Shared.Under(t.Lease)
			orphans := &orphans{leases: c.Shared, store: st, log: c.Log}
			return runAll(ctx, append(c.Chores(st), orphans.run))
		}).Run(ctx)
	})
	g.Go(func() error { return c.contendForEngine(ctx, ready) })
	g.Go(func() error {
		err := c.Shared.Listen(ctx, func(organizationID string) {
			if organizationID != "" { // after a new connection the loop's own look finds what was missed
				c.View.Enqueue(organizationID)
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return g.Wait()
}

func (c *Control) candidate(engineID string, act func(context.Context, *lead.Term) error) *lead.Candidate {
	return &lead.Candidate{
		Leases: c.Shared, EngineID: engineID, Holder: c.Holder, URL: c.URL, Pace: lead.DefaultPace(), Log: c.Log, Lead: act,
	}
}

// contendForEngine finds out which engine there is and asks for its lease. ready
// is called once the first term is in force, or another control plane leads, or
// the engine does not answer.
func (c *Control) contendForEngine(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	for ctx.Err() == nil {
		info, err := c.findEngine(ctx, ready)
		if err != nil {
			return nil // ctx ended
		}
		whileSame, stop := context.WithCancel(ctx)
		candidate := c.candidate(info.ID, func(ctx context.Context, l *lead.Term) error {
			t, err := c.NewTerm(c.Shared.Under(l.Lease), l.Lease, l.Check)
			if err != nil {
				return err
			}
			c.View.term.Store(t)
			defer c.View.term.Store(nil)
			return t.run(ctx, ready, &c.edges, c.Log)
		})
		candidate.Waits = ready
		g, gctx := errgroup.WithContext(whileSame)
		g.Go(func() error { return candidate.Run(gctx) })
		g.Go(func() error {
			defer stop() // another engine answers: its lease is asked for next
			return c.whileSameEngine(gctx, info.ID)
		})
		err = g.Wait()
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// findEngine asks until the engine tells its id.
func (c *Control) findEngine(ctx context.Context, ready func()) (berth.EngineInfo, error) {
	for {
		info, err := c.askEngine(ctx)
		if err == nil {
			return info, nil
		}
		ready()
		select {
		case <-ctx.Done():
			return info, ctx.Err()
		case <-time.After(engineLook):
		}
	}
}

// whileSameEngine returns when another engine answers in the place of the one
// with that id.
func (c *Control) whileSameEngine(ctx context.Context, id string) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(engineLook):
		}
		if info, err := c.askEngine(ctx); err == nil && info.ID != id {
			c.Log.Warn("another engine answers", "engine", info.ID, "before", id)
			return nil
		}
	}
}

func (c *Control) askEngine(ctx context.Context) (berth.EngineInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, engineLook)
	defer cancel()
	info, err := c.Engine.Info(ctx)
	c.View.setEngineInfo(info, err)
	return info, err
}

// runAll runs parts until ctx ends or one of them fails.
func runAll(ctx context.Context, parts []func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range parts {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}
