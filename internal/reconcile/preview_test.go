package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/plan"
	"github.com/unite-hub/berth/internal/tenancy"
)

// order is one order that can be tried before it is given.
type order struct {
	name string
	give func(w *world, call tenancy.Call) (tenancy.Receipt, error)
}

func deployOf(tag, blueprint string) order {
	return order{"deploy " + tag + " " + blueprint, func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		d := tenancy.Deploy{ImageTag: &tag}
		if blueprint != "" {
			d.Blueprint = &blueprint
		}
		return w.service.Deploy(ctx, w.actor, call, orgID(1), d)
	}}
}

func scaleTo(replicas, memory int) order {
	return order{fmt.Sprintf("scale to %d of %d MB", replicas, memory), func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Scale(ctx, w.actor, call, orgID(1), tenancy.Scale{Replicas: &replicas, MemoryMB: &memory})
	}}
}

func renameTo(name string) order {
	return order{"rename to " + name, func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Configure(ctx, w.actor, call, orgID(1), tenancy.Configure{Name: &name})
	}}
}

var (
	rollsBack = order{"rollback", func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Rollback(ctx, w.actor, call, orgID(1), "")
	}}
	starts = order{"start", func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Start(ctx, w.actor, call, orgID(1))
	}}
	stops = order{"stop", func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Stop(ctx, w.actor, call, orgID(1))
	}}
	restarts = order{"restart", func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Restart(ctx, w.actor, call, orgID(1))
	}}
	adopts = order{"adopt", func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Adopt(ctx, w.actor, call, orgID(1))
	}}
	deprovisions = order{"deprovision", func(w *world, call tenancy.Call) (tenancy.Receipt, error) {
		return w.service.Deprovision(ctx, w.actor, call, orgID(1), berth.VolumesDelete)
	}}
)

// try gives an order as a dry run.
func (w *world) try(o order) berth.Forecast {
	w.t.Helper()
	r, err := o.give(w, tenancy.Call{DryRun: true, Request: idempotency.Request{Key: "tried", Fingerprint: []byte("f")}})
	w.must(err)
	if r.Forecast == nil {
		w.t.Fatalf("%s: a dry run has no forecast", o.name)
	}
	return *r.Forecast
}

// names are those of a forecast's steps that history names too, each once in a row.
func names(f berth.Forecast) (list []string) {
	for _, s := range f.Steps {
		if s.Name != plan.ForecastWait && s.Name != plan.ForecastObserve && s.Name != plan.ForecastRefuse {
			list = append(list, s.Name)
		}
	}
	return slices.Compact(list)
}

func told(f berth.Forecast) string {
	lines := []string{fmt.Sprintf("downtime %t, held %s, at most %s, served %t then %t, failure %q", f.Downtime, f.HeldAtMost, f.AtMost, f.ServedBefore, f.ServesAfter, f.Failure)}
	for _, s := range f.Steps {
		lines = append(lines, fmt.Sprintf("  %s: %s %v %s stops %t holds %t", s.Name, s.Text, s.Replicas, s.AtMost, s.Stops, s.Holds))
	}
	return strings.Join(lines, "\n")
}

// taken is what the engine was really made to do, and where the route led.
type taken struct {
	mu    sync.Mutex
	count map[string]int
}

func (w *world) watchSteps() *taken {
	k := &taken{count: map[string]int{}}
	w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
		if op, instance, _ := strings.Cut(s.Op, " container "); s.After && !s.Read && instance != "" {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.count[op]++
		}
		return nil
	})
	return k
}

// promised is the same as a forecast has it.
func promised(f berth.Forecast) map[string]int {
	count := map[string]int{}
	for _, s := range f.Steps {
		for verb, ops := range map[string][]string{
			"make and start ": {"create", "start"}, "make ": {"create"}, "start ": {"start"}, "limit ": {"limit"},
			"stop and remove ": {"remove"}, "remove ": {"remove"}, "stop ": {"halt"},
		} {
			if s.Name == "health check" || !strings.HasPrefix(s.Text, verb) || s.Service == "" ||
				verb == "make " && strings.HasPrefix(s.Text, "make and start ") || verb == "stop " && strings.HasPrefix(s.Text, "stop and remove ") {
				continue
			}
			for _, op := range ops {
				count[op] += len(s.Replicas)
			}
		}
	}
	return count
}

// asForetold gives an order twice, first to be told what it would do, and
// compares that with what it did.
func (w *world) asForetold(o order) {
	w.t.Helper()
	f := w.try(o)
	k := w.watchSteps()
	w.edge.mu.Lock()
	routes := len(w.edge.history)
	w.edge.mu.Unlock()
	served, _ := w.edge.route(1)
	composed := slices.DeleteFunc(w.observed(1).Foreign, func(x berth.Foreign) bool { return x.Kind != "container" })
	d := w.completed(o.give(w, tenancy.Call{}))
	w.engine.SetFaults(nil)
	var really []string
	for _, s := range d.Steps {
		really = append(really, s.Name)
	}
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Errorf("%s: %s\n%s\nreally: %v %v", o.name, fmt.Sprintf(format, args...), told(f), really, k.count)
	}
	if f.Failure != "" || !slices.Equal(names(f), really) {
		fail("other steps were taken")
	}
	want := promised(f)
	want["remove"] += len(composed)
	if stops := slices.ContainsFunc(f.Steps, func(s berth.ForecastStep) bool { return s.Name == "adopt" && s.Stops }); stops != (len(composed) > 0) {
		fail("%d containers that compose made were stopped", len(composed))
	}
	if k.count["stop"]-k.count["remove"] != want["halt"] { // what is removed is stopped before
		fail("other containers were stopped")
	}
	for _, op := range []string{"create", "start", "remove", "limit"} {
		if k.count[op] != want[op] {
			fail("%d times %s, %d were foretold", k.count[op], op, want[op])
		}
	}
	down := false
	w.edge.mu.Lock()
	for _, r := range w.edge.history[routes:] {
		down = down || r.OrganizationID == orgID(1) && r.State != berth.RouteServing
	}
	w.edge.mu.Unlock()
	now, there := w.edge.route(1)
	down = down || !there
	if serving := served.State == berth.RouteServing; f.ServedBefore != serving || f.Downtime != (serving && down || len(composed) > 0) {
		fail("the route was %s, and served all the time: %t", served.State, !down)
	}
	if f.ServesAfter != (there && now.State == berth.RouteServing) {
		fail("in the end the route is %s", now.State)
	}
	held := slices.ContainsFunc(f.Steps, func(s berth.ForecastStep) bool { return s.Holds })
	if held != (f.HeldAtMost > 0) || held != slices.Contains(really, "hold requests") {
		fail("held: %t", held)
	}
	if took := d.CompletedAt.Sub(d.StartedAt); took > f.AtMost {
		fail("it took %s", took)
	}
}

