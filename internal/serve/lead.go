package serve

import (
	"context"
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

// alone leads for as long as the process lives: nobody else has the database.
func (s *server) alone(ctx context.Context, ready func()) error {
	t := s.newTerm(s.store, "", func() error { return nil })
	s.helm.term.Store(t)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.run(ctx, ready) })
	g.Go(func() error { return s.chores(ctx, s.store) })
	return g.Wait()
}

// stand stands for the lease on the engine and for the one on the
// installation, beside the other control planes of the database.
func (s *server) stand(ctx context.Context, ready func()) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return s.candidate(store.Installation, func(ctx context.Context, t *lead.Term) error {
			st := s.shared.Under(t.Lease)
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return s.chores(ctx, st) })
			g.Go(func() error { return s.orphans(ctx, st) })
			return g.Wait()
		}).Run(ctx)
	})
	g.Go(func() error { return s.standForEngine(ctx, ready) })
	g.Go(func() error {
		err := s.shared.Listen(ctx, func(organizationID string) {
			if organizationID != "" { // a new connection: the loop's own look finds what was missed
				s.helm.Enqueue(organizationID)
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return g.Wait()
}

func (s *server) candidate(engineID string, act func(context.Context, *lead.Term) error) *lead.Candidate {
	return &lead.Candidate{
		Leases: s.shared, EngineID: engineID, Holder: s.holder, URL: "http://" + s.listener.Addr().String(),
		Pace: lead.DefaultPace(), Log: s.log, Lead: act,
	}
}

// standForEngine finds out which engine there is and stands for it. ready is
// called once the first term is in force, or another control plane leads, or the
// engine does not answer.
func (s *server) standForEngine(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	for ctx.Err() == nil {
		info, err := s.findEngine(ctx, ready)
		if err != nil {
			return nil // ctx ended
		}
		standing, stop := context.WithCancel(ctx)
		c := s.candidate(info.ID, func(ctx context.Context, l *lead.Term) error {
			t := s.newTerm(s.shared.Under(l.Lease), info.ID, l.Check)
			s.helm.term.Store(t)
			defer s.helm.term.Store(nil)
			return t.run(ctx, ready)
		})
		c.Waits = ready
		g, gctx := errgroup.WithContext(standing)
		g.Go(func() error { return c.Run(gctx) })
		g.Go(func() error {
			defer stop() // another engine answers: stand for that one
			return s.sameEngine(gctx, info.ID)
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
func (s *server) findEngine(ctx context.Context, ready func()) (berth.EngineInfo, error) {
	for {
		info, err := s.askEngine(ctx)
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

// sameEngine returns when another engine answers in the place of the one with
// that id.
func (s *server) sameEngine(ctx context.Context, id string) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(engineLook):
		}
		if info, err := s.askEngine(ctx); err == nil && info.ID != id {
			s.log.Warn("another engine answers", "engine", info.ID, "before", id)
			return nil
		}
	}
}

func (s *server) askEngine(ctx context.Context) (berth.EngineInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, engineLook)
	defer cancel()
	info, err := s.engine.Info(ctx)
	s.helm.heard(info, err)
	return info, err
}

// chores are what one control plane does for all engines.
func (s *server) chores(ctx context.Context, st store.Store) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.notifier(st).Run(ctx) })
	for _, run := range s.keepers(st) {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}
