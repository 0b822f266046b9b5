package reconcile_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// keepingImages gives both versions of the app a volume that no blueprint names.
func keepingImages(w *world) (volume string) {
	w.engine.SetImage(imageV1, enginetest.Program{Volumes: []string{"/keep"}})
	w.engine.SetImage(imageV2, enginetest.Program{Volumes: []string{"/keep"}})
	w.run()
	w.completed(w.provision(1, "app:1", true))
	for _, c := range w.observed(1).Instances {
		return berth.ImageVolumeName(orgID(1), c.Slot(), "/keep")
	}
	w.t.Fatal("there is no instance")
	return ""
}

func (w *world) recordOf(volume string) (v berth.VolumeRecord, ok bool) {
	w.t.Helper()
	list, _, err := w.service.Volumes(ctx, w.actor, orgID(1), store.Page{})
	w.must(err)
	i := slices.IndexFunc(list, func(v berth.VolumeRecord) bool { return v.Name == volume })
	if i < 0 {
		return v, false
	}
	return list[i], true
}

func TestWhatAnImageKeepsIsRecordedAndHasOneWriterThroughDeployments(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		volume := keepingImages(w)
		v, ok := w.recordOf(volume)
		if !ok || v.Mount != "/keep" || v.CreatedAt.IsZero() || v.EngineID == "" {
			t.Fatalf("recorded: %+v, %t", v, ok)
		}
		tag := "app:2"
		w.completed(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &tag}))
		if o := w.observed(1); len(o.Instances) != 1 || !slices.Contains(o.Instances[0].Writes, volume) || o.Instances[0].Image != imageV2 {
			t.Errorf("the next version: %+v", o.Instances)
		}
		if held := w.engine.HeldTwice(); len(held) > 0 {
			t.Errorf("two versions wrote to one volume: %v", held)
		}
	})
}

func TestWhatAnImageKeepsIsKeptOrGoesWithTheTenantAsOrdered(t *testing.T) {
	t.Parallel()
	for order, there := range map[berth.VolumePolicy]bool{berth.VolumesKeep: true, berth.VolumesDelete: false} {
		inBubble(t, func(w *world) {
			volume := keepingImages(w)
			w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), order))
			v, recorded := w.recordOf(volume)
			if got := slices.Contains(w.observed(1).Volumes, volume); got != there || recorded != there || recorded && v.KeptAt.IsZero() {
				t.Errorf("%s: there %t, recorded %t, kept at %v", order, got, recorded, v.KeptAt)
			}
		})
	}
}

func TestWhatAnImageKeptIsInUseOnceItsTenantIsProvisionedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		volume := keepingImages(w)
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep))
		kept, _ := w.recordOf(volume)
		w.completed(w.provision(1, "app:1", true))
		v, ok := w.recordOf(volume)
		if !ok || !v.KeptAt.IsZero() || kept.KeptAt.IsZero() || !v.CreatedAt.Equal(kept.CreatedAt) {
			t.Errorf("kept: %+v; in use: %+v, %t", kept, v, ok)
		}
	})
}

func TestATenantIsNotStartedOnAnEmptyVolumeOfItsImage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		volume := keepingImages(w)
		w.manual.Remove(t, "container", berth.ContainerName(orgID(1)))
		w.manual.Remove(t, "volume", volume)
		w.eventually(2*time.Minute, "it is said", func() bool { return strings.Contains(w.tenant(1).Cause, volume) })
		if o := w.observed(1); slices.Contains(o.Volumes, volume) || len(o.Instances) != 0 {
			t.Errorf("it was made anew: %+v", o)
		}
	})
}

// A version that is not done yet may have begun to fill a volume that no record says
// was made: nobody ordered it deleted.
func TestAVolumeOfAVersionThatWasNotDoneIsKeptWithTheTenantsOthers(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(single))
		w.completed(w.provisionSingle(false))
		w.apply([]byte(singleData))
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if s.After && strings.HasPrefix(s.Op, "start container") {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		_, err := w.newest(false, false)
		w.must(err)
		volume := berth.VolumeName(orgID(1), "data")
		w.eventually(time.Minute, "the new version has its volume", func() bool { return slices.Contains(w.observed(1).Volumes, volume) })
		if v, ok := w.recordOf(volume); !ok || !v.CreatedAt.IsZero() {
			t.Fatalf("recorded as %+v, %t", v, ok)
		}
		r, err := w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep)
		w.engine.SetFaults(nil)
		w.completed(r, err)
		v, ok := w.recordOf(volume)
		if !ok || v.KeptAt.IsZero() || v.CreatedAt.IsZero() || v.EngineID == "" || !slices.Contains(w.observed(1).Volumes, volume) {
			t.Errorf("recorded as %+v, %t", v, ok)
		}
	})
}