// What a dry run promises is what the order does, for each kind of order.
func TestAnOrderTakesTheStepsThatADryRunForetold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		blueprint string
		observe   time.Duration
		stopped   bool
		orders    []order
	}{
		"one service": {blueprint: single, orders: []order{
			deployOf("2", ""), deployOf("2", ""), rollsBack, scaleTo(3, 512), scaleTo(3, 1024), deployOf("2", ""), scaleTo(1, 512), renameTo("Another"), restarts, stops, starts, deprovisions,
		}},
		"one service, observed": {blueprint: single, observe: 5 * time.Second, orders: []order{deployOf("2", ""), scaleTo(2, 512), rollsBack, restarts}},
		"one service on an exclusive volume": {blueprint: singleData, orders: []order{
			deployOf("2", ""), rollsBack, restarts, stops, deployOf("2", ""), scaleTo(1, 1024), starts, deprovisions,
		}},
		"one that never ran": {blueprint: single, stopped: true, orders: []order{deployOf("2", ""), scaleTo(2, 512), starts, stops, deprovisions}},
		"with a migration": {blueprint: product, observe: 2 * time.Second, orders: []order{
			deployOf("2", "product"), rollsBack, scaleTo(2, 1024), restarts, stops, deployOf("2", "product"), starts, deprovisions,
		}},
		"with a migration, and never ran": {blueprint: product, stopped: true, orders: []order{starts, deployOf("2", "product"), deprovisions}},
	} {
		t.Run(name, func(t *testing.T) {
			playForetold(t, c.blueprint, c.observe, !c.stopped, c.orders)
		})
	}
}

// Adopting one that never left stops nothing; of one that compose runs it says so.
func TestAdoptingTakesTheStepsThatADryRunForetold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ leaves, stopped bool }{
		"never left": {}, "compose runs it": {leaves: true}, "compose runs it, and it was stopped before": {leaves: true, stopped: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				if c.stopped {
					w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
				}
				if c.leaves {
					n := w.observed(1).Instances[0].Name
					w.manual.Remove(t, "container", n)
					w.manual.Add(t, "container", n, map[string]string{berth.LabelTenantID: orgID(1), "com.docker.compose.project": berth.ContainerName(orgID(1))})
				}
				<-time.After(time.Minute)
				w.asForetold(adopts)
			})
		})
	}
}

func playForetold(t *testing.T, source string, observe time.Duration, start bool, orders []order) {
	t.Helper()
	inBubble(t, func(w *world) {
		w.config.Observe = observe
		w.wire()
		w.databaseImage()
		w.run()
		v := w.apply([]byte(source))
		w.completed(w.service.Provision(ctx, w.actor, tenancy.Call{}, tenancy.Provision{OrganizationID: orgID(1), Name: "S", Blueprint: v.ID(), Start: start}))
		for _, o := range orders {
			<-time.After(time.Minute) // what the loop does by itself is done
			before := w.dump()
			w.try(o)
			if after := w.dump(); after != before {
				t.Fatalf("a dry run of %s changed the database:\n%s", o.name, difference(before, after))
			}
			w.asForetold(o)
			if t.Failed() {
				return
			}
		}
	})
}

func (w *world) databaseImage() {
	db := "sha256:" + strings.Repeat("d", 64)
	w.engine.SetImage(db, enginetest.Program{})
	w.engine.Tag("db:1", db)
}

// Orders in any sequence, as far as the tenant's state allows them.
func TestRandomOrdersTakeTheStepsThatADryRunForetold(t *testing.T) {
	t.Parallel()
	sources := []string{single, singleData, product}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 10))
			all := []order{deployOf("1", ""), deployOf("2", ""), scaleTo(1, 512), scaleTo(2, 1024), scaleTo(3, 768), rollsBack, starts, stops, restarts, renameTo("B"), renameTo("C")}
			inBubble(t, func(w *world) {
				w.config.Observe = time.Duration(random.IntN(2)) * 3 * time.Second
				w.wire()
				w.databaseImage()
				w.run()
				v := w.apply([]byte(sources[random.IntN(len(sources))]))
				w.completed(w.service.Provision(ctx, w.actor, tenancy.Call{}, tenancy.Provision{OrganizationID: orgID(1), Name: "S", Blueprint: v.ID(), Start: random.IntN(4) > 0}))
				for range 8 {
					<-time.After(time.Minute)
					o := all[random.IntN(len(all))]
					if _, err := o.give(w, tenancy.Call{DryRun: true}); err != nil {
						continue // refused, as it would be
					}
					if w.asForetold(o); t.Failed() {
						return
					}
				}
				w.asForetold(deprovisions)
			})
		})
	}
}
