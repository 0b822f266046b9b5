package reconcile_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestTheFleetIsTheSameListUntilSomethingChanges(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		defer w.stop()
		for n := range 3 {
			w.completed(w.provision(n, "app:1", true))
		}
		<-time.After(time.Minute) // an order is over before its pass is
		before := w.loop.Fleet()
		w.loop.Recheck(orgID(1)) // a look that finds what was there
		<-time.After(time.Minute)
		again := w.loop.Fleet()
		if len(before) != 3 || len(again) != 3 || &before[0] != &again[0] {
			t.Errorf("%d members, then %d, of another list", len(before), len(again))
		}
		if before[0].Check == nil || before[0].Check != before[1].Check || before[1].Check != before[2].Check {
			t.Error("members that are asked alike have a check each")
		}
		w.completed(w.service.Stop(context.Background(), w.actor, tenancy.Call{}, orgID(1)))
		<-time.After(time.Minute)
		if after := w.loop.Fleet(); len(after) != 2 || len(before) != 3 || before[1].OrganizationID != orgID(1) {
			t.Errorf("after a stop: %+v; the list of before is %+v", after, before)
		}
	})
}

// After a start every tenant is looked at. The engine is not asked to go through
// everything that it holds for each of them: once for all, and then for each only
// what the tenant's own instances cost.
func TestTheFirstPassesAfterAStartShareOneList(t *testing.T) {
	t.Parallel()
	const tenants = 20
	for _, changed := range []bool{false, true} { // one of them, after the list
		inBubble(t, func(w *world) {
			w.run()
			for n := range tenants {
				w.completed(w.provision(n, "app:1", true))
			}
			w.stop()
			var mu sync.Mutex
			count := map[string]int{}
			w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
				mu.Lock()
				defer mu.Unlock()
				if count[s.Op]++; changed && s.Op == "list" && s.After && count["list"] == 4 { // before, after, before, after
					w.manual.TryKill(w.observed(7).Instances[0].ID)
				}
				return nil
			})
			w.config.ScanInterval = time.Hour
			w.wire()
			w.run()
			w.eventually(time.Minute, "all are known", func() bool { return len(w.loop.Fleet()) == tenants })
			<-time.After(time.Minute)
			mu.Lock()
			looks, closer, lists := count["observe"]/2, count["inspect"]/2, count["list"]/2
			mu.Unlock()
			if !changed && (looks != 0 || closer != tenants || lists != 2) { // routes are restored from a list of their own
				t.Errorf("%d looks, %d looks closer, %d lists", looks, closer, lists)
			}
			if !w.running(7) {
				t.Error("what ended after the list stays down")
			}
		})
	}
}

// After a start the monitor comes to a first verdict on every instance. Where it says
// what the loop knows, the tenant is not looked at for it.
func TestAFirstVerdictThatSaysNothingNewCostsNoLook(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.config.ScanInterval = time.Hour
		w.stop()
		w.wire()
		w.run()
		w.eventually(time.Minute, "it is known", func() bool { return len(w.loop.Fleet()) == 1 })
		<-time.After(time.Minute)
		var looks atomic.Int32
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.Op == "observe" && !s.After {
				looks.Add(1)
			}
			return nil
		})
		id := w.tenant(1).ContainerID
		w.say(1, id, berth.Vital{Started: true, Ready: true})
		<-time.After(time.Minute)
		if n := looks.Load(); n != 0 {
			t.Errorf("%d looks for a verdict that says nothing new", n)
		}
		w.say(1, id, berth.Vital{Started: true, Cause: "answered 500"})
		w.eventually(5*time.Second, "it is unwell", func() bool { return w.tenant(1).Health == berth.HealthUnhealthy })
		w.say(1, id, berth.Vital{Started: true, Ready: true})
		w.eventually(5*time.Second, "it is well again", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
	})
}

// A look can't open a port that another program has: the scan tries the route again,
// and the tenant says why it can't be reached.
func TestATenantWhosePortIsTakenIsNotLookedAtAgainAndAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.stop()
		port := w.tenant(1).ExternalPort
		w.edge.take(port, true)
		w.wire()
		w.run()
		w.eventually(time.Minute, "it says why", func() bool { return strings.Contains(w.tenant(1).Cause, "in use") })
		<-time.After(time.Minute)
		var looks atomic.Int32
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if !s.After && (s.Op == "observe" || s.Op == "inspect") {
				looks.Add(1)
			}
			return nil
		})
		<-time.After(5 * time.Minute)
		if n := looks.Load(); n != 0 {
			t.Errorf("%d looks in five minutes", n)
		}
		w.edge.take(port, false)
		w.eventually(15*time.Second, "it is reachable", func() bool {
			r, ok := w.edge.route(1)
			return ok && r.State == berth.RouteServing && w.tenant(1).Cause == ""
		})
	})
}
