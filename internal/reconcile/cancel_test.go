package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// cancelled takes an order back and waits until the tenant is as it was.
func (w *world) cancelled(n int) tenancy.Cancelled {
	w.t.Helper()
	out, err := w.service.Cancel(ctx, w.actor, orgID(n), "")
	w.must(err)
	return out
}

func (w *world) wellAgain(n int, image string) {
	w.t.Helper()
	w.eventually(2*time.Minute, "it is as it was", func() bool {
		o := w.observed(n)
		return w.tenant(n).Health == berth.HealthHealthy && w.tenant(n).Cause == "" && w.state(n) == berth.RouteServing && len(o.Instances) == 1 && o.Instances[0].Image == image
	})
}

func TestACancelledDeploymentLeavesWhatServedAsItWas(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		before := w.observed(1).Instances[0]
		r, err := w.deployTag(1, "app:sick")
		w.must(err)
		w.eventually(time.Minute, "both are there", func() bool { return len(w.observed(1).Instances) == 2 })
		served := len(w.edge.past())
		out := w.cancelled(1)
		if out.Deployment.ID != r.Deployment.ID || len(out.NotUndone) != 0 {
			t.Errorf("answered %+v", out)
		}
		if d := w.done(r, nil); d.Status != berth.DeploymentSuperseded || d.Error != "cancelled by op" {
			t.Errorf("it ended %s: %s", d.Status, d.Error)
		}
		w.wellAgain(1, imageV1)
		if after := w.observed(1).Instances[0]; after.ID != before.ID || !after.StartedAt.Equal(before.StartedAt) {
			t.Errorf("what served was touched: %+v, was %+v", after, before)
		}
		for _, r := range w.edge.past()[served:] {
			if r.State != berth.RouteServing {
				t.Errorf("the route was %s meanwhile", r.State)
			}
		}
		if kinds := w.events(1); len(kinds) != 0 {
			t.Errorf("told as %v", kinds)
		}
		if _, err := w.service.Cancel(ctx, w.actor, orgID(1), ""); !berth.Is(err, berth.CodeNothingUnderWay) {
			t.Errorf("nothing is under way: %v", err)
		}
		if _, err := w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), r.Deployment.ID); err == nil {
			t.Error("what was cancelled can be rolled back to")
		}
	})
}

func TestRequestsAreHeldOnTheWayBackOfAReplacementThatIsCancelled(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.provisionOf(1, "single")
		r, err := w.deployTag(1, "sick")
		w.must(err)
		w.eventually(time.Minute, "the new one is there alone", func() bool {
			o := w.observed(1)
			return len(o.Instances) == 1 && o.Instances[0].Image == imageSick
		})
		w.cancelled(1)
		w.wellAgain(1, imageV1)
		w.done(r, nil)
		states := ""
		for _, r := range w.edge.past() {
			states += string(r.State) + " "
		}
		if _, after, _ := strings.Cut(states, "holding"); strings.Contains(after, "starting") || strings.Contains(after, "stopped") {
			t.Errorf("requests were refused on the way: %s", states)
		}
	})
}

func TestARestartThatIsCancelledInTheMiddleEndsWithWhatRan(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		release := make(chan struct{})
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "start container") {
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		})
		r, err := w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		w.eventually(time.Minute, "it is down", func() bool { return !w.running(1) })
		w.cancelled(1)
		close(release)
		w.done(r, nil)
		w.wellAgain(1, imageV1)
		if kinds := w.events(1); len(kinds) != 0 {
			t.Errorf("told as %v", kinds)
		}
	})
}

func TestAStopAndAStartCanBeCancelled(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.SetDown(true)
		w.must(func() error { _, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)); return err }())
		w.cancelled(1)
		w.engine.SetDown(false)
		w.wellAgain(1, imageV1)
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.engine.SetDown(true)
		w.must(func() error { _, err := w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1)); return err }())
		w.cancelled(1)
		w.engine.SetDown(false)
		w.eventually(2*time.Minute, "it is stopped", func() bool {
			return w.tenant(1).Status == berth.StatusStopped && w.tenant(1).Cause == "" && !w.running(1)
		})
	})
}

