package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// routes is the loop's view of the edge. A change of one tenant's route is
// handed over as that; every route only when the edge does not have the version
// before.
type routes struct {
	edge Edge
	term int64

	mu      sync.Mutex
	version int64 // of the last set that was handed over
	byOrg   map[string]berth.Route
	refused map[string]error // by organization id: routes that are not in force
	holds   map[string]hold  // by organization id, of tenants whose requests wait
}

// hold is that a tenant's requests wait.
type hold struct {
	since  time.Time
	before []netip.AddrPort // where they went until then
}

func newRoutes(edge Edge, term int64) *routes {
	return &routes{edge: edge, term: term, byOrg: make(map[string]berth.Route), refused: make(map[string]error), holds: make(map[string]hold)}
}

// put puts one route in force and returns once it is. Only a change reaches
// the edge; moved tells whether it leads elsewhere now.
func (r *routes) put(route berth.Route) (moved bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	org := route.OrganizationID
	old, ok := r.byOrg[org]
	if _, held := r.holds[org]; route.State != berth.RouteHolding {
		delete(r.holds, org)
	} else if !held {
		r.holds[org] = hold{time.Now(), old.Upstreams}
	}
	if !ok || !old.Same(route) || r.refused[org] != nil {
		r.byOrg[org] = route
		r.handOver([]berth.Route{route}, nil)
	}
	return old.State != route.State || !slices.Equal(old.Upstreams, route.Upstreams), r.refused[org]
}

// drop takes a route away.
func (r *routes) drop(organizationID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.holds, organizationID)
	if _, ok := r.byOrg[organizationID]; ok {
		delete(r.byOrg, organizationID)
		r.handOver(nil, []string{organizationID})
	}
}

// replace puts many routes in force at once, and takes all others away.
func (r *routes) replace(all []berth.Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.byOrg)
	clear(r.holds)
	for _, route := range all {
		r.byOrg[route.OrganizationID] = route
		if route.State == berth.RouteHolding {
			r.holds[route.OrganizationID] = hold{since: time.Now()}
		}
	}
	r.handOverAll()
}

// held reports whether a tenant's requests wait, how long they have done so,
// and where they went before.
func (r *routes) held(organizationID string) (long time.Duration, before []netip.AddrPort, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.holds[organizationID]
	return time.Since(h.since), slices.Clone(h.before), ok
}

// renew lets a tenant's requests wait for as long again, if they do.
func (r *routes) renew(organizationID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.holds[organizationID]; ok {
		h.since = time.Now()
		r.holds[organizationID] = h
	}
}

// error is why the tenant's route is not in force, nil if it is.
func (r *routes) error(organizationID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused[organizationID]
}

// retry puts routes in force that were refused before, and returns the
// organizations whose routes now are.
func (r *routes) retry() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) == 0 {
		return nil
	}
	before := slices.Sorted(maps.Keys(r.refused))
	again := make([]berth.Route, 0, len(before))
	for _, org := range before {
		again = append(again, r.byOrg[org])
	}
	r.handOver(again, nil)
	return slices.DeleteFunc(before, func(org string) bool { return r.refused[org] != nil })
}

// leadsTo reports whether the tenant's route leads to exactly these addresses, in any
// order, once it is in force: retry sees to one that was refused.
func (r *routes) leadsTo(organizationID string, upstreams []netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	route, ok := r.byOrg[organizationID]
	return ok && slices.Equal(sorted(route.Upstreams), sorted(upstreams))
}

// handOver gives the edge the routes that changed, and takes others away. An edge
// that does not have the version before gets all routes. r.mu is held.
func (r *routes) handOver(put []berth.Route, removed []string) {
	since := r.version
	if since == 0 {
		r.handOverAll()
		return
	}
	r.version++
	report := r.edge.Apply(berth.RouteSet{Term: r.term, Version: r.version, Since: since, Routes: put, Removed: removed})
	if report.Term != r.term || report.Version != r.version {
		r.handOverAll()
		return
	}
	for _, route := range put {
		delete(r.refused, route.OrganizationID)
	}
	for _, org := range removed {
		delete(r.refused, org)
	}
	r.noteRefused(report)
}

// handOverAll gives the edge every route. r.mu is held.
func (r *routes) handOverAll() {
	r.version++
	set := berth.RouteSet{Term: r.term, Version: r.version, Routes: make([]berth.Route, 0, len(r.byOrg))}
	for _, route := range r.byOrg {
		set.Routes = append(set.Routes, route)
	}
	slices.SortFunc(set.Routes, func(a, b berth.Route) int { return a.Port - b.Port })
	clear(r.refused)
	r.noteRefused(r.edge.Apply(set))
}

func (r *routes) noteRefused(report berth.RouteReport) {
	for _, e := range report.Refused {
		r.refused[e.OrganizationID] = e.Err
	}
}

func sorted(list []netip.AddrPort) []netip.AddrPort {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}

// upstreams are the addresses of the instances that answer requests: those
// of the main service, which is the one with an address.
func upstreams(seen berth.Observed) []netip.AddrPort {
	var list []netip.AddrPort
	for _, c := range seen.Instances {
		if c.State == berth.InstanceRunning && c.Address.IsValid() {
			list = append(list, c.Address)
		}
	}
	return list
}

// restoreRoutes puts the routes of all tenants in force before the first pass, so
// that requests flow while the loop catches up. If the engine does not answer,
// ports answer that their tenant is not ready.
func (l *Loop) restoreRoutes(ctx context.Context) {
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
