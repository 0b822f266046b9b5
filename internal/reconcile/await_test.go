package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// The engine is in the middle of a change, so that the loop itself can take the
// next order up only after it.
func TestWhoAwaitsADeploymentHearsAtOnceThatItWasReplaced(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "start container") {
				<-time.After(time.Minute)
			}
			return nil
		})
		r, err := w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		heard := make(chan time.Time, 1)
		go func() {
			if d := w.done(r, nil); d.Status == berth.DeploymentSuperseded {
				heard <- time.Now()
			}
			close(heard)
		}()
		<-time.After(1100 * time.Millisecond)
		_, err = w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		ordered := time.Now()
		if at, ok := <-heard; !ok || at.Sub(ordered) > 50*time.Millisecond {
			t.Errorf("heard after %v", at.Sub(ordered))
		}
	})
}
