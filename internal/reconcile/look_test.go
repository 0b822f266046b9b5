package reconcile_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
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

// A tenant is ordered gone, and made anew, between a scan's list and the pass that
// was to look closer at what that showed. No event tells that it is out of date.
func TestWhatWasListedOfAnEarlierTenantIsNotTakenForTheNextOnes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.config.ScanInterval = time.Hour
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.stop()
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.Op == "watch" {
				return berth.Errorf(berth.CodeEngineUnavailable, "the stream broke off")
			}
			return nil
		})
		w.wire()
		scanned, went := reads{w.turns, map[string]int{}}, make(chan tenancy.Receipt, 1)
		w.loop.Store = afterScan{scanned, func() {
			r, err := w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete)
			w.must(err)
			went <- r
		}}
		w.run()
		w.completed(<-went, nil)
		w.completed(w.provision(1, "app:1", true))
		w.loop.Recheck(orgID(1))
		<-time.After(time.Minute)
		if told := w.events(1); len(told) > 0 {
			t.Errorf("told: %v", told)
		}
	})
}

// afterScan does something once between the first scan's reads and its passes.
type afterScan struct {
	reads
	do func()
}

func (a afterScan) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	first := false
	err := a.reads.View(ctx, actor, func(tx store.Tx) error {
		err := fn(tx)
		if first = a.whose["volumes listed for "] == 1; first {
			a.whose["volumes listed for "]++
		}
		return err
	})
	if first {
		a.do()
	}
	return err
}
