package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
