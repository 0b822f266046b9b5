package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// writers watches each start: which running instances mount the volume.
func (m *model) watchWriters(volume string, mounts func(service string, image string) bool) func() []string {
	var mu sync.Mutex
	var found []string
	m.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
		if !s.After || s.Read || s.Tenant == "" || !strings.HasPrefix(s.Op, "start") {
			return nil
		}
		o, err := m.engine.Manual().Observe(ctx, s.Tenant)
		_ = err
		var up []string
		for _, c := range o.Instances {
			if c.State == berth.InstanceRunning && mounts(c.Service, c.Image) {
				up = append(up, fmt.Sprintf("%s(g%d)", c.Service, c.Generation))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(up) > 1 {
			found = append(found, s.Op+": "+strings.Join(up, "+"))
		}
		return nil
	})
	return func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(found) }
}

const single = "name: single\nservices:\n  web:\n    image: app:1\n    user: \"1000:1000\"\n    ports: [\"3000\"]\nx-berth: {tenant_environment: []}\n"

var singleData = strings.Replace(single, "x-berth", "    volumes: [\"data:/data\"]\nvolumes: {data: {}}\nx-berth", 1)

func (w *world) provisionOf(n int, blueprint string) {
	w.completed(w.service.Provision(ctx, w.actor, tenancy.Call{}, tenancy.Provision{OrganizationID: orgID(n), Name: "S", Blueprint: blueprint, Start: true}))
}

func (w *world) deployTag(n int, tag string) (tenancy.Receipt, error) {
	return w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(n), tenancy.Deploy{ImageTag: &tag})
}

func bp(name string) *string { return &name }

// The service that holds the unshared volume is renamed, web changes too.
func TestAVolumeWhoseServiceIsRenamedHasOneWriter(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		renamed := strings.ReplaceAll(product, "  db:\n", "  database:\n")
		renamed = strings.ReplaceAll(renamed, "{db: {condition", "{database: {condition")
		m.apply([]byte(renamed))
		got := m.watchWriters("data", func(s, _ string) bool { return s == "db" || s == "database" })
		tag := "2"
		d := m.done(m.service.Deploy(ctx, m.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &tag, Blueprint: bp("product")}))
		t.Logf("%s %s", d.Status, d.Error)
		if w := got(); len(w) > 0 {
			t.Errorf("two services hold the unshared volume: %v", w)
		}
	})
}

// The main service is renamed.
// Hold never ends when the way back has no image.
func TestNobodyWaitsForAWayBackThatHasNoImage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.provisionOf(1, "single")
		r, err := w.deployTag(1, "sick")
		<-time.After(5 * time.Second)
		w.engine.DropImage(imageV1)
		d := w.done(r, err)
		t.Logf("%s %s", d.Status, d.Error)
		<-time.After(time.Hour)
		tn := w.tenant(1)
		t.Logf("route %s; tenant %s %s %q; %d containers", w.state(1), tn.Status, tn.Health, tn.Cause, len(w.observed(1).Instances))
		if w.state(1) == berth.RouteHolding {
			t.Error("after an hour requests are still held")
		}
	})
}

// The engine goes away between the hold and the stop; what runs is well.
// Hold never ends when an inside service stays unwell after the revert.
// One of two replicas sick, Berth restarts.
func TestOneSickReplicaCostsOnlyItselfWhenBerthBeginsAnew(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		two := 2
		w.completed(w.service.Scale(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Scale{Replicas: &two}))
		sick := w.observed(1).Instances[1]
		w.sick.Store(&sick.Address)
		w.say(1, sick.ID, berth.Vital{Started: true, Cause: "answered 503"})
		<-time.After(time.Minute)
		r, _ := w.edge.route(1)
		t.Logf("before: %s %v", r.State, r.Upstreams)
		w.stop()
		w.wire()
		w.run()
		<-time.After(10 * time.Minute)
		r, _ = w.edge.route(1)
		t.Logf("after: %s %v %+v", r.State, r.Upstreams, w.tenant(1).Cause)
		if len(r.Upstreams) != 1 {
			t.Error("the replica that is well gets no requests")
		}
	})
}

