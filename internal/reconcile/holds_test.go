package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// The way back ends well for nobody: what does not take requests stays unwell.
func TestRequestsAreNotHeldForEverWhenTheWayBackStaysUnwell(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		m.apply([]byte(strings.Replace(product, "image: db:1", "image: db:1\n    command: [another]", 1)))
		db := "sha256:" + strings.Repeat("d", 64)
		m.engine.SetImage(db, enginetest.Program{Unwell: true})
		d := m.done(m.deploy("2", nil))
		if d.Status != berth.DeploymentFailed {
			t.Fatalf("the deployment is %s: %s", d.Status, d.Error)
		}
		if m.state(1) != berth.RouteHolding {
			t.Errorf("on the way back the route is %s", m.state(1))
		}
		<-time.After(5 * time.Minute)
		if m.state(1) == berth.RouteHolding {
			t.Error("five minutes later requests are still held")
		}
	})
}

func TestWhatRunsServesAgainWhenTheEngineGoesAwayBeforeItIsStopped(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.provisionOf(1, "single")
		before, _ := w.edge.route(1)
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if w.state(1) == berth.RouteHolding {
				w.engine.SetDown(true)
			}
			return nil
		})
		r, err := w.deployTag(1, "2")
		w.must(err)
		w.eventually(time.Minute, "requests are held", func() bool { return w.state(1) == berth.RouteHolding })
		<-time.After(10 * time.Minute)
		now, _ := w.edge.route(1)
		if now.State != berth.RouteServing || !slices.Equal(now.Upstreams, before.Upstreams) {
			t.Errorf("what runs is well, and the route is %s to %v, was %v", now.State, now.Upstreams, before.Upstreams)
		}
		w.engine.SetFaults(nil)
		w.engine.SetDown(false)
		if d := w.done(r, nil); d.Status != berth.DeploymentCompleted {
			t.Errorf("with the engine back, the deployment is %s: %s", d.Status, d.Error)
		}
	})
}

func TestRequestsAreHeldAgainAfterACrashInTheMiddleOfAReplacement(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.apply([]byte(singleData))
		m.provisionOf(2, "single")
		reached := make(chan struct{})
		m.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After || !strings.HasPrefix(s.Op, "create container") {
				return nil
			}
			m.dead.Store(true)
			close(reached)
			return enginetest.ErrCrash
		})
		tag := "2"
		r, err := m.service.Deploy(ctx, m.actor, tenancy.Call{}, orgID(2), tenancy.Deploy{ImageTag: &tag})
		m.must(err)
		<-reached
		m.edge.forget()
		m.crash()
		if d := m.done(r, nil); d.Status != berth.DeploymentCompleted {
			t.Errorf("the deployment is %s: %s", d.Status, d.Error)
		}
		var states []berth.RouteState
		for _, x := range m.edge.past() {
			if x.OrganizationID == orgID(2) {
				states = append(states, x.State)
			}
		}
		if states = slices.Compact(states); !slices.Equal(states, []berth.RouteState{berth.RouteHolding, berth.RouteServing}) {
			t.Errorf("routes after the crash: %v", states)
		}
	})
}

func TestAMainServiceThatIsRenamedMovesWithoutAGap(t *testing.T) {
	t.Parallel()
	for _, source := range []string{single, singleData} {
		withProduct(t, func(m *model) {
			m.apply([]byte(source))
			m.provisionOf(2, "single")
			m.apply([]byte(strings.ReplaceAll(source, "  web:\n", "  site:\n")))
			bad := m.watchRoute(2)
			tag := "2"
			d := m.done(m.service.Deploy(ctx, m.actor, tenancy.Call{}, orgID(2), tenancy.Deploy{ImageTag: &tag, Blueprint: bp("single")}))
			if d.Status != berth.DeploymentCompleted {
				t.Errorf("%s %s", d.Status, d.Error)
			}
			if list := bad(); len(list) > 0 {
				t.Errorf("the route led to what was gone after: %v", list)
			}
		})
	}
}

func TestAnEngineThatRefusesARemovalAtTheEndUndoesNothing(t *testing.T) {
	t.Parallel()
	for _, refusals := range []int32{1, 1000} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			synctestProduct(t, 25*time.Second, func(m *model) {
				m.provisionProduct(true)
				m.whole(imageV1)
				var tries atomic.Int32
				m.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
					if s.After || !strings.HasPrefix(s.Op, "remove container") || !strings.HasSuffix(s.Op, "_g1_web_1") || tries.Add(1) > refusals {
						return nil
					}
					return berth.Errorf(berth.CodeEngineRefused, "no")
				})
				d := m.done(m.deploy("2", nil))
				if d.Status != berth.DeploymentCompleted {
					t.Errorf("%s: %s", d.Status, d.Error)
				}
				if tn := m.tenant(1); refusals > 1 && tn.Cause == "" {
					t.Error("what can't be removed is not told")
				}
				m.engine.SetFaults(nil)
				m.whole(imageV2)
			})
		})
	}
}

