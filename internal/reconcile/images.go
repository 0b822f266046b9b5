package reconcile

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Collector is the capability of an engine to take an image away. What anyone
// else still uses or has a name for stays.
type Collector interface {
	Collect(ctx context.Context, i berth.PulledImage) error
}

const (
	keptReleases = 10        // good deployments of a tenant that a rollback can reach without a pull
	keptHistory  = 200       // deployments that are looked through for them
	freshImage   = time.Hour // an image that was pulled lately may be about to be used; a time in the future is a clock's fault
)

// collect takes away the images that Berth had pulled and that neither a tenant
// nor a rollback needs any more.
func (l *Loop) collect(ctx context.Context) {
	engine, ok := l.Engine.(Collector)
	info, up := l.breaker.get()
	if !ok || !up {
		return
	}
	var pulled []berth.PulledImage
	needed := map[string]bool{}
	err := l.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		if pulled, err = tx.ListImages(ctx, info.ID); err != nil || len(pulled) == 0 {
			return err
		}
		return l.needed(ctx, tx, needed)
	})
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("images could not be looked through", "error", err)
		}
		return
	}
	for _, i := range pulled {
		if needed[i.Pin] || time.Since(i.PulledAt).Abs() < freshImage {
			continue
		}
		if err := l.collectOne(ctx, engine, i); err != nil && ctx.Err() == nil {
			l.Log.Warn("image could not be collected", "image", i.Reference, "pin", i.Pin, "error", err)
		}
	}
}

// releases lists what tenants run and ran.
type releases interface {
	store.TenantLister
	ListDeployments(ctx context.Context, organizationID string, p store.Page) (page []berth.Deployment, next string, err error)
}

// needed marks the pins that living tenants run and can return to.
func (l *Loop) needed(ctx context.Context, tx releases, needed map[string]bool) error {
	mark := func(s *berth.Spec) {
		if s != nil {
			for _, pin := range s.Pins() {
				needed[pin] = true
			}
		}
	}
	for t, err := range store.EachTenant(ctx, tx, store.TenantFilter{}) {
		if err != nil {
			return err
		}
		mark(&t.Spec)
		history, _, err := tx.ListDeployments(ctx, t.OrganizationID, store.Page{Limit: keptHistory})
		if err != nil {
			return err
		}
		good := 0
		for _, d := range history {
			switch {
			case !d.Over():
				mark(&d.New)
				mark(d.Previous)
			case d.Status == berth.DeploymentCompleted && d.CanRollback && good < keptReleases:
				mark(&d.New)
				good++
			}
		}
	}
	return nil
}

func (l *Loop) collectOne(ctx context.Context, engine Collector, i berth.PulledImage) error {
	call, cancel := context.WithTimeout(ctx, l.CallDeadline)
	defer cancel()
	if err := engine.Collect(call, i); err != nil {
		return err
	}
	l.Log.Info("image collected", "image", i.Reference, "pin", i.Pin)
	return l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.DeleteImage(ctx, i.EngineID, i.Pin) })
}
