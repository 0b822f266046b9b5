package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestImagesThatNothingLeadsBackToAreCollectedAndNoOthers(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		pin := func(n int) string { return fmt.Sprintf("registry/app@sha256:%064d", n) }
		const versions = 14
		for n := range versions {
			w.engine.InRegistry(fmt.Sprintf("registry/app:%d", n), pin(n), nil)
		}
		w.run()
		w.completed(w.provision(1, "app:1", true)) // it was there, and nobody pulled it
		for n := range versions {
			tag := fmt.Sprintf("registry/app:%d", n)
			w.completed(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &tag}))
		}
		<-time.After(3 * time.Hour)
		var kept []string
		for n := range versions {
			if w.engine.HasImage(pin(n)) {
				kept = append(kept, fmt.Sprint(n))
			}
		}
		if got := strings.Join(kept, " "); got != "4 5 6 7 8 9 10 11 12 13" {
			t.Errorf("kept versions %s", got)
		}
		if !w.engine.HasImage(imageV1) || !w.engine.HasImage(imageV2) {
			t.Error("an image that Berth did not pull was collected")
		}
		// A rollback to what was kept needs no registry; to what was not, it pulls
		// again, and says so where it can't.
		history, _, err := w.service.Deployments(ctx, w.actor, orgID(1), store.Page{})
		w.must(err)
		w.engine.InRegistry("registry/app:13", "", berth.Errorf(berth.CodeRegistryUnavailable, "the registry is down"))
		w.completed(w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), history[9].ID))
		before := w.observed(1).Instances[0]
		d := w.done(w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), history[13].ID))
		if d.Status != berth.DeploymentFailed || !strings.Contains(d.Error, "There is no image") {
			t.Errorf("rolled back to an image that has gone: %s, %s", d.Status, d.Error)
		}
		if after := w.observed(1).Instances; len(after) != 1 || after[0].ID != before.ID || !after[0].StartedAt.Equal(before.StartedAt) {
			t.Errorf("it changed something: %+v, was %+v", after, before)
		}
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete))
		<-time.After(3 * time.Hour)
		for n := range versions {
			if w.engine.HasImage(pin(n)) {
				t.Errorf("version %d is kept for nobody", n)
			}
		}
	})
}

// A clock that was once ahead dates a pull in the future. That is no fresh image, or
// it would never be collected.
func TestAnImageWhosePullIsDatedInTheFutureIsCollected(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		pin := "sha256:" + strings.Repeat("a", 64)
		w.engine.SetImage(pin, enginetest.Program{})
		info, err := w.engine.Info(ctx)
		w.must(err)
		w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
			return tx.PutImage(ctx, berth.PulledImage{EngineID: info.ID, Pin: pin, Reference: "app:9", PulledAt: time.Now().AddDate(10, 0, 0).UTC()})
		}))
		w.run()
		<-time.After(3 * time.Hour)
		if w.engine.HasImage(pin) {
			t.Error("it is still there")
		}
	})
}
