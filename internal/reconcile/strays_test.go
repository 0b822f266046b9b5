package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// foreign are the messages about foreign objects, oldest first.
func (w *world) foreign() (list []string) {
	w.t.Helper()
	events, _, err := w.service.Events(ctx, w.actor, "", store.Page{Limit: 1000})
	w.must(err)
	for _, e := range events {
		if e.Kind == berth.EventForeign {
			list = append([]string{e.Message}, list...)
		}
	}
	return list
}

func TestAForeignObjectIsToldOfOnceEver(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.manual.Add(t, "volume", "copied", map[string]string{berth.LabelTenantID: orgID(7), berth.LabelSeal: "x"})
		<-time.After(time.Minute)
		for range 3 { // Berth starts anew
			w.stop()
			w.wire()
			w.run()
			<-time.After(time.Minute)
		}
		if told := w.foreign(); len(told) != 1 || !strings.Contains(told[0], "copied") {
			t.Errorf("told %d times: %q", len(told), told)
		}
	})
}

// Another installation makes, renames and removes its containers as it likes.
func TestWhatAnotherInstallationDoesIsNoEvent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		stranger := w.engine.Stranger("another-installation")
		other := newWorld(t, t.TempDir())
		defer other.close()
		other.engine = stranger
		other.wire()
		other.run()
		other.completed(other.provision(2, "app:1", true))
		for n := range 6 {
			other.completed(other.deployTag(2, []string{"app:2", "app:1"}[n%2]))
			<-time.After(30 * time.Second)
		}
		other.stop()
		if told := w.foreign(); len(told) != 1 || !strings.Contains(told[0], "another-installation") {
			t.Errorf("told %d times: %q", len(told), told)
		}
	})
}

// The engine takes for ever to remove what a tenant left behind.
func TestRemovingStraysHoldsUpNoScan(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(2, "app:1", true))
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(2), berth.VolumesKeep))
		other := newWorld(t, t.TempDir()) // an older database, with the same keys
		defer other.close()
		other.engine = w.engine
		other.wire()
		other.run()
		other.completed(other.provision(2, "app:1", true))
		other.stop()
		var removes atomic.Bool
		var scans atomic.Int32
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			switch {
			case s.After:
			case s.Op == "list" && removes.Load():
				scans.Add(1)
			case s.Tenant == orgID(2) && !s.Read:
				removes.Store(true)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		w.eventually(time.Minute, "it is removed", removes.Load)
		<-time.After(time.Minute)
		if scans.Load() < 5 {
			t.Errorf("%d scans in a minute", scans.Load())
		}
		w.engine.SetFaults(nil)
		w.eventually(10*time.Minute, "it is gone", func() bool { return len(w.observed(2).Instances) == 0 })
	})
}

func TestStraysThatCameAfterTheEndAreRemoved(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		info, seen := w.tenant(1), w.observed(1)
		env := map[string]string{}
		builtin, err := blueprint.New(berth.BlueprintVersion{Name: berth.BuiltinBlueprint, Version: 1, Source: blueprint.BuiltinSource()})
		w.must(err)
		stack, err := builtin.Stack(info, env, nil, 2)
		w.must(err)
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep))
		// A call that was cut off takes effect after all, behind the loop's back.
		_, err = w.engine.Apply(ctx, stack)
		w.must(err)
		if len(w.observed(1).Instances) != len(seen.Instances) {
			t.Fatal("there is no stray")
		}
		w.eventually(time.Minute, "it is removed", func() bool {
			o := w.observed(1)
			return len(o.Instances) == 0 && !o.Network
		})
		if got := w.observed(1).Volumes; len(got) != 3 {
			t.Errorf("volumes were swept: %v are left", got)
		}
	})
}

func TestOnlyStraysThatATombstoneCoversAreRemoved(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		seen := w.observed(1)
		// A second Berth with the same keys and another database made this one:
		// ours by its seal, unknown to our database.
		other := newWorld(t, t.TempDir())
		defer other.close()
		other.engine = w.engine
		other.wire()
		other.run()
		other.completed(other.provision(2, "app:1", true))
		other.stop()
		<-time.After(time.Minute)
		if !w.running(2) {
			t.Error("a container that our database does not know was removed")
		}
		events, _, err := w.service.Events(ctx, w.actor, "", store.Page{})
		w.must(err)
		quarantined := false
		for _, e := range events {
			quarantined = quarantined || e.Kind == "foreign" && e.OrganizationID == orgID(2) && strings.Contains(e.Message, "quarantined")
		}
		if !quarantined {
			t.Errorf("it was not reported: %+v", events)
		}
		if len(seen.Instances) != len(w.observed(1).Instances) {
			t.Error("a living tenant was swept")
		}
	})
}
