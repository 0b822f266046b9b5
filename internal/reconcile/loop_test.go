package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

var ctx = context.Background()

func TestATenantLivesItsLife(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		call := tenancy.Call{}
		w.completed(w.provision(1, "app:1", false))
		if got := w.tenant(1); got.Status != berth.StatusStopped || got.ContainerID == "" {
			t.Fatalf("provisioned without start: %+v", got)
		}
		w.completed(w.service.Start(ctx, w.actor, call, orgID(1)))
		if got := w.tenant(1); got.Status != berth.StatusRunning || got.Health != berth.HealthHealthy || got.LastStartedAt.IsZero() {
			t.Fatalf("started: %+v", got)
		}
		if r, ok := w.edge.route(1); !ok || r.State != berth.RouteServing || len(r.Upstreams) != 1 {
			t.Fatalf("route of a running tenant: %+v", r)
		}
		if _, err := w.service.Start(ctx, w.actor, call, orgID(1)); err == nil || err.Error() != "Container is already running" {
			t.Fatalf("started twice: %v", err)
		}
		before := w.observed(1).Instances[0]
		w.completed(w.service.Restart(ctx, w.actor, call, orgID(1)))
		after := w.observed(1).Instances[0]
		if after.ID != before.ID || !after.StartedAt.After(before.StartedAt) {
			t.Fatalf("restart: %+v, then %+v", before, after)
		}
		cpu, replicas := 1.5, 3
		w.completed(w.service.Scale(ctx, w.actor, call, orgID(1), tenancy.Scale{CPU: &cpu, Replicas: &replicas}))
		scaled := w.observed(1)
		if len(scaled.Instances) != 3 || scaled.Instances[0].CPU != 0.5 || /* the limit is the tenant's: replicas share it */ scaled.Instances[0].ID != before.ID || !scaled.Instances[0].StartedAt.Equal(after.StartedAt) {
			t.Fatalf("scaled: %+v", scaled.Instances)
		}
		if r, _ := w.edge.route(1); len(r.Upstreams) != 3 {
			t.Fatalf("route to three replicas: %+v", r)
		}
		w.completed(w.service.Stop(ctx, w.actor, call, orgID(1)))
		if w.running(1) || w.tenant(1).Status != berth.StatusStopped {
			t.Fatal("runs after a stop")
		}
		if r, _ := w.edge.route(1); r.State != berth.RouteStopped {
			t.Fatalf("route of a stopped tenant: %+v", r)
		}
		if _, err := w.service.Stop(ctx, w.actor, call, orgID(1)); err == nil || err.Error() != "Container is already stopped" {
			t.Fatalf("stopped twice: %v", err)
		}
		w.completed(w.service.Deprovision(ctx, w.actor, call, orgID(1), berth.VolumesKeep))
		if o := w.observed(1); len(o.Instances) > 0 || o.Network || len(o.Volumes) != 3 {
			t.Fatalf("left after deprovisioning: %+v", o)
		}
		if _, ok := w.edge.route(1); ok {
			t.Fatal("a route leads to nobody")
		}
		if _, err := w.service.Tenant(ctx, w.actor, orgID(1)); err == nil || err.Error() != "Container not found" {
			t.Fatalf("found after deprovisioning: %v", err)
		}
	})
}

func TestAStartStartsOnceAndARestartOnceMore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		var starts atomic.Int32
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After && strings.HasPrefix(s.Op, "start") {
				starts.Add(1)
			}
			return nil
		})
		w.run()
		want := func(n int32, after string) {
			t.Helper()
			if starts.Load() != n {
				t.Fatalf("%d starts after %s, want %d", starts.Load(), after, n)
			}
		}
		w.completed(w.provision(1, "app:1", false))
		want(0, "provisioning without start")
		w.completed(w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1)))
		want(1, "a start")
		w.completed(w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)))
		want(2, "a restart")
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.completed(w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)))
		want(3, "a restart of a stopped tenant")
	})
}

// Seed fault 6: the table says running, the engine knows better.
func TestAnInstanceThatDiedIsNotAlreadyRunning(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.stop() // the loop sees nothing from here
		w.manual.Kill(t, w.observed(1).Instances[0].ID)
		r, err := w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		w.run()
		w.completed(r, nil)
		events, _, err := w.service.Events(ctx, w.actor, orgID(1), store.Page{})
		w.must(err)
		if len(events) != 1 || events[0].Kind != "drift" {
			t.Errorf("the death was not recorded as drift: %+v", events)
		}
	})
}

