package reconcile_test

import (
	"context"
	"slices"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
)

func TestAStatusAsksTheEngineOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		var asked []string
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if !s.After && s.Tenant == orgID(1) {
				asked = append(asked, s.Op)
			}
			return nil
		})
		st, err := w.service.State(ctx, w.actor, orgID(1))
		w.engine.SetFaults(nil)
		w.must(err)
		if !slices.Equal(asked, []string{"observe instances"}) {
			t.Errorf("asked: %v", asked)
		}
		if !st.Running || st.Tenant.Status != berth.StatusRunning || len(st.Observed.Instances) != 1 {
			t.Errorf("status %+v", st)
		}
	})
}
