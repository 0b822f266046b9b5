package planes_test

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// handOver is how soon after a leader's death another has to lead.
const handOver = 5 * time.Second

func TestAnotherControlPlaneLeadsWithinFiveSecondsOfAKill(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	b := s.plane("b")
	if b.leads() {
		t.Fatal("two lead one engine")
	}
	last := a
	// The one that does not lead takes orders all the same.
	one := b.provision(&last)
	if one.Status != "running" || !s.serves(one.ExternalPort) {
		t.Fatalf("ordered through b: %+v", one)
	}
	before := s.containers(orgOf(one))
	// It tells what an order would do, too.
	f, err := b.api.DryRun(s.Ctx, orgOf(one), client.Deploy{ImageTag: &rig.ImageTwo})
	if err != nil || f.DeploymentType != "update" || len(f.Steps) == 0 || f.Failure != nil || !f.ServesAfter {
		t.Errorf("a dry run through b: %+v, %v", f, err)
	}
	if is, err := b.api.Tenant(s.Ctx, orgOf(one)); err != nil || is.ImageTag != rig.ImageOne || is.Status != "running" {
		t.Errorf("after a dry run: %+v, %v", is, err)
	}

	s.Must(a.process.Kill())
	last = b
	s.Eventually(handOver, "b leads", b.leads)
	s.Eventually(10*time.Second, "b serves the tenant", func() bool { return s.serves(one.ExternalPort) })
	if after := s.containers(orgOf(one)); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v", before, after)
	}
	if _, err := b.api.Restart(s.Ctx, orgOf(one), testbed.Patient()); err != nil {
		t.Errorf("an order to the new leader: %v", err)
	}
	a.start()
	if a.leads() {
		t.Error("two lead one engine")
	}
	if _, err := a.api.Deploy(s.Ctx, orgOf(one), client.Deploy{ImageTag: &rig.ImageTwo}, testbed.Patient()); err != nil {
		t.Errorf("an order through the one that came back: %v", err)
	}
}

func TestALeaderThatWasStoppedForAWhileDoesNothingAnyMore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	last := a
	one := a.provision(&last)
	b := s.plane("b")

	s.Must(syscall.Kill(a.process.Pid(), syscall.SIGSTOP))
	last = b
	s.Eventually(handOver, "b leads", b.leads)
	// While a stands still, b takes what a can't know of.
	if _, err := b.api.Deploy(s.Ctx, orgOf(one), client.Deploy{ImageTag: &rig.ImageTwo}, client.Call{Wait: time.Second}); err != nil {
		t.Errorf("an order through b: %v", err)
	}
	s.Must(syscall.Kill(a.process.Pid(), syscall.SIGCONT))
	s.Eventually(20*time.Second, "a has stopped to lead", func() bool { return strings.Contains(a.process.Log(), "another control plane leads") })
	s.Eventually(60*time.Second, "b serves the new version", func() bool {
		status, body := ask(s.Ctx, one.ExternalPort)
		return status == 200 && strings.Contains(body, `"2"`)
	})
	// It leads the installation too, and may find out about that first.
	s.Eventually(20*time.Second, "a does not lead its engine", func() bool { return !a.leads() })
	s.Eventually(30*time.Second, "one container is left", func() bool { return len(s.containers(orgOf(one))) == 1 })
	if a.leads() {
		t.Error("a leads again")
	}
}

