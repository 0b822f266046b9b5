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
)

// Route leads from a tenant's external port to its instances.
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

// RouteSet is what an edge is told: every route, or what changed since the
// version before. Sets are ordered by term and then by version: a later term's
// first set is newer than all of the terms before it.
type RouteSet struct {
	Term    int64 // of the control plane that made it; 0 where there is one only
	Version int64 // rises within the term
	Since   int64 // the version in force, of the same term, that this one changes; 0: the set is whole
	Routes  []Route
	Removed []string // organization ids, in a change; in a whole set all that have no route are
}

// Newer reports whether the set comes after what was put in force last.
func (s RouteSet) Newer(term, version int64) bool {
	return s.Term > term || s.Term == term && s.Version > version
}

// RouteReport is what an edge has in force after it was given a set: the set's
// own version, unless it is an older one, or a change to routes that the edge
// does not have.
type RouteReport struct {
	Term    int64
	Version int64
	Refused []RouteError // routes of the set that could not be put in force
}

// RouteError is a route that could not be put in force; the others are.
type RouteError struct {
	OrganizationID string
	Port           int
	Err            error
}
