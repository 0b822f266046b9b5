package reconcile

import (
	"context"
	"slices"

	"github.com/unite-hub/berth"
)

// restore puts the routes of all tenants in force before the first pass, so
// that requests flow while the loop catches up. If the engine does not answer,
// ports answer that their tenant is not ready.
func (l *Loop) restore(ctx context.Context) {
	f, err := l.takeSnapshot(ctx)
	if err != nil {
		l.Log.Warn("routes are restored without the engine", "error", err)
		if err := l.readStore(context.WithoutCancel(ctx), &f, false); err != nil {
			l.Log.Error("routes could not be restored", "error", err)
			return
		}
	}
	all := make([]berth.Route, 0, len(f.tenants))
	for _, t := range f.tenants {
		r := berth.Route{
			OrganizationID: t.OrganizationID, Name: t.Name, Port: t.ExternalPort,
			State: berth.RouteStopped, Generation: t.Generation, Subnet: t.Subnet,
		}
		switch t.Want {
		case berth.WantGone:
			continue
		case berth.WantRunning:
			changing := f.open[t.OrganizationID] != ""
			seen := f.seen[t.OrganizationID]
			seen.Instances = slices.DeleteFunc(slices.Clone(seen.Instances), func(c berth.Instance) bool { return !believed(t, changing, c) })
			r.Upstreams = upstreams(seen)
			switch {
			case len(r.Upstreams) > 0:
				r.State = berth.RouteServing
			case changing && t.Status == berth.StatusRunning:
				r.State = berth.RouteHolding // as before the end
			default:
				r.State = berth.RouteStarting
			}
		}
		all = append(all, r)
	}
	l.routes.replace(all)
}
