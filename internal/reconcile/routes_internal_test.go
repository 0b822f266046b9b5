package reconcile

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/unite-hub/berth"
)

// edgeFake is an edge that keeps the sets it was given and can forget all.
type edgeFake struct {
	sets    []berth.RouteSet
	version int64
	taken   map[int]bool
}

func (e *edgeFake) Apply(set berth.RouteSet) berth.RouteReport {
	e.sets = append(e.sets, set)
	if set.Since != 0 && set.Since != e.version {
		return berth.RouteReport{Term: set.Term, Version: e.version}
	}
	e.version = set.Version
	r := berth.RouteReport{Term: set.Term, Version: set.Version}
	for _, route := range set.Routes {
		if e.taken[route.Port] {
			r.Refused = append(r.Refused, berth.RouteError{OrganizationID: route.OrganizationID, Port: route.Port, Err: errors.New("taken")})
		}
	}
	return r
}

func (e *edgeFake) Drain(context.Context, string) int { return 0 }

func (e *edgeFake) last() berth.RouteSet { return e.sets[len(e.sets)-1] }

func routeOf(n int) berth.Route {
	return berth.Route{OrganizationID: strconv.Itoa(n), Port: n, State: berth.RouteServing}
}

func TestAChangeOfOneTenantHandsOverOneRoute(t *testing.T) {
	t.Parallel()
	e := &edgeFake{taken: map[int]bool{}}
	r := newRoutes(e, 3)
	var all []berth.Route
	for n := range 1000 {
		all = append(all, routeOf(n+1))
	}
	r.replace(all)
	moved := routeOf(7)
	moved.State = berth.RouteStopped
	if _, err := r.put(moved); err != nil {
		t.Fatal(err)
	}
	if s := e.last(); s.Term != 3 || s.Since != s.Version-1 || len(s.Routes) != 1 || s.Routes[0].OrganizationID != "7" {
		t.Errorf("a put hands over %d routes, term %d, %d after %d", len(s.Routes), s.Term, s.Version, s.Since)
	}
	r.drop("9")
	if s := e.last(); len(s.Routes) != 0 || len(s.Removed) != 1 || s.Removed[0] != "9" {
		t.Errorf("a drop hands over %d routes and removes %v", len(s.Routes), s.Removed)
	}
	before := len(e.sets)
	if _, err := r.put(moved); err != nil || len(e.sets) != before {
		t.Errorf("what did not change was handed over: %v", err)
	}
}

func TestAnEdgeThatLostItsRoutesGetsThemAll(t *testing.T) {
	t.Parallel()
	e := &edgeFake{taken: map[int]bool{}}
	r := newRoutes(e, 0)
	r.replace([]berth.Route{routeOf(1), routeOf(2)})
	e.version = 0 // a new process
	if _, err := r.put(routeOf(3)); err != nil {
		t.Fatal(err)
	}
	if s := e.last(); s.Since != 0 || len(s.Routes) != 3 {
		t.Errorf("handed over: %+v", s)
	}
}

func TestARefusedRouteIsTriedAgainAloneAndForgottenOnceItIsInForce(t *testing.T) {
	t.Parallel()
	e := &edgeFake{taken: map[int]bool{2: true}}
	r := newRoutes(e, 0)
	r.replace([]berth.Route{routeOf(1), routeOf(2), routeOf(3)})
	if r.error("2") == nil || r.error("1") != nil {
		t.Fatalf("refused: %v", r.refused)
	}
	if open := r.retry(); len(open) != 0 || len(e.last().Routes) != 1 || r.error("2") == nil {
		t.Errorf("opened %v with %+v", open, e.last())
	}
	if _, err := r.put(routeOf(4)); err != nil || r.error("2") == nil {
		t.Errorf("another tenant's change: %v; the refusal: %v", err, r.error("2"))
	}
	clear(e.taken)
	if open := r.retry(); len(open) != 1 || open[0] != "2" || r.error("2") != nil {
		t.Errorf("opened %v, refused %v", open, r.refused)
	}
	e.taken[3] = true
	moved := routeOf(3)
	moved.Generation++
	if _, err := r.put(moved); err == nil {
		t.Error("a refusal got lost")
	}
	r.drop("3")
	if r.error("3") != nil {
		t.Error("a tenant without a route has an error")
	}
}

func BenchmarkAChangeOfOneTenantsRoute(b *testing.B) {
	for _, tenants := range []int{1000, 10000} {
		b.Run(strconv.Itoa(tenants), func(b *testing.B) {
			e := &edgeFake{taken: map[int]bool{}}
			r := newRoutes(e, 0)
			var all []berth.Route
			for n := range tenants {
				all = append(all, routeOf(n+1))
			}
			r.replace(all)
			moved := routeOf(7)
			b.ReportAllocs()
			for b.Loop() {
				moved.Generation++
				e.sets = e.sets[:0]
				if _, err := r.put(moved); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
