package edge

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/unite-hub/berth"
)

// Apply puts a route set in force and returns once it is; its cost is that of
// what the set holds. Routes that could not be put in force are reported, and
// tried again with the next set that holds them. A set that is not newer than
// what is in force changes nothing, nor does a change to another version than
// that: the report says which is, and whoever sees it sends a whole set.
func (e *Edge) Apply(set berth.RouteSet) berth.RouteReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return berth.RouteReport{Term: set.Term, Version: set.Version, Refused: refuseAll(set.Routes)}
	}
	follows := set.Since == 0 || set.Term == e.term && set.Since == e.version
	if !follows || !set.Newer(e.term, e.version) {
		return berth.RouteReport{Term: e.term, Version: e.version, Refused: slices.Collect(maps.Values(e.refused))}
	}
	e.term, e.version = set.Term, set.Version

	// A port that changes hands is closed before it is opened again: the old
	// tenant's connections must not lead to the new one.
	for _, l := range e.removed(set) {
		e.remove(l)
	}
	report := berth.RouteReport{Term: set.Term, Version: set.Version}
	for _, r := range set.Routes {
		if err := e.put(r); err != nil {
			refused := berth.RouteError{OrganizationID: r.OrganizationID, Port: r.Port, Err: err}
			e.refused[r.OrganizationID] = refused
			report.Refused = append(report.Refused, refused)
		}
	}
	return report
}

// removed are the listeners that the set has no route for. e.mu is held.
func (e *Edge) removed(set berth.RouteSet) (list []*listener) {
	if set.Since != 0 {
		for _, org := range set.Removed {
			delete(e.refused, org)
			if l := e.byOrg[org]; l != nil {
				list = append(list, l)
			}
		}
		for _, r := range set.Routes {
			delete(e.refused, r.OrganizationID)
			if l := e.byOrg[r.OrganizationID]; l != nil && l.port != r.Port {
				list = append(list, l)
			}
		}
		return list
	}
	clear(e.refused)
	wanted := make(map[int]string, len(set.Routes)) // organization id by port
	for _, r := range set.Routes {
		if _, twice := wanted[r.Port]; !twice {
			wanted[r.Port] = r.OrganizationID
		}
	}
	for port, l := range e.byPort {
		if org, ok := wanted[port]; !ok || org != l.org {
			list = append(list, l)
		}
	}
	return list
}

// remove takes a listener's route away; requests under way are finished. e.mu
// is held.
func (e *Edge) remove(l *listener) {
	if e.byPort[l.port] != l {
		return // named twice
	}
	l.close()
	e.descriptors.give(1)
	delete(e.byPort, l.port)
	delete(e.byOrg, l.org)
	if t := l.target(); t != nil {
		e.subnets.drop(t.route.Subnet)
	}
	l.lead(nil)
	e.leaving.Go(func() {
		deadline, cancel := context.WithTimeout(context.Background(), e.opts.DrainDeadline)
		defer cancel()
		l.drain(deadline)
	})
}

// put puts one route in force. A connection to a port that was opened for it is
// taken once the route is. e.mu is held.
func (e *Edge) put(r berth.Route) error {
	l := e.byPort[r.Port]
	if l != nil && l.org != r.OrganizationID {
		return berth.Errorf(berth.CodePortTaken, "Port %d already belongs to another tenant", r.Port).
			WithHint("give this tenant another port").WithOp("open port", r.OrganizationID)
	}
	if l != nil {
		old := l.target()
		if old.route.Same(r) {
			return nil
		}
		e.subnets.add(r.Subnet)
		l.lead(newTarget(l, r))
		e.subnets.drop(old.route.Subnet)
		return nil
	}
	if r.Port < 1 || r.Port > 65535 {
		return berth.Errorf(berth.CodeInvalidRequest, "Port %d must be between 1 and 65535", r.Port).
			WithHint("give this tenant another port").WithOp("open port", r.OrganizationID)
	}
	if int64(len(e.byPort)) >= max(e.descriptors.most/2, 1) { // the rest is for connections
		return portError(r, syscall.EMFILE)
	}
	raw, err := e.listen(r.Port)
	if err != nil {
		return portError(r, err)
	}
	if e.poller == nil {
		e.poller = newPoller()
	}
	l = newListener(e, r, raw, e.poller)
	e.byPort[r.Port], e.byOrg[r.OrganizationID] = l, l
	e.subnets.add(r.Subnet)
	e.descriptors.used.Add(1) // whoever is known has a port
	l.lead(newTarget(l, r))
	l.serve()
	return nil
}

func refuseAll(routes []berth.Route) []berth.RouteError {
	list := make([]berth.RouteError, 0, len(routes))
	for _, r := range routes {
		list = append(list, berth.RouteError{OrganizationID: r.OrganizationID, Port: r.Port,
			Err: berth.Errorf(berth.CodeShuttingDown, "The edge is shutting down").
				WithHint("start Berth again").WithOp("open port", r.OrganizationID)})
	}
	return list
}

// Inside reports whether an address is in a tenant's subnet, which may be of
// another pool than this process's: of an earlier one, or of another control
// plane of the same engine.
func (e *Edge) Inside(src netip.Addr) bool {
	subnet, err := src.Prefix(min(berth.SubnetBits, src.BitLen()))
	return err == nil && e.subnets.has(subnet)
}

// subnets are those of the tenants that have a route.
type subnets struct {
	mu     sync.RWMutex
	routes map[netip.Prefix]int // how many routes name a subnet
}

func (s *subnets) add(p netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[p]++
}

func (s *subnets) drop(p netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.routes[p]--; s.routes[p] <= 0 {
		delete(s.routes, p)
	}
}

func (s *subnets) has(p netip.Prefix) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.routes[p] > 0
}