func TestATenantThatRunsWellServesAtOnceAfterAnOutageAndARestartOfBerth(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.SetDown(true)
		<-time.After(time.Minute)
		if h := w.tenant(1).Health; h != berth.HealthUnknown {
			t.Fatalf("while the engine is away, health is %s", h)
		}
		w.stop()
		w.engine.SetDown(false)
		w.wire()
		w.edge.forget()
		w.run()
		<-time.After(time.Minute)
		if len(w.edge.past()) == 0 {
			t.Fatal("no route")
		}
		for _, r := range w.edge.past() {
			if r.State != berth.RouteServing || len(r.Upstreams) == 0 {
				t.Errorf("a tenant that runs well has the route %s to %v", r.State, r.Upstreams)
			}
		}
	})
}

func TestAServiceThatIsGivenUpKeepsNoOtherFromBeingMended(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		for range 8 {
			m.manual.Crash(t, m.ids()["worker"], 3)
			<-time.After(2 * time.Second)
		}
		givenUp := func() bool { return strings.HasPrefix(m.tenant(1).Cause, "given up: service worker") }
		m.eventually(time.Minute, "given up", givenUp)
		worker := m.ids()["worker"]
		m.manual.Remove(t, "container", berth.ContainerName(orgID(1)))
		m.eventually(5*time.Minute, "the main service serves again", func() bool {
			r, _ := m.edge.route(1)
			return r.State == berth.RouteServing && len(r.Upstreams) == 1 && m.engine.Healthy(r.Upstreams[0])
		})
		<-time.After(5 * time.Minute)
		if !givenUp() || m.tenant(1).Status != berth.StatusFailed {
			t.Errorf("the tenant is %s: %q", m.tenant(1).Status, m.tenant(1).Cause)
		}
		if m.ids()["worker"] != worker {
			t.Error("what was given up was made again")
		}
		told := slices.DeleteFunc(m.events(1), func(kind string) bool { return kind != berth.EventGaveUp })
		if len(told) != 1 {
			t.Errorf("told %d times", len(told))
		}
	})
}

// raise makes a mark that others read at least n.
func raise(mark *atomic.Int32, n int) {
	for now := mark.Load(); now < int32(n) && !mark.CompareAndSwap(now, int32(n)); now = mark.Load() {
	}
}

func TestAVolumeThatBecomesSharedIsNotSharedWithTheVersionBefore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.provisionOf(1, "single")
		w.apply([]byte(strings.Replace(singleData, "x-berth: {", "x-berth: {volumes: {data: {shared: true}}, ", 1)))
		var most atomic.Int32
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After && strings.HasPrefix(s.Op, "start") {
				running := slices.DeleteFunc(w.manual.State(orgID(1)), func(c string) bool { return !strings.Contains(c, "running") })
				raise(&most, len(running))
			}
			return nil
		})
		deploy := func(tag string) {
			d := w.done(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &tag, Blueprint: bp("single")}))
			if d.Status != berth.DeploymentCompleted {
				t.Errorf("%s %s", d.Status, d.Error)
			}
		}
		if deploy("2"); most.Load() != 1 {
			t.Errorf("%d at once: the version before took the volume for its own", most.Load())
		}
		if deploy("1"); most.Load() != 2 {
			t.Errorf("%d at once: both versions share the volume", most.Load())
		}
	})
}

func TestAVolumeThatIsSharedNoMoreIsNotSharedOnTheWayBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(strings.Replace(singleData, "x-berth: {", "x-berth: {volumes: {data: {shared: true}}, ", 1)))
		w.provisionOf(1, "single")
		w.apply([]byte(singleData))
		var most atomic.Int32
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After && strings.HasPrefix(s.Op, "start") {
				running := slices.DeleteFunc(w.manual.State(orgID(1)), func(c string) bool { return !strings.Contains(c, "running") })
				raise(&most, len(running))
			}
			return nil
		})
		tag := "sick"
		d := w.done(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &tag, Blueprint: bp("single")}))
		if d.Status != berth.DeploymentFailed {
			t.Errorf("%s %s", d.Status, d.Error)
		}
		w.eventually(time.Minute, "the one before serves again", func() bool { return w.state(1) == berth.RouteServing })
		if most.Load() != 1 {
			t.Errorf("%d at once: the version that failed took the volume for its own", most.Load())
		}
	})
}

// Two services write to a volume that they share, until a version of the app in
// which only one of them does. That one needs no other version, and is down.
func TestWhatIsLeftOfAnotherWriterKeepsNoServiceFromBeingStarted(t *testing.T) {
	t.Parallel()
	writer := "  worker:\n    image: app:1\n    user: \"1000:1000\"\n    command: [work]\n"
	both := strings.Replace(singleData, "volumes: {data", writer+"    volumes: [\"data:/data\"]\nvolumes: {data", 1)
	both = strings.Replace(both, "x-berth: {", "x-berth: {volumes: {data: {shared: true}}, ", 1)
	one := strings.Replace(singleData, "volumes: {data", writer+"volumes: {data", 1)
	for _, willful := range []bool{false, true} {
		inBubble(t, func(w *world) {
			if willful {
				w.engine.SetWillful(true)
			}
			w.run()
			w.apply([]byte(both))
			w.provisionOf(1, "single")
			w.apply([]byte(one))
			w.stop()
			w.manual.Kill(t, w.observedWhileDown(1))
			r, err := w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{Blueprint: bp("single")})
			w.must(err)
			w.wire()
			w.run()
			w.completed(r, nil)
			if o := w.observed(1); len(o.Instances) != 2 || w.state(1) != berth.RouteServing {
				t.Errorf("%v, and the route is %s", w.manual.State(orgID(1)), w.state(1))
			}
		})
	}
}
