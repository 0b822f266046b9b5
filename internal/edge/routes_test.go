package edge_test

import (
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func change(v, since int64, removed []string, routes ...berth.Route) berth.RouteSet {
	return berth.RouteSet{Version: v, Since: since, Routes: routes, Removed: removed}
}

func TestAChangeTouchesOnlyTheRoutesThatItNames(t *testing.T) {
	t.Parallel()
	e, _ := running(t, edge.Options{})
	a, b := route(freePort(t), backend(t, says("a"))), route(freePort(t), backend(t, says("b")))
	apply := func(s berth.RouteSet) {
		t.Helper()
		if r := e.Apply(s); r.Version != s.Version || r.Refused != nil {
			t.Fatalf("version %d: %+v", s.Version, r)
		}
	}
	apply(set(1, a))
	apply(change(2, 1, nil, b))
	for want, r := range map[string]berth.Route{"a": a, "b": b} {
		if _, body := get(t, client(t), r.Port); body != want {
			t.Errorf("%q, want %q", body, want)
		}
	}
	moved := a
	moved.Port = freePort(t)
	apply(change(3, 2, nil, moved))
	if _, body := get(t, client(t), moved.Port); body != "a" || !e.PortFree(a.Port) {
		t.Errorf("the tenant's new port says %q; the old one is free: %v", body, e.PortFree(a.Port))
	}
	// Two tenants may change ports with each other.
	b.Port, moved.Port = moved.Port, b.Port
	apply(change(4, 3, nil, b, moved))
	if _, body := get(t, client(t), b.Port); body != "b" {
		t.Errorf("after the exchange: %q", body)
	}
	apply(change(5, 4, []string{moved.OrganizationID, "nobody"}))
	if !e.PortFree(moved.Port) {
		t.Error("a removed route keeps its port")
	}
	if _, body := get(t, client(t), b.Port); body != "b" {
		t.Errorf("the route that stayed: %q", body)
	}
}

func TestAChangeToRoutesThatTheEdgeDoesNotHaveAsksForAllOfThem(t *testing.T) {
	t.Parallel()
	e, _ := running(t, edge.Options{})
	a, b := route(freePort(t), backend(t, says("a"))), route(freePort(t))
	e.Apply(set(1, a))
	for _, s := range []berth.RouteSet{
		change(4, 3, nil, b), change(1, 1, nil, b), {Term: 1, Version: 2, Since: 1, Routes: []berth.Route{b}},
	} {
		if r := e.Apply(s); r.Term != 0 || r.Version != 1 || !e.PortFree(b.Port) {
			t.Errorf("%+v was put in force: %+v", s, r)
		}
	}
}

func TestALaterTermsFirstSetIsNewerThanAllOfTheTermsBefore(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	e.Apply(berth.RouteSet{Term: 7, Version: 100, Routes: []berth.Route{route(port, backend(t, says("seven")))}})
	if r := e.Apply(berth.RouteSet{Term: 8, Version: 1, Routes: []berth.Route{route(port, backend(t, says("eight")))}}); r.Term != 8 || r.Version != 1 {
		t.Fatalf("in force: %+v", r)
	}
	if r := e.Apply(berth.RouteSet{Term: 7, Version: 101}); r.Term != 8 {
		t.Errorf("an earlier term's set was put in force: %+v", r)
	}
	if _, body := get(t, client(t), port); body != "eight" {
		t.Errorf("says %q", body)
	}
}

func TestARefusedRouteIsReportedWithTheSetThatHoldsIt(t *testing.T) {
	t.Parallel()
	e, _ := running(t, edge.Options{})
	a, b := route(freePort(t)), route(freePort(t))
	twice := b
	twice.Port = a.Port
	if r := e.Apply(set(1, a, twice)); len(r.Refused) != 1 || !berth.Is(r.Refused[0].Err, berth.CodePortTaken) {
		t.Fatalf("refused: %+v", r.Refused)
	}
	if r := e.Apply(change(2, 1, nil, a)); r.Version != 2 || r.Refused != nil {
		t.Errorf("a change of another route: %+v", r)
	}
	if r := e.Apply(change(3, 2, nil, twice)); len(r.Refused) != 1 {
		t.Errorf("tried again: %+v", r)
	}
	if r := e.Apply(change(4, 3, nil, b)); r.Refused != nil {
		t.Errorf("with a port of its own: %+v", r)
	}
}

// Work per change is for the changed tenant only.
func TestAChangeCostsTheSameWithManyRoutesAsWithFew(t *testing.T) {
	cost := func(routes int) float64 {
		e, stop := running(t, edge.Options{})
		defer stop()
		var list []berth.Route
		for range routes {
			list = append(list, route(freePort(t)))
		}
		e.Apply(set(1, list...))
		v := int64(1)
		return testing.AllocsPerRun(50, func() {
			v++
			list[0].Generation++
			if r := e.Apply(change(v, v-1, nil, list[0])); r.Version != v {
				t.Fatalf("%+v", r)
			}
		})
	}
	few, many := cost(10), cost(300)
	t.Logf("allocations for a change: %.0f of 10 routes, %.0f of 300", few, many)
	if many > few+2 {
		t.Errorf("a change allocates %.0f times with 300 routes, %.0f with 10", many, few)
	}
}
