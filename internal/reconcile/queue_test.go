package reconcile_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// soon is how long the engine's events may be gathered, and a repair take.
const soon = 2 * time.Second

func TestAServiceThatIsGivenUpDelaysNoRepair(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		for range 8 {
			m.manual.Crash(t, m.ids()["worker"], 3)
			<-time.After(2 * time.Second)
		}
		m.eventually(time.Minute, "given up", func() bool { return strings.HasPrefix(m.tenant(1).Cause, "given up: service worker") })
		for range 3 {
			<-time.After(25 * time.Second)
			m.manual.Remove(t, "container", berth.ContainerName(orgID(1)))
			m.eventually(soon, "the main service serves again", func() bool {
				r, _ := m.edge.route(1)
				return r.State == berth.RouteServing && len(r.Upstreams) == 1 && m.engine.Healthy(r.Upstreams[0])
			})
		}
	})
}

// A foreign container in the way is a final error: it is tried again once a
// minute. That somebody took it away is a reason to look at once.
func TestAFinalErrorDelaysNoLook(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		name := berth.ContainerName(orgID(1))
		for range 3 {
			w.manual.Remove(t, "container", name)
			w.manual.Add(t, "container", name, nil)
			w.eventually(time.Minute, "the foreign container is in the way", func() bool { return strings.Contains(w.tenant(1).Cause, name) })
			<-time.After(90 * time.Second)
			w.manual.Remove(t, "container", name)
			w.eventually(soon, "it runs again", func() bool { return w.running(1) })
			w.eventually(time.Minute, "it is well again", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
		}
	})
}

// What a pass does that fails is news itself, and must not have it tried again
// and again.
func TestNewsOverrideBackOffOnlyNowAndThen(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		tries := 0
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After || !strings.HasPrefix(s.Op, "start container") {
				return nil
			}
			tries++
			return berth.Errorf(berth.CodeEngineRefused, "it can't be started")
		})
		w.manual.Kill(t, w.tenant(1).ContainerID)
		for range 3000 { // each second five events
			<-time.After(200 * time.Millisecond)
			w.loop.Recheck(orgID(1))
		}
		if tries > 40 {
			t.Errorf("tried %d times in ten minutes", tries)
		}
	})
}

// The engine's instance dies while its tenant's pass waits for something else,
// and the pass does not look again.
func TestNewsDuringAPassAreNotLost(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.ScanInterval = time.Hour
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		var killed atomic.Bool
		kill := func() {
			if killed.CompareAndSwap(false, true) {
				<-time.After(time.Second)
				w.manual.Kill(t, w.observed(1).Instances[0].ID)
				<-time.After(50 * time.Millisecond)
			}
		}
		w.answered.Store(&kill)
		w.completed(w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.answered.Store(nil)
		w.eventually(soon, "it runs again", func() bool { return w.running(1) })
		if !killed.Load() {
			t.Error("it was never killed")
		}
	})
}

// A worker ends when an Apply has looked at it for the last time, and before that
// returns. No scan comes to find it, and nobody asks a worker whether it is well.
func TestNewsAtTheEndOfAnApplyAreNotLost(t *testing.T) {
	t.Parallel()
	worker := "  worker:\n    image: app:1\n    user: \"1000:1000\"\n    command: [work]\n"
	inBubble(t, func(w *world) {
		w.config.ScanInterval = time.Hour
		w.wire()
		w.run()
		w.apply([]byte(strings.Replace(single, "x-berth", worker+"x-berth", 1)))
		w.provisionOf(1, "single")
		at := func() berth.Instance {
			list := w.observed(1).Instances
			return list[slices.IndexFunc(list, func(c berth.Instance) bool { return c.Service == "worker" })]
		}
		var started atomic.Int32
		var killed atomic.Bool
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			switch {
			case s.After && strings.HasPrefix(s.Op, "start container"):
				started.Add(1)
			case s.After && s.Op == "observe" && started.Load() == 2 && killed.CompareAndSwap(false, true):
				w.manual.TryKill(at().ID)
				<-time.After(50 * time.Millisecond) // the event comes first
			}
			return nil
		})
		w.completed(w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)))
		if !killed.Load() {
			t.Fatal("it was never killed")
		}
		w.eventually(soon, "it runs again", func() bool { return at().State == berth.InstanceRunning })
	})
}
