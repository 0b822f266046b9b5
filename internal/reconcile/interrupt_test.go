package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestARepeatedCallInterruptsNoPull(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.InRegistry("registry.example/app:9", imageV2, nil)
		var n atomic.Int32
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "pull") {
				n.Add(1)
				select {
				case <-time.After(8 * time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		tag := "registry.example/app:9"
		call := tenancy.Call{Request: idempotency.Request{Key: "k", Fingerprint: []byte("f"), Order: true}}
		for range 10 {
			r, err := w.service.Deploy(ctx, w.actor, call, orgID(1), tenancy.Deploy{ImageTag: &tag})
			w.must(err)
			t.Log(r.Earlier, r.Deployment.Status)
			<-time.After(3 * time.Second)
		}
		if n.Load() > 1 {
			t.Errorf("%d pulls for one order", n.Load())
		}
	})
}

// It crashes while its restart waits to stop it; afterwards it is well but for one crash.
func TestCrashesBeforeARestartAreNotItsOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		var armed atomic.Bool
		armed.Store(true)
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "stop container") && armed.CompareAndSwap(true, false) {
				w.manual.Crash(t, w.observed(1).Instances[0].ID, 3)
				w.manual.Crash(t, w.observed(1).Instances[0].ID, 3)
			}
			return nil
		})
		d := w.done(w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)))
		t.Logf("%s %s", d.Status, d.Error)
		if d.Error != "" {
			t.Error("what crashed before it was stopped failed its restart")
		}
	})
}

// A tenant that is stopped and is being started is shown as stopped until it runs:
// neither its start nor its stop is refused for that.
func TestAStopGetsThroughToAStartThatHangs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.engine.SetFaults(stubborn("start container", 2, 30*time.Second))
		start, err := w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		<-time.After(time.Second)
		stop, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		if d := w.done(start, nil); d.Status != berth.DeploymentSuperseded {
			t.Errorf("the start ended %s", d.Status)
		}
		if _, err := w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1)); !berth.Is(err, berth.CodeDeploymentInProgress) {
			t.Errorf("a start while it is being stopped: %v", err)
		}
		w.cancelled(1)
		w.wellAgain(1, imageV1) // what it was to be before the stop
		if d := w.done(stop, nil); d.Status != berth.DeploymentSuperseded {
			t.Errorf("the stop ended %s", d.Status)
		}
	})
}

// Who stops twice, for want of an answer, takes both back with one cancel.
func TestAStopWhileOneIsUnderWayIsThatOne(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.SetFaults(stubborn("stop container", 2, 20*time.Second))
		first, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		<-time.After(time.Second)
		second, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		if first.Deployment.ID != second.Deployment.ID {
			t.Error("the first stop was replaced")
		}
		w.cancelled(1)
		w.wellAgain(1, imageV1)
	})
}