func TestProvisioningAgainFindsTheVolumesAndThePort(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep))
		kept, _, err := w.service.Volumes(ctx, w.actor, orgID(1), store.Page{})
		w.must(err)
		if len(kept) != 3 || kept[0].KeptAt.IsZero() {
			t.Fatalf("kept volumes: %+v", kept)
		}
		w.completed(w.provision(1, "app:1", true))
		if got := w.tenant(1).ExternalPort; got != 3001 {
			t.Errorf("port %d after the only tenant was deprovisioned", got)
		}
		again, _, err := w.service.Volumes(ctx, w.actor, orgID(1), store.Page{})
		w.must(err)
		if len(again) != 3 || !again[0].KeptAt.IsZero() || !again[0].CreatedAt.Equal(kept[0].CreatedAt) {
			t.Fatalf("volumes were not found again: %+v", again)
		}
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete))
		if o := w.observed(1); len(o.Volumes) != 0 {
			t.Fatalf("volumes left that were ordered gone: %v", o.Volumes)
		}
	})
}

func TestARollbackBringsBackTheExactImage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		v2 := "app:2"
		w.completed(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &v2}))
		if got := w.observed(1).Instances[0].Image; got != imageV2 {
			t.Fatalf("runs %s after deploying version 2", got)
		}
		w.engine.Tag("app:1", imageV2) // the tag moved on: the rollback must not follow it
		d := w.completed(w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), ""))
		if got := w.observed(1).Instances[0].Image; got != imageV1 || d.New.ImageDigest != imageV1 {
			t.Fatalf("runs %s after rolling back to version 1; the deployment says %s", got, d.New.ImageDigest)
		}
	})
}

func TestAFailedDeploymentLeavesTheTenantAsItWas(t *testing.T) {
	t.Parallel()
	for _, image := range []string{"app:sick", "app:crash", "app:absent"} {
		t.Run(strings.ReplaceAll(image, ":", " "), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				d := w.done(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &image}))
				if d.Status != berth.DeploymentFailed || d.Error == "" || d.CompletedAt.IsZero() {
					t.Fatalf("deploying %s: %+v", image, d)
				}
				w.eventually(time.Minute, "the former version runs and is well", func() bool {
					return w.running(1) && w.observed(1).Instances[0].Image == imageV1 && w.tenant(1).Health == berth.HealthHealthy
				})
				if got := w.tenant(1); got.Spec.ImageTag != "app:1" || got.Cause != "" {
					t.Fatalf("after the way back: %+v", got)
				}
			})
		})
	}
}

func TestAStopDoesNotWaitForADeploymentThatHangs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		sick := "app:sick"
		r, err := w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &sick})
		w.must(err)
		if _, err := w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)); !berth.Is(err, berth.CodeDeploymentInProgress) {
			t.Fatalf("a second change while one is under way: %v", err)
		}
		begin := time.Now()
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if d := w.done(r, nil); d.Status != berth.DeploymentSuperseded {
			t.Errorf("the deploy ended %s", d.Status)
		}
		if got := w.tenant(1).Spec.ImageTag; got != "app:1" {
			t.Errorf("the unproven image %s stayed", got)
		}
	})
}

// Faults 13 and 15.
func TestWhatIsRemovedByHandIsBackWithin15Seconds(t *testing.T) {
	t.Parallel()
	for kind, name := range map[string]string{"container": berth.ContainerName(orgID(1)), "network": berth.NetworkName(orgID(1))} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				w.manual.Remove(t, kind, name)
				w.eventually(15*time.Second, "it is back and serves", func() bool {
					r, _ := w.edge.route(1)
					return w.running(1) && w.observed(1).Network && r.State == berth.RouteServing
				})
				events, _, err := w.service.Events(ctx, w.actor, orgID(1), store.Page{})
				w.must(err)
				if len(events) == 0 || events[len(events)-1].Kind != "drift" {
					t.Errorf("no drift recorded: %+v", events)
				}
			})
		})
	}
}

// Fault 12: the fake's hints never come, because nothing watches.
func TestAFullScanFindsWhatNoEventTold(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if s.Op == "watch" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.manual.Kill(t, w.observed(1).Instances[0].ID)
		w.eventually(15*time.Second, "it runs again", func() bool { return w.running(1) })
	})
}

// Fault 14.
func TestATenantWhoseDataIsMissingIsNotStartedOnEmptyVolumes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.manual.Remove(t, "volume", berth.VolumeName(orgID(1), "uploads"))
		d := w.done(w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1)))
		if d.Status != berth.DeploymentFailed || !strings.Contains(d.Error, "uploads") {
			t.Fatalf("start without its data: %s %q", d.Status, d.Error)
		}
		if w.running(1) {
			t.Error("it runs on an empty volume")
		}
	})
}

// Fault 16.
func TestAForeignContainerUnderOurNameIsReportedAndLeftAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.manual.Add(t, "container", berth.ContainerName(orgID(1)), nil)
		d := w.done(w.provision(1, "app:1", true))
		if d.Status != berth.DeploymentFailed || w.tenant(1).Status != berth.StatusFailed {
			t.Fatalf("provisioned beside a foreign container: %+v", d)
		}
		if _, there := w.manual.Labels(t, "container", berth.ContainerName(orgID(1))); !there {
			t.Error("the foreign container is gone")
		}
	})
}

