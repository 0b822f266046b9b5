package berth

import (
	"net/netip"
	"slices"
)

// RouteState says what the edge does with a request for a tenant.
type RouteState string

const (
	RouteServing  RouteState = "serving"  // forward
	RouteStarting RouteState = "starting" // forward if something answers, else 503
	RouteHolding  RouteState = "holding"  // keep requests waiting, up to a deadline, then 503
	RouteUnready  RouteState = "unready"  // 503: it runs, and is not well
	RouteStopped  RouteState = "stopped"  // 503
	RouteFailed   RouteState = "failed"   // 503
)

// Route leads from a tenant's external port to its containers.
type Route struct {
	OrganizationID string
	Name           string // of the tenant, for messages
	Port           int    // external
	State          RouteState
	Generation     int
	Upstreams      []netip.AddrPort // in turn
	Subnet         netip.Prefix     // of the tenant: the only source inside Berth's pool that may use the route
}

// Same reports whether two routes mean the same.
func (r Route) Same(o Route) bool {
	return r.OrganizationID == o.OrganizationID && r.Name == o.Name && r.Port == o.Port && r.State == o.State &&
		r.Generation == o.Generation && r.Subnet == o.Subnet && slices.Equal(r.Upstreams, o.Upstreams)
}

// RouteSet is every route, replaced as a whole.
type RouteSet struct {
	Version int64
	Routes  []Route
}

// RouteError is a route that could not be put in force; the others are.
type RouteError struct {
	OrganizationID string
	Port           int
	Err            error
}