// Routes right after a restart of Berth.
// Crash while a sick version stands beside.
func TestABerthThatBeginsAnewLeadsToNothingUnproven(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.Patience = 10 * time.Minute
		w.wire()
		w.run()
		w.apply([]byte(single))
		w.provisionOf(1, "single")
		_, err := w.deployTag(1, "sick")
		w.must(err)
		<-time.After(10 * time.Second)
		for _, c := range w.observed(1).Instances {
			t.Log(c.Name, c.Image, c.Address)
		}
		w.stop()
		w.wire()
		w.edge.forget()
		w.run()
		<-time.After(time.Minute)
		for _, r := range w.edge.past() {
			t.Log(r.State, r.Upstreams)
			for _, u := range r.Upstreams {
				if !w.engine.Healthy(u) {
					t.Error("a route leads to a version that never was well")
				}
			}
		}
	})
}

// One engine error after a long observation undoes a deployment that had arrived.
func synctestProduct(t *testing.T, observe time.Duration, f func(m *model)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &model{world: newWorld(t, dir)}
		m.config.Observe = observe
		defer m.close()
		db := "sha256:" + strings.Repeat("d", 64)
		m.engine.SetImage(db, enginetest.Program{})
		m.engine.Tag("db:1", db)
		m.boot()
		m.apply([]byte(product))
		f(m)
	})
}

// A version that is sick in two rounds of three passes observation.
func TestAVersionThatIsNeverWellForLongIsNotTaken(t *testing.T) {
	t.Parallel()
	synctestProduct(t, 15*time.Second, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		r, err := m.deploy("2", nil)
		m.must(err)
		n := 0
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(500 * time.Millisecond):
				}
				n++
				m.engine.SetImage(imageV2, enginetest.Program{Sick: n%3 != 0})
			}
		}()
		d := m.done(r, nil)
		close(stop)
		<-stopped
		if d.Status == berth.DeploymentCompleted {
			t.Errorf("%s after %d flaps", d.Status, n)
		}
	})
}

// A given up worker keeps everything else from being mended.
// Moving an unshared volume from one service to another.
func TestAVolumeThatMovesToAnotherServiceHasOneWriter(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		files := strings.Replace(product, "    ports: [\"3000\"]\n", "    ports: [\"3000\"]\n    volumes: [\"files:/files\"]\n", 1)
		files = strings.Replace(files, "volumes: {data: {}}", "volumes: {data: {}, files: {}}", 1)
		m.apply([]byte(files))
		m.provisionProduct(true)
		m.whole(imageV1)
		moved := strings.Replace(product, "    command: [work]\n", "    command: [work]\n    volumes: [\"files:/files\"]\n", 1)
		moved = strings.Replace(moved, "volumes: {data: {}}", "volumes: {data: {}, files: {}}", 1)
		m.apply([]byte(moved))
		got := m.watchWriters("files", func(s, image string) bool {
			return s == "web" && image == imageV1 || s == "worker" && image == imageV2
		})
		d := m.done(m.deploy("2", nil))
		t.Log(d.Status, d.Error)
		if w := got(); len(w) > 0 {
			t.Errorf("two generations hold the unshared volume: %v", w)
		}
	})
}

// A volume that becomes shared with the new version.
// A crash between stop and start of a stop-first replacement.
// An instance that can't be stopped, while the rest of the engine works.
func TestAnInstanceThatCanNotBeStoppedEndsTheDeploymentNotTheTenant(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.provisionOf(1, "single")
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "stop container") {
				return berth.Errorf(berth.CodeEngineUnavailable, "did not receive an exit event")
			}
			return nil
		})
		r, err := w.deployTag(1, "2")
		w.must(err)
		<-time.After(time.Hour)
		tn := w.tenant(1)
		t.Logf("route %s, containers %v; %s %s %q", w.state(1), w.manual.State(orgID(1)), tn.Status, tn.Health, tn.Cause)
		dep, _ := w.service.Deployment(ctx, w.actor, orgID(1), r.Deployment.ID)
		t.Log("deployment", dep.Status)
		if w.state(1) == berth.RouteHolding {
			t.Error("what runs is well, and requests are held for an hour; patience is 20 s")
		}
	})
}

