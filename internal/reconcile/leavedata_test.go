package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// Blueprints that mount something else where singleData has its volume.
var (
	singleRenamed = strings.NewReplacer("data:/data", "files:/data", "{data: {}}", "{files: {}}").Replace(singleData)
	singleTmpfs   = strings.Replace(single, "x-berth", "    tmpfs: [\"/data\"]\nx-berth", 1)
)

// newest deploys the newest version, as the flag says.
func (w *world) newest(dry, leaveData bool) (tenancy.Receipt, error) {
	return w.service.Deploy(ctx, w.actor, tenancy.Call{DryRun: dry}, orgID(1), tenancy.Deploy{LeaveData: leaveData})
}

// wantTold wants a dry run of a deployment that is meant to say what it leaves
// behind.
func (w *world) wantTold(what string, names ...string) {
	w.t.Helper()
	r, err := w.newest(true, true)
	if err != nil || len(r.Forecast.LeftBehind) != 1 {
		w.t.Errorf("%s: a dry run of what is meant: %+v, %v", what, r.Forecast, err)
		return
	}
	for _, name := range names {
		if line := r.Forecast.LeftBehind[0]; !strings.Contains(line, name) {
			w.t.Errorf("%s: %s is not named: %s", what, name, line)
		}
	}
}

func (w *world) provisionSingle(leaveData bool) (tenancy.Receipt, error) {
	return w.service.Provision(ctx, w.actor, tenancy.Call{}, tenancy.Provision{OrganizationID: orgID(1), Name: "One", Blueprint: "single", Start: true, LeaveData: leaveData})
}

// wantLeft wants a refusal that names all that is needed to get out of it.
func (w *world) wantLeft(what string, err error, names ...string) {
	w.t.Helper()
	var refused *berth.Error
	if !errors.As(err, &refused) || refused.Code != berth.CodeDataLeftBehind || refused.Field != "blueprint" || !strings.Contains(refused.Hint, "--leave-data") {
		w.t.Errorf("%s: %v", what, err)
		return
	}
	for _, name := range names {
		if !strings.Contains(refused.Message, name) {
			w.t.Errorf("%s: the message does not name %s: %s", what, name, refused.Message)
		}
	}
}

func TestNoTenantBeginsEmptyWhereItHasDataUnlessThatIsMeant(t *testing.T) {
	t.Parallel()
	ofImage := berth.ImageVolumeName(orgID(1), berth.Slot{Name: "web", Replica: 1}, "/data")
	named := berth.VolumeName(orgID(1), "data")
	for name, c := range map[string]struct{ before, after, holds, mounts string }{
		"a volume in the place of the image's":  {single, singleData, ofImage, named},
		"a tmpfs in the place of the image's":   {single, singleTmpfs, ofImage, ""},
		"a volume that has another name":        {singleData, singleRenamed, named, berth.VolumeName(orgID(1), "files")},
		"a tmpfs in the place of a volume":      {singleData, singleTmpfs, named, ""},
		"a volume of another name, once it ran": {singleRenamed, singleData, berth.VolumeName(orgID(1), "files"), named},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.engine.SetImage(imageV1, enginetest.Program{Volumes: []string{"/data"}})
				w.run()
				w.apply([]byte(c.before))
				w.completed(w.provisionSingle(false))
				w.apply([]byte(c.after))
				for _, dry := range []bool{true, false} {
					_, err := w.newest(dry, false)
					w.wantLeft(name, err, c.holds, "service web", "/data", "single@2")
				}
				if v, ok := w.recordOf(c.mounts); ok {
					t.Errorf("a refused order recorded %+v", v)
				}
				if is := w.tenant(1).Spec.Blueprint; is != "single@1" {
					t.Errorf("a refused order moved the tenant to %s", is)
				}
				w.wantTold(name, c.holds, "service web begins empty at /data", "single@2")
				w.completed(w.newest(false, true))
				if o := w.observed(1); !slices.Contains(o.Volumes, c.holds) || len(o.Instances) != 1 || slices.Contains(o.Instances[0].Writes, c.holds) {
					t.Errorf("what was left is gone, or still mounted: %+v", o)
				}
				if r, err := w.newest(true, true); err != nil || len(r.Forecast.LeftBehind) > 0 {
					t.Errorf("what is mounted is left behind: %+v, %v", r.Forecast, err)
				}
				w.completed(w.newest(false, false))                                                 // said once is enough
				w.completed(w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), ""))         // and again the first
				w.completed(w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), w.first(1))) // to what was
				if o := w.observed(1); len(o.Instances) != 1 || !slices.Contains(o.Instances[0].Writes, c.holds) {
					t.Errorf("after the way back the data is not mounted: %+v", o)
				}
			})
		})
	}
}

// first is the oldest deployment of a tenant.
func (w *world) first(n int) string {
	w.t.Helper()
	list, _, err := w.service.Deployments(ctx, w.actor, orgID(n), store.Page{})
	w.must(err)
	return list[len(list)-1].ID
}

func TestWhatHasNoDataYetOrFindsItAgainIsDeployed(t *testing.T) {
	t.Parallel()
	elsewhere := strings.Replace(singleData, "data:/data", "data:/elsewhere", 1)
	inBubble(t, func(w *world) {
		w.run()
		for _, source := range []string{single, singleData, elsewhere, singleData} { // the image declares nothing
			w.apply([]byte(source))
			if source == single {
				w.completed(w.provisionSingle(false))
			}
			w.completed(w.newest(false, false))
		}
	})
}

