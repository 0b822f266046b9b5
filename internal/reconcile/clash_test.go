package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// An order that replaced a provision nobody had taken up is cancelled.
func TestCancelOfWhatReplacedAProvision(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"stop", "deprovision", "deprovision, where control planes share the database"} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.engine.SetDown(true)
				<-time.After(30 * time.Second)
				_, err := w.provision(1, "app:1", true)
				w.must(err)
				if strings.Contains(how, "share") { // then a tenant has its engine from the start
					w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
						tenant, err := tx.Tenant(ctx, orgID(1))
						if err != nil {
							return err
						}
						tenant.EngineID = "fake-engine"
						return tx.UpdateTenant(ctx, &tenant)
					}))
				}
				if how == "stop" {
					_, err = w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
				} else {
					_, err = w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep)
				}
				w.must(err)
				w.cancelled(1)
				t.Logf("after cancel: %s %s engine %q", w.tenant(1).Status, w.tenant(1).Health, w.tenant(1).EngineID)
				if is := w.tenant(1).Status; is != berth.StatusPending && how != "stop" {
					t.Errorf("shown as %s, and nothing was done yet", is)
				}
				w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
					if !s.After && strings.HasPrefix(s.Op, "create container") {
						<-time.After(5 * time.Second)
					}
					return nil
				})
				w.engine.SetDown(false)
				w.eventually(2*time.Minute, "its first stack is being made", func() bool { return w.tenant(1).Status == berth.StatusProvisioning })
				<-time.After(2 * time.Minute)
				w.engine.SetFaults(nil)
				tn := w.tenant(1)
				if how != "stop" && len(w.messages(1)) > 0 {
					t.Errorf("told %v", w.messages(1))
				}
				t.Logf("%s %s cause %q engine %q, events %v", tn.Status, tn.Health, tn.Cause, tn.EngineID, w.messages(1))
				if tn.Status != berth.StatusRunning || tn.Health != berth.HealthHealthy || tn.Cause != "" {
					t.Errorf("it is %s, %s: %s", tn.Status, tn.Health, tn.Cause)
				}
				if tn.EngineID == "" {
					t.Error("runs on an engine that is not recorded")
				}
				w.manual.TryKill(tn.ContainerID)
				<-time.After(2 * time.Minute)
				t.Logf("killed: running %t, %s %s, events %d", w.running(1), w.tenant(1).Status, w.tenant(1).Health, len(w.messages(1)))
				w.manual.TryRemove("container", w.observed(1).Instances[0].Name)
				<-time.After(2 * time.Minute)
				t.Logf("removed: running %t, %s %s, events %d", w.running(1), w.tenant(1).Status, w.tenant(1).Health, len(w.messages(1)))
			})
		})
	}
}

func TestSubnetsThatAllClash(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		var n atomic.Int32
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.Op == "create network" && !s.After {
				if n.Add(1) > 200 {
					return berth.Errorf(berth.CodeEngineRefused, "enough")
				}
				return berth.Errorf(berth.CodeSubnetTaken, "overlaps")
			}
			return nil
		})
		began := time.Now()
		r, err := w.provision(1, "app:1", true)
		w.must(err)
		<-time.After(3 * time.Minute)
		if d := w.done(r, nil); d.Status != berth.DeploymentFailed || !strings.Contains(d.Error, "overlaps") {
			t.Errorf("%s %s", d.Status, d.Error)
		}
		t.Logf("%d attempts, %d events (of at most 100), %v", n.Load(), len(w.messages(1)), time.Since(began))
		if m := w.messages(1); strings.Contains(strings.Join(m[:8], " "), "10.64.0.0/28") || len(m) > 12 {
			t.Errorf("went back to one that clashed: %v", m)
		}
		if n.Load() > 50 {
			t.Error("hot loop")
		}
	})
}

// What was cancelled had a version that shares its volume with nobody.
func TestAVolumeIsNotSharedOnTheWayBackOfACancel(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		w := m.world
		w.apply([]byte(strings.Replace(singleData, "x-berth: {", "x-berth: {volumes: {data: {shared: true}}, ", 1)))
		w.provisionOf(2, "single")
		w.apply([]byte(singleData))
		got := m.watchWriters("data", func(s, _ string) bool { return s == "web" })
		tag := "sick"
		r, err := w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(2), tenancy.Deploy{ImageTag: &tag, Blueprint: bp("single")})
		w.must(err)
		w.eventually(time.Minute, "the new one is there alone", func() bool {
			o := w.observed(2)
			return len(o.Instances) == 1 && o.Instances[0].Image == imageSick && o.Instances[0].State == berth.InstanceRunning
		})
		w.cancelled(2)
		w.done(r, nil)
		<-time.After(2 * time.Minute)
		if list := got(); len(list) > 0 {
			t.Errorf("two generations hold the volume: %v", list)
		}
	})
}

// A look fails just after Berth began anew in the middle of a deployment.
func TestAFirstLookThatFailsCostsNoRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.Observe = 5 * time.Minute
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		r, err := w.deployTag(1, "app:2")
		w.must(err)
		w.eventually(time.Minute, "both are there", func() bool { return len(w.observed(1).Instances) == 2 })
		<-time.After(5 * time.Second)
		w.stop()
		var until atomic.Int64
		until.Store(time.Now().Add(3 * time.Second).UnixNano())
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.Op == "observe" && time.Now().UnixNano() < until.Load() {
				return berth.Errorf(berth.CodeEngineUnavailable, "slow")
			}
			return nil
		})
		w.wire()
		w.edge.forget()
		w.run()
		<-time.After(time.Minute)
		t.Logf("route %s", w.state(1))
		for _, x := range w.edge.past() {
			t.Logf("route %s %v", x.State, x.Upstreams)
			if x.State != berth.RouteServing {
				t.Error("what serves and is well lost its route")
			}
		}
		w.done(r, nil)
	})
}
