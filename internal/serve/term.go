package serve

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/store"
)

// term is a time in which this control plane runs its engine: the parts that
// touch engine and edge, made anew for each, as at a start of the process.
type term struct {
	*server
	store    store.Store // refuses writes once the term is over
	edge     *edge.Edge
	loop     *reconcile.Loop
	watchers watchers
}

// newTerm makes the parts of a term; nothing of it runs yet. engineID is set
// where other control planes may lead other engines; check refuses once the term
// is over.
func (s *server) newTerm(st store.Store, engineID string, check func() error) *term {
	t := &term{server: s, store: st, edge: edge.New(s.edgeOptions())}
	vitals, engine := &vitals{}, &guarded{Engine: s.engine, check: check}
	t.loop = reconcile.New(reconcile.Config{
		Patience: s.Patience, Observe: s.Observe, MoveDrain: s.MoveDrain, Pool: s.pool, HostNetworks: hostNetworks, EngineID: engineID,
	}, reconcile.Parts{
		Store: st, Engine: engine, Edge: t.edge, Prober: s.prober, Files: s.files, Secrets: s.box, Vitals: vitals, Log: s.log,
		Ended: s.tracer.record, Left: func() { vitals.Poke() },
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) }),
	})
	t.watchers = t.newWatchers()
	vitals.Monitor, engine.meter = t.watchers.monitor, t.watchers.meter
	return t
}

func (s *server) edgeOptions() edge.Options {
	return edge.Options{ListenHost: s.TenantListen, Pool: s.pool, Log: s.log, HoldDeadline: s.Hold, DrainDeadline: s.Drain}
}

// run leads until ctx ends. ready is called once the routes of all tenants are
// in force. The requests that the edge has then are finished after run returns:
// its ports are closed, so that whoever leads next can open them.
func (t *term) run(ctx context.Context, ready func()) error {
	g, ctx := errgroup.WithContext(ctx)
	broken := make(chan error, 1)
	t.edges.Go(func() {
		err := t.edge.Run(ctx)
		if err != nil && ctx.Err() != nil {
			t.log.Warn("edge did not end well", "error", err)
		}
		broken <- err
	})
	g.Go(func() error {
		select {
		case err := <-broken:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return t.loop.Run(ctx, ready) })
	g.Go(func() error { return t.watchers.monitor.Run(ctx) })
	g.Go(func() error { return t.watchers.meter.Run(ctx) })
	return g.Wait()
}