func TestTrafficGoesOnWhileTheDatabaseIsPausedAndKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	last := a
	one := a.provision(&last)
	before := s.containers(orgOf(one))

	for what, fault := range map[string]struct{ begin, end func() error }{
		"paused": {s.postgres.Pause, s.postgres.Resume},
		"killed": {s.postgres.Kill, func() error { return s.postgres.Start(s.Ctx) }},
	} {
		s.Must(fault.begin())
		until := time.Now().Add(6 * time.Second) // twice the life of a lease
		for time.Now().Before(until) {
			if !s.serves(one.ExternalPort) {
				t.Errorf("%s: a request failed", what)
			}
			<-time.After(100 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(s.Ctx, 30*time.Second)
		_, err := a.api.Tenant(ctx, orgOf(one))
		cancel()
		if code(err) != "storage_unavailable" {
			t.Errorf("%s: the API answers %v", what, err)
		}
		s.Must(fault.end())
		s.Eventually(60*time.Second, what+": a leads again", a.leads)
		if _, err := a.api.Restart(s.Ctx, orgOf(one), testbed.Patient()); err != nil {
			t.Errorf("%s: an order afterwards: %v", what, err)
		}
	}
	if after := s.containers(orgOf(one)); len(after) != len(before) {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestAnOrderWhoseConnectionIsCutIsCarriedOutOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	link, err := testbed.NewLink(s.address())
	s.Must(err)
	s.link = link
	s.url = strings.Replace(s.url, s.address(), link.Addr(), 1)
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	last := a
	one := a.provision(&last)
	link.Delay(2 * time.Millisecond) // so that a cut meets every moment of an order
	for i := range 12 {
		tag := []string{rig.ImageOne, rig.ImageTwo}[i%2]
		key := client.Call{IdempotencyKey: "cut " + string(rune('a'+i)), Wait: testbed.Patient().Wait}
		ordered := make(chan error, 1)
		go func() {
			_, err := a.api.Deploy(s.Ctx, orgOf(one), client.Deploy{ImageTag: &tag}, key)
			ordered <- err
		}()
		<-time.After(time.Duration(i*7) * time.Millisecond)
		link.Cut(i%2 == 0)
		if err := <-ordered; err != nil && code(err) != "storage_unavailable" && code(err) != "outcome_unknown" {
			t.Errorf("cut %d: %v", i, err)
		}
		// The same key brings the truth.
		s.Eventually(60*time.Second, "the order repeated under its key is answered", func() bool {
			_, err := a.api.Deploy(s.Ctx, orgOf(one), client.Deploy{ImageTag: &tag}, key)
			return err == nil
		})
	}
	link.Delay(0)
	list, err := a.api.Deployments(s.Ctx, orgOf(one), "", 100)
	s.Must(err)
	if got := len(list.Deployments); got != 13 {
		t.Errorf("12 orders and a provisioning became %d deployments", got)
	}
}

func TestATenantStaysWithTheEngineThatHoldsItsVolumes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	second, err := testbed.StartEngine(s.Ctx)
	s.Must(err)
	s.second = second
	a := s.plane("a")
	s.Eventually(10*time.Second, "a leads", a.leads)
	last := a
	one := a.provision(&last)
	before := s.containers(orgOf(one))

	ports, err := testbed.FreePorts(20)
	s.Must(err)
	s.ports, s.pool = ports, testbed.NewPool(t).String()
	b := s.plane("b", "DOCKER_HOST="+second.Host)
	s.Eventually(10*time.Second, "b leads the second engine", b.leads)
	if !a.leads() {
		t.Error("b took a's engine")
	}
	if logs, err := b.api.Logs(s.Ctx, orgOf(one), client.LogOptions{}); code(err) != "engine_unavailable" {
		if err == nil {
			_ = logs.Close()
		}
		t.Errorf("b shows logs of a tenant that it does not reach: %v", err)
	}
	s.Must(a.process.Kill())
	// b sees the tenant, and that nobody runs its engine now; it leaves it alone.
	s.Eventually(45*time.Second, "b shows that nobody leads the tenant's engine", func() bool {
		got, err := b.api.Tenant(s.Ctx, orgOf(one))
		return err == nil && got.HealthStatus == "unknown"
	})
	if _, err := b.api.Stop(s.Ctx, orgOf(one), client.Call{Wait: 2 * time.Second}); err != nil {
		t.Errorf("an order for the other engine waits for it: %v", err)
	}
	engine, err := dockerclient.New(dockerclient.WithHost(second.Host))
	s.Must(err)
	defer func() { s.Must(engine.Close()) }()
	for _, list := range []func() int{
		func() int {
			l, err := engine.ContainerList(s.Ctx, dockerclient.ContainerListOptions{All: true})
			s.Must(err)
			return len(l.Items)
		},
		func() int {
			l, err := engine.VolumeList(s.Ctx, dockerclient.VolumeListOptions{})
			s.Must(err)
			return len(l.Items)
		},
	} {
		if n := list(); n != 0 {
			t.Errorf("the second engine holds %d things of a tenant of the first", n)
		}
	}
	if after := s.containers(orgOf(one)); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v while nobody led", before, after)
	}
	a.start()
	s.Eventually(60*time.Second, "a carries out what b was told", func() bool {
		got, err := b.api.Tenant(s.Ctx, orgOf(one))
		return err == nil && got.Status == "stopped"
	})
}

func TestAControlPlaneWithOtherKeysIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plane("a")
	p := &testbed.Process{Binary: rig.Binary, StateDir: t.TempDir(), Ports: s.ports, Pool: s.pool, Env: []string{"BERTH_DATABASE_URL=" + s.url}}
	err := p.Start(s.Ctx)
	if err == nil {
		s.Must(p.Stop())
		t.Fatal("it started with keys of its own")
	}
	if !strings.Contains(err.Error(), "secret.key") {
		t.Errorf("the way out is not named: %v", err)
	}
}