// Fault 10.
func TestAnEngineThatHangsLeavesTheAPIAnsweringAndNothingDestroyed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			<-ctx.Done()
			return berth.Errorf(berth.CodeEngineUnavailable, "engine does not answer: %w", ctx.Err())
		})
		begin := time.Now()
		st, err := w.service.State(ctx, w.actor, orgID(1))
		w.must(err)
		if st.EngineReachable || st.Tenant.Health != berth.HealthUnknown || time.Since(begin) > 10*time.Second {
			t.Errorf("state of an engine that hangs, after %v: %+v", time.Since(begin), st)
		}
		w.eventually(time.Minute, "health is unknown in the list too", func() bool { return w.tenant(1).Health == berth.HealthUnknown })
		r, err := w.provision(2, "app:1", true)
		w.must(err)
		w.engine.SetFaults(nil)
		begin = time.Now()
		w.completed(r, nil)
		w.eventually(time.Minute-time.Since(begin), "all is well again", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
		if !w.running(1) {
			t.Error("the tenant was harmed")
		}
	})
}

// Seed fault 8.
func TestATenantsURLNamesThePublicHost(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.publicHost = "tenants.example.com"
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", false))
		if got := w.tenant(1).URL; got != "http://tenants.example.com:3001" {
			t.Errorf("URL %s", got)
		}
	})
}

// Fault 9: instances that lived through it are left alone, those that did not
// are started once.
func TestAnEngineThatRestartsCostsNoNeedlessRestart(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.completed(w.provision(2, "app:1", true))
		before := w.observed(1).Instances[0]
		w.engine.SetDown(true)
		w.manual.End(t, w.observedWhileDown(2), 143, false)
		<-time.After(30 * time.Second)
		if got := w.tenant(1); got.Health != berth.HealthUnknown || got.Status != berth.StatusRunning {
			t.Errorf("while the engine is down: %s, %s", got.Status, got.Health)
		}
		w.engine.SetDown(false)
		w.eventually(time.Minute, "both are well", func() bool {
			return w.tenant(1).Health == berth.HealthHealthy && w.tenant(2).Health == berth.HealthHealthy
		})
		if after := w.observed(1).Instances[0]; after.ID != before.ID || !after.StartedAt.Equal(before.StartedAt) {
			t.Errorf("restarted needlessly: %+v, then %+v", before, after)
		}
	})
}

// Fault 11.
func TestOneTenantsTroubleIsItsOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if s.Tenant == orgID(1) {
				<-ctx.Done()
				return berth.Errorf(berth.CodeEngineUnavailable, "inspect hangs: %w", ctx.Err())
			}
			return nil
		})
		w.must(func() error { _, err := w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1)); return err }())
		begin := time.Now()
		w.completed(w.provision(2, "app:1", true))
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(2)))
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("another tenant waited %v", took)
		}
	})
}

func TestTwoHundredStartsDoNotMakeAStopWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(0, "app:1", true))
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.Read && !s.After && strings.HasPrefix(s.Op, "start") {
				<-time.After(2 * time.Second)
			}
			return nil
		})
		for n := 1; n <= 200; n++ {
			_, err := w.provision(n, "app:1", true)
			w.must(err)
		}
		begin := time.Now()
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(0)))
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the stop waited %v behind the starts", took)
		}
		w.eventually(5*time.Minute, "all run", func() bool {
			<-time.After(5 * time.Second)
			running, _, err := w.service.Tenants(ctx, w.actor, store.TenantFilter{Status: berth.StatusRunning, Page: store.Page{Limit: 1000}})
			w.must(err)
			return len(running) == 200
		})
	})
}

// Fault 20.
func TestAPortTakenLaterIsNamedAndTakenBackOnceFree(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.stop()
		w.edge.take(3001, true)
		w.wire()
		w.run()
		w.eventually(time.Minute, "the status names the port", func() bool { return strings.Contains(w.tenant(1).Cause, "3001") })
		if got := w.tenant(1).Status; got != berth.StatusRunning {
			t.Errorf("status %s", got)
		}
		w.edge.take(3001, false)
		w.eventually(time.Minute, "the cause is gone", func() bool { return w.tenant(1).Cause == "" })
	})
}

func TestIdempotencyKeysAreForgottenAfterADay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.ScanInterval = 10 * time.Minute // a day has 8,640 of the usual ones
		w.wire()
		w.run()
		call := tenancy.Call{Request: idempotency.Request{Key: "k", Fingerprint: []byte("f"), Order: true}}
		known := func() bool {
			again, err := w.service.Provision(ctx, w.actor, call, tenancy.Provision{OrganizationID: orgID(1), Name: "T", ImageTag: "app:1"})
			return err == nil && again.Earlier
		}
		w.completed(w.service.Provision(ctx, w.actor, call, tenancy.Provision{OrganizationID: orgID(1), Name: "T", ImageTag: "app:1"}))
		<-time.After(23 * time.Hour)
		if !known() {
			t.Error("forgotten within a day")
		}
		<-time.After(3 * time.Hour)
		if known() {
			t.Error("known after a day")
		}
	})
}