func TestATenantThatIsProvisionedAgainFindsItsDataOrIsToldOfIt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.completed(w.provisionSingle(false))
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep))
		w.apply([]byte(singleRenamed))
		_, err := w.provisionSingle(false)
		w.wantLeft("a volume that has another name", err, berth.VolumeName(orgID(1), "data"), "service web", "/data", "single@2")
		w.completed(w.provisionSingle(true))
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete))
		w.apply([]byte(singleData))
		w.completed(w.provisionSingle(false)) // nothing is left
	})
}

// Between two blueprints that mount something at a path there may have been one that
// mounts nothing there: the comparison goes by the volumes on record, not by the last
// blueprint alone, nor by a deployment that may be forgotten.
func TestABlueprintBetweenHidesNoData(t *testing.T) {
	t.Parallel()
	data := berth.VolumeName(orgID(1), "data")
	for name, after := range map[string]string{"a volume": singleRenamed, "a tmpfs": singleTmpfs} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.run()
				w.apply([]byte(singleData))
				w.completed(w.provisionSingle(false))
				w.apply([]byte(single))
				w.completed(w.newest(false, false))
				w.apply([]byte(after))
				_, err := w.newest(false, false)
				w.wantLeft("deploy", err, data, "service web", "/data", "single@3")
				w.wantTold("deploy", data)
				w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep))
				_, err = w.provisionSingle(false)
				w.wantLeft("provision", err, data, "service web", "/data", "single@3")
				w.apply([]byte(singleData))
				w.completed(w.provisionSingle(false)) // finds it again
			})
		})
	}
}

// Where what is there was moved to another path, or is another service's, nothing is
// left behind.
func TestAVolumeThatIsMountedElsewhereIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.completed(w.provisionSingle(false))
		w.apply([]byte(single))
		w.completed(w.newest(false, false))
		w.apply([]byte(strings.NewReplacer("[\"data:/data\"]", "[\"files:/data\", \"data:/old\"]", "{data: {}}", "{data: {}, files: {}}").Replace(singleData)))
		w.completed(w.newest(false, false))
	})
}

// An order that is taken back has claimed nothing: what an earlier tenant left is
// still shown as kept, and no longer once a deployment has mounted it.
func TestADeployThatIsTakenBackLeavesAKeptVolumeKept(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		kept := func() bool {
			list, _, err := w.service.Volumes(ctx, w.actor, orgID(1), store.Page{})
			w.must(err)
			return len(list) == 1 && !list[0].KeptAt.IsZero()
		}
		w.run()
		w.apply([]byte(singleData))
		w.completed(w.provisionSingle(false))
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep))
		w.apply([]byte(single))
		w.completed(w.provisionSingle(true))
		if !kept() {
			t.Fatal("the volume is not kept")
		}
		w.apply([]byte(singleData))
		release := make(chan struct{})
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "create container") {
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			return nil
		})
		_, err := w.newest(false, false)
		w.must(err)
		<-time.After(time.Second)
		w.cancelled(1)
		close(release)
		w.engine.SetFaults(nil)
		w.wellAgain(1, imageV1)
		if !kept() {
			t.Error("the deploy was cancelled, and the volume is not kept any more")
		}
		w.completed(w.newest(false, false))
		if kept() {
			t.Error("the volume is in use, and still counts as kept")
		}
	})
}

// A volume that was made for an order that was cancelled is empty: what the next
// order says of the data counts, not what the first one said.
func TestToLeaveDataIsMeantByOneOrderOnly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.completed(w.provisionSingle(false))
		w.apply([]byte(strings.Replace(singleRenamed, "app:1", "app:sick", 1)))
		r, err := w.newest(false, true)
		w.must(err)
		files := berth.VolumeName(orgID(1), "files")
		w.eventually(time.Minute, "the new volume is on record as made", func() bool {
			v, ok := w.recordOf(files)
			return ok && !v.CreatedAt.IsZero()
		})
		w.cancelled(1)
		w.done(r, nil)
		w.wellAgain(1, imageV1)
		_, err = w.newest(false, false)
		w.wantLeft("the next order", err, berth.VolumeName(orgID(1), "data"), "service web", "/data", "which the tenant does not use now")
		w.wantTold("the next order", "volume files", berth.VolumeName(orgID(1), "data"))
	})
}

// The engine goes away in the midst of a new tenant's first Apply, and is late to show
// what there is. What an earlier tenant of the organization had, and was ordered gone
// and seen to be gone, counts neither as there nor as lost.
func TestANewTenantMissesNothingThatAnEarlierOneHad(t *testing.T) {
	t.Parallel()
	for others := range 3 { // with which of its changes meets a conflict
		inBubble(t, func(w *world) {
			w.engine.SetWillful(true)
			w.run()
			w.completed(w.provision(1, "app:1", true))
			w.loop.Recheck(orgID(1))
			<-time.After(time.Second)
			for n := range others {
				w.completed(w.provision(2+n, "app:1", true))
			}
			w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete))
			w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
				if strings.HasPrefix(s.Op, "create") {
					w.engine.SetDown(true)
				}
				return nil
			})
			r, err := w.provision(1, "app:1", true)
			w.must(err)
			<-time.After(5 * time.Second)
			w.engine.SetFaults(nil)
			w.engine.SetDown(false)
			w.completed(r, nil)
		})
	}
}
