package reconcile

import (
	"context"
	"slices"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// restore puts the routes of all tenants in force before the first pass, so
// that requests flow while the loop catches up. If the engine does not answer,
// ports answer that their tenant is not ready.
func (l *Loop) restore(ctx context.Context) {
	inventory, err := l.listEngine(ctx)
	if err != nil {
		l.Log.Warn("routes are restored without the engine", "error", err)
		ctx = context.WithoutCancel(ctx)
	}
	all, there := []berth.Route{}, byOrganization(inventory)
	err = l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		all = all[:0]
		return l.eachTenant(ctx, tx, func(t berth.Tenant, deployment string) error {
			if t.Want != berth.WantGone {
				all = append(all, formerRoute(t, deployment != "", there[t.OrganizationID]))
			}
			return nil
		})
	})
	if err != nil {
		l.Log.Error("routes could not be restored", "error", err)
		return
	}
	l.routes.replace(all)
}

// formerRoute is the route that a tenant gets before its first pass, made from
// what is recorded and from what the engine shows: seen is nil if the engine did
// not answer, or has nothing of the tenant.
func formerRoute(t berth.Tenant, changing bool, seen *berth.Observed) berth.Route {
	r := berth.Route{
		OrganizationID: t.OrganizationID, Name: t.Name, Port: t.ExternalPort,
		State: berth.RouteStopped, Generation: t.Generation, Subnet: t.Subnet,
	}
	if t.Want != berth.WantRunning {
		return r
	}
	if seen != nil {
		there := *seen
		there.Instances = slices.DeleteFunc(slices.Clone(there.Instances), func(c berth.Instance) bool { return !believed(t, changing, c) })
		r.Upstreams = upstreams(there)
	}
	switch {
	case len(r.Upstreams) > 0:
		r.State = berth.RouteServing
	case changing && t.Status == berth.StatusRunning:
		r.State = berth.RouteHolding // as before the end
	default:
		r.State = berth.RouteStarting
	}
	return r
}
