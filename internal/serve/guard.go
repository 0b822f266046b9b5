package serve

import (
	"context"
	"net/http"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/meter"
)

// guarded is the engine as a term's loop uses it: each call looks first whether
// the term still has the right to act, one that changes something before each of
// its requests, and processes that were killed are told to the meter, which is
// made after it.
type guarded struct {
	*docker.Engine
	check func() error
	meter *meter.Meter
}

// checkKey is what a context holds a term's check under.
type checkKey struct{}

func (g *guarded) under(ctx context.Context) context.Context {
	return context.WithValue(ctx, checkKey{}, g.check)
}

// mayAsk refuses a request to the engine that belongs to a term which is over:
// between two requests of one call a process may have stood still.
func mayAsk(r *http.Request) error {
	if check, ok := r.Context().Value(checkKey{}).(func() error); ok {
		return check()
	}
	return nil
}

// Info implements reconcile.Engine.
func (g *guarded) Info(ctx context.Context) (info berth.EngineInfo, err error) {
	if err := g.check(); err != nil {
		return info, err
	}
	return g.Engine.Info(ctx)
}

// Resolve implements reconcile.Engine.
func (g *guarded) Resolve(ctx context.Context, reference string, cred *berth.Credential, progress func(berth.Progress)) (string, error) {
	if err := g.check(); err != nil {
		return "", err
	}
	return g.Engine.Resolve(g.under(ctx), reference, cred, progress)
}

// Observe implements reconcile.Engine.
func (g *guarded) Observe(ctx context.Context, organizationID string) (o berth.Observed, err error) {
	if err := g.check(); err != nil {
		return o, err
	}
	return g.Engine.Observe(ctx, organizationID)
}

// List implements reconcile.Engine.
func (g *guarded) List(ctx context.Context) (i berth.Inventory, err error) {
	if err := g.check(); err != nil {
		return i, err
	}
	return g.Engine.List(ctx)
}

// Apply implements reconcile.Engine.
func (g *guarded) Apply(ctx context.Context, stack berth.Stack) (o berth.Observed, err error) {
	if err := g.check(); err != nil {
		return o, err
	}
	return g.Engine.Apply(g.under(ctx), stack)
}

// Remove implements reconcile.Engine.
func (g *guarded) Remove(ctx context.Context, r berth.Removal) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Engine.Remove(g.under(ctx), r)
}

// Revive implements reconcile.Reviver.
func (g *guarded) Revive(ctx context.Context, organizationID, containerID string) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Engine.Revive(g.under(ctx), organizationID, containerID)
}

// Rest implements reconcile.Reviver.
func (g *guarded) Rest(ctx context.Context, organizationID, containerID string) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Engine.Rest(g.under(ctx), organizationID, containerID)
}

// Adopt implements reconcile.Adopter.
func (g *guarded) Adopt(ctx context.Context, a berth.Adoption) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Engine.Adopt(g.under(ctx), a)
}

// Collect implements reconcile.Collector.
func (g *guarded) Collect(ctx context.Context, i berth.PulledImage) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Engine.Collect(g.under(ctx), i)
}

// Watch implements reconcile.Engine.
func (g *guarded) Watch(ctx context.Context, hint func(berth.Hint)) error {
	if err := g.check(); err != nil {
		return err
	}
	return g.Engine.Watch(ctx, func(it berth.Hint) {
		if it.OOM {
			g.meter.Killed(it.OrganizationID)
		}
		hint(it)
	})
}