func (w *world) watchRoute(n int) func() []string {
	var mu sync.Mutex
	var bad []string
	w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
		if !s.After || s.Read {
			return nil
		}
		r, _ := w.edge.route(n)
		ok := r.State == berth.RouteHolding || len(r.Upstreams) > 0
		for _, u := range r.Upstreams {
			ok = ok && w.engine.Healthy(u)
		}
		if !ok {
			mu.Lock()
			bad = append(bad, fmt.Sprintf("%s: %s %d", s.Op, r.State, len(r.Upstreams)))
			mu.Unlock()
		}
		return nil
	})
	return func() []string { mu.Lock(); defer mu.Unlock(); return bad }
}

// Replicas and image at once, by a rollback; and a network with no room.
func TestReplicasAndImageChangeAtOnce(t *testing.T) {
	t.Parallel()
	for _, n := range [][2]int{{3, 1}, {1, 3}, {8, 8}, {1, 8}, {8, 1}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.apply([]byte(single))
				w.provisionOf(1, "single")
				if n[0] > 1 {
					w.completed(w.service.Scale(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Scale{Replicas: &n[0]}))
				}
				two := "2"
				w.completed(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &two}))
				one := "1"
				first := w.completed(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &one}))
				if n[1] != n[0] {
					w.completed(w.service.Scale(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Scale{Replicas: &n[1]}))
				}
				w.completed(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &two}))
				bad := w.watchRoute(1)
				d := w.done(w.service.Rollback(ctx, w.actor, tenancy.Call{}, orgID(1), first.ID))
				t.Log(d.Status, d.Error, len(w.observed(1).Instances))
				if b := bad(); len(b) > 0 {
					t.Error(b)
				}
			})
		})
	}
}

// A service is added beside a change, in a small network.
func TestAServiceIsAddedWhereThereIsHardlyRoom(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 5, 6, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.apply([]byte(single))
				w.provisionOf(1, "single")
				w.completed(w.service.Scale(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Scale{Replicas: &n}))
				added := strings.Replace(single, "x-berth", "  w1:\n    image: app:1\n    user: \"1000:1000\"\n  w2:\n    image: app:1\n    user: \"1000:1000\"\nx-berth", 1)
				w.apply([]byte(added))
				two := "2"
				d := w.done(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &two, Blueprint: bp("single")}))
				t.Log(d.Status, d.Error, len(w.observed(1).Instances))
				if d.Status != berth.DeploymentCompleted {
					t.Error("failed")
				}
			})
		})
	}
}

// The main service becomes another one, both stay.
func TestTheMainServiceBecomesAnother(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		other := strings.Replace(product, "    ports: [\"3000\"]\n", "", 1)
		other = strings.Replace(other, "    command: [work]\n", "    ports: [\"3000\"]\n", 1)
		m.apply([]byte(other))
		bad := m.watchRoute(1)
		two := "2"
		d := m.done(m.service.Deploy(ctx, m.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &two, Blueprint: bp("product")}))
		t.Log(d.Status, d.Error, m.manual.State(orgID(1)), d.Steps)
		if b := bad(); len(b) > 0 {
			t.Error(b)
		}
		o := m.observed(1)
		for _, c := range o.Instances {
			if c.Address.IsValid() {
				for _, s := range []string{"web", "worker"} {
					got, _ := m.manual.Get(t, c.Address, "/lookup?name="+s)
					t.Log(s, got)
				}
			}
		}
	})
}