// Until what the stop had begun is carried through, the tenant is down, though it is
// to run again: that is what its status shows, and who wanted it so.
func TestTheStatusAfterAStopThatWasCancelledTellsWhatIsAndWhy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		release := make(chan struct{})
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After && strings.HasPrefix(s.Op, "stop container") {
				<-release
			}
			return nil
		})
		w.must(func() error { _, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)); return err }())
		w.eventually(time.Minute, "it is down", func() bool { return !w.running(1) })
		w.cancelled(1)
		<-time.After(time.Second)
		st, err := w.service.State(ctx, w.actor, orgID(1))
		w.must(err)
		if st.OpenDeployment != nil || st.Tenant.Want != berth.WantRunning || st.Tenant.Status != berth.StatusFailed ||
			!strings.Contains(st.Tenant.Cause, "the stop was cancelled by op") || !strings.Contains(st.Tenant.Cause, "being repaired") {
			t.Errorf("it is to be %s and is shown as %s, %s: %s", st.Tenant.Want, st.Tenant.Status, st.Tenant.Health, st.Tenant.Cause)
		}
		close(release)
		w.wellAgain(1, imageV1)
		if got := w.events(1); len(got) > 0 {
			t.Errorf("told as %q", got)
		}
	})
}

// However a change of the settings ends before it is done, all of it goes back.
func TestAConfigureThatIsTakenBackGoesBackInName(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world) error{
		"cancelled": func(w *world) error { w.cancelled(1); return nil },
		"replaced": func(w *world) error {
			_, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
			return err
		},
		"failed": func(w *world) error { return nil },
	} {
		inBubble(t, func(w *world) {
			w.run()
			w.completed(w.provision(1, "app:1", true))
			before := w.tenant(1)
			w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
				if s.Read {
					return nil
				}
				return berth.Errorf(berth.CodeEngineRefused, "no")
			})
			other, disk, value := "Other", before.Spec.Limits.DiskMB+1024, "v"
			if name != "failed" {
				w.engine.SetDown(true)
			}
			r, err := w.service.Configure(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Configure{Name: &other, DiskMB: &disk, Environment: map[string]*string{"A": &value}})
			w.must(err)
			if w.tenant(1).Name != other {
				t.Fatalf("%s: it is called %q", name, w.tenant(1).Name)
			}
			w.must(end(w))
			w.done(r, nil)
			w.engine.SetFaults(nil)
			w.engine.SetDown(false)
			if after := w.tenant(1); after.Name != before.Name || after.Spec.Limits != before.Spec.Limits || len(after.Spec.Environment) != 0 {
				t.Errorf("%s: it is %q with %+v and %v", name, after.Name, after.Spec.Limits, after.Spec.Environment)
			}
		})
	}
}

func TestADeprovisionCanBeCancelledUntilItsRemovalBegins(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		before := w.observed(1).Instances[0]
		w.engine.SetDown(true)
		<-time.After(20 * time.Second)
		w.must(func() error {
			_, err := w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete)
			return err
		}())
		w.cancelled(1)
		w.engine.SetDown(false)
		w.wellAgain(1, imageV1)
		if after := w.observed(1).Instances[0]; after.ID != before.ID {
			t.Errorf("it was made anew: %+v, was %+v", after, before)
		}
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.Read {
				return nil
			}
			return berth.Errorf(berth.CodeEngineUnavailable, "no")
		})
		r, err := w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep)
		w.must(err)
		<-time.After(time.Second)
		if _, err := w.service.Cancel(ctx, w.actor, orgID(1), ""); !berth.Is(err, berth.CodeDeprovisioning) {
			t.Errorf("its removal has begun: %v", err)
		}
		w.engine.SetFaults(nil)
		w.completed(r, nil)
	})
}

func TestAMigrationThatRanIsNotUndoneAndThatIsSaid(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		r, err := m.deploy("sick", nil)
		m.must(err)
		m.eventually(time.Minute, "the migration ran", func() bool { return m.tenant(1).Released == m.tenant(1).Spec.Release })
		out := m.cancelled(1)
		if len(out.NotUndone) != 1 || out.NotUndone[0] != "what runs once per release (migrate) ran to its end, and is not undone" {
			t.Errorf("said %q", out.NotUndone)
		}
		m.done(r, nil)
		m.eventually(2*time.Minute, "it is as it was", func() bool { return m.tenant(1).Health == berth.HealthHealthy && m.tenant(1).Cause == "" })
		m.whole(imageV1)
	})
}

// A blueprint that this Berth can't read keeps no tenant from going back to its own.
func TestADeploymentOfABlueprintThatIsGoneIsTakenBackAllTheSame(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(strings.Replace(singleData, "x-berth: {", "x-berth: {volumes: {data: {shared: true}}, ", 1)))
		w.provisionOf(1, "single")
		w.engine.SetDown(true)
		r, err := w.deployTag(1, "app:2")
		w.must(err)
		w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
			r.Deployment.New.Blueprint, r.Deployment.StartedAt = "gone@1", time.Now().UTC()
			return tx.UpdateDeployment(ctx, r.Deployment)
		}))
		w.cancelled(1)
		w.engine.SetDown(false)
		w.wellAgain(1, imageV1)
	})
}
