package reconcile_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/reconcile"
)

const org = "550e8400-e29b-41d4-a716-446655440001"

// stack returns a one-service stack and what an engine that holds it would show.
func stack(run bool, replicas int) (berth.Stack, berth.Observed) {
	s := berth.Stack{
		OrganizationID: org, Generation: 2, Run: run, Network: berth.NetworkName(org),
		Services: []berth.Service{{Name: "app", Main: true, Image: "sha256:1", Replicas: replicas, Port: 3000,
			Limits: berth.Limits{CPU: 0.5, MemoryMB: 512}}},
	}
	seen := berth.Observed{OrganizationID: org, Network: true}
	for i, c := range s.Containers() {
		state, addr := berth.ContainerExited, netip.AddrPort{}
		if run {
			state, addr = berth.ContainerRunning, netip.MustParseAddrPort(fmt.Sprintf("10.64.0.%d:3000", i+2))
		}
		seen.Containers = append(seen.Containers, berth.Container{ID: fmt.Sprint("c", i), Name: c.Name, Hash: c.Hash,
			State: state, Address: addr, CPU: 0.5, MemoryMB: 512})
	}
	return s, seen
}

// base is a tenant that runs as it should, with nothing to do.
func base(run bool) reconcile.Situation {
	s, seen := stack(run, 1)
	t := berth.Tenant{OrganizationID: org, Want: berth.WantStopped, Status: berth.StatusStopped, Generation: 2, EngineID: "e",
		Spec: berth.Spec{ImageDigest: "sha256:1", Replicas: 1}}
	if run {
		t.Want, t.Status, t.Health = berth.WantRunning, berth.StatusRunning, berth.HealthHealthy
	}
	return reconcile.Situation{Tenant: t, Stack: s, Seen: seen, Verified: run, Patience: time.Minute}
}

func deployment(kind berth.DeploymentType) *berth.Deployment {
	return &berth.Deployment{ID: "d", OrganizationID: org, Type: kind, Status: berth.DeploymentPending, StartedAt: time.Unix(1, 0)}
}

func TestDecide(t *testing.T) {
	well := &berth.Probe{Status: berth.ProbeHealthy}
	sick := &berth.Probe{Status: berth.ProbeUnhealthy, Cause: "answered 500"}
	for name, c := range map[string]struct {
		from func() reconcile.Situation
		want string
	}{
		"a healthy tenant is left alone": {func() reconcile.Situation { return base(true) },
			"route serving, settle running healthy; done"},
		"a stopped tenant is left alone": {func() reconcile.Situation { return base(false) },
			"route stopped, settle stopped unknown; done"},
		"a new deployment is first taken up": {func() reconcile.Situation {
			s := base(true)
			s.Deployment = deployment(berth.DeployUpdate)
			s.Deployment.StartedAt = time.Time{}
			return s
		}, "begin; again"},
		"an image is pinned before anything is made from it": {func() reconcile.Situation {
			s := base(true)
			s.Tenant.Spec.ImageDigest, s.Stack = "", berth.Stack{}
			return s
		}, "resolve; again"},
		"a fresh tenant is applied behind a closed route": {func() reconcile.Situation {
			s := base(true)
			s.Tenant.Status, s.Deployment, s.Seen = berth.StatusProvisioning, deployment(berth.DeployProvision), berth.Observed{}
			return s
		}, "route starting drained, apply; again"},
		"a new tenant that is not to start is made and not started": {func() reconcile.Situation {
			s := base(false)
			s.Tenant.Status, s.Deployment, s.Seen = berth.StatusProvisioning, deployment(berth.DeployProvision), berth.Observed{}
			return s
		}, "route stopped drained, apply; again"},
		"what was applied is probed": {func() reconcile.Situation {
			s := base(true)
			s.Deployment, s.Applied, s.Verified = deployment(berth.DeployProvision), true, false
			return s
		}, "route starting, probe; again"},
		"a healthy answer completes the deployment": {func() reconcile.Situation {
			s := base(true)
			s.Deployment, s.Applied, s.Verified, s.Probe = deployment(berth.DeployProvision), true, false, well
			return s
		}, "route serving, settle running healthy; done"},
		"a sick answer is waited out": {func() reconcile.Situation {
			s := base(true)
			s.Deployment, s.Applied, s.Verified, s.Probe = deployment(berth.DeployUpdate), true, false, sick
			return s
		}, "settle running starting; wait 1s"},
		"patience ends": {func() reconcile.Situation {
			s := base(true)
			s.Deployment, s.Applied, s.Verified, s.Probe, s.Waited = deployment(berth.DeployUpdate), true, false, sick, time.Minute
			return s
		}, "fail; wait 0s"},
		"a sick tenant goes on being asked": {func() reconcile.Situation {
			s := base(true)
			s.Verified, s.Probe = false, sick
			return s
		}, "route serving, settle running unhealthy; wait 5s"},
		"a container that died is drift and is repaired": {func() reconcile.Situation {
			s := base(true)
			s.Seen.Containers[0].State, s.Seen.Containers[0].Address = berth.ContainerExited, netip.AddrPort{}
			return s
		}, "drift, route starting drained, apply; again"},
		"what was repaired and does not hold is tried again later": {func() reconcile.Situation {
			s := base(true)
			s.Applied, s.Seen.Containers = true, nil
			return s
		}, "settle failed unhealthy; retry"},
		"a deployment whose containers do not hold fails when patience ends": {func() reconcile.Situation {
			s := base(true)
			s.Applied, s.Seen.Containers, s.Deployment, s.Waited = true, nil, deployment(berth.DeployRestart), time.Hour
			return s
		}, "fail; wait 0s"},
		"a restart stops and starts": {func() reconcile.Situation {
			s := base(true)
			s.Deployment, s.Verified = deployment(berth.DeployRestart), false
			return s
		}, "route starting drained, halt, apply; again"},
		"a restart that was done is probed": {func() reconcile.Situation {
			s := base(true)
			s.Deployment, s.Restarted, s.Verified = deployment(berth.DeployRestart), true, false
			return s
		}, "route starting, probe; again"},
		"scaling up keeps what serves": {func() reconcile.Situation {
			s := base(true)
			s.Stack, _ = stack(true, 3)
			s.Deployment, s.Verified = deployment(berth.DeployScale), false
			return s
		}, "route starting, apply; again"},
		"another spec closes the route first": {func() reconcile.Situation {
			s := base(true)
			s.Stack.Services[0].Image = "sha256:2"
			s.Deployment, s.Verified = deployment(berth.DeployUpdate), false
			return s
		}, "route starting drained, apply; again"},
		"a stop stops": {func() reconcile.Situation {
			s := base(true)
			s.Stack.Run, s.Deployment = false, deployment(berth.DeployStop)
			return s
		}, "route stopped drained, apply; again"},
		"a tenant that is to go is removed, then buried": {func() reconcile.Situation {
			s := base(true)
			s.Tenant.Want, s.Deployment = berth.WantGone, deployment(berth.DeployDeprovision)
			return s
		}, "remove, bury; done"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(reconcile.Decide(c.from())); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if a, b := show(reconcile.Decide(c.from())), show(reconcile.Decide(c.from())); a != b {
				t.Errorf("two answers to one situation: %s, %s", a, b)
			}
		})
	}
}

func show(p reconcile.Plan) string {
	var words []string
	for _, s := range p.Steps {
		w := string(s.Kind)
		switch s.Kind {
		case reconcile.StepRoute:
			w += " " + string(s.Route)
			if s.Drain {
				w += " drained"
			}
		case reconcile.StepSettle:
			w += " " + string(s.Status) + " " + string(s.Health)
		}
		words = append(words, w)
	}
	then := map[reconcile.Then]string{reconcile.Again: "again", reconcile.Done: "done", reconcile.Retry: "retry",
		reconcile.Wait: "wait " + p.After.String()}[p.Then]
	return strings.Join(words, ", ") + "; " + then
}

func TestDifferenceNamesWhatIsNotAsItShouldBe(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*berth.Observed)
		want   string
	}{
		"nothing": {func(*berth.Observed) {}, ""},
		"network": {func(o *berth.Observed) { o.Network = false }, "network tenant_" + org + "_network is missing"},
		"missing": {func(o *berth.Observed) { o.Containers = o.Containers[:1] }, "container tenant_" + org + "_app_2 is missing"},
		"hash":    {func(o *berth.Observed) { o.Containers[0].Hash = "x" }, "container tenant_" + org + " was made from another spec"},
		"exit":    {func(o *berth.Observed) { o.Containers[0].State, o.Containers[0].ExitCode = berth.ContainerExited, 3 }, "container tenant_" + org + " is not running (exit code 3)"},
		"out of memory": {func(o *berth.Observed) {
			o.Containers[0].State, o.Containers[0].OOMKilled = berth.ContainerExited, true
		}, "container tenant_" + org + " was killed for using more than its 512 MB of memory"},
		"memory":            {func(o *berth.Observed) { o.Containers[0].MemoryMB = 256 }, "container tenant_" + org + " has a memory limit of 256 MB, not 512"},
		"cpu":               {func(o *berth.Observed) { o.Containers[0].CPU = 1 }, "container tenant_" + org + " has a CPU limit of 1.00, not 0.50"},
		"limits unknown":    {func(o *berth.Observed) { o.Containers[0].CPU, o.Containers[0].MemoryMB = 0, 0 }, ""},
		"one too many":      {func(o *berth.Observed) { o.Containers = append(o.Containers, berth.Container{Name: "old"}) }, "container old is not wanted any more"},
		"a state not known": {func(o *berth.Observed) { o.Containers[0].State = berth.ContainerUnknown }, "container tenant_" + org + " is in a state that Berth does not know"},
	} {
		s, seen := stack(true, 2)
		c.change(&seen)
		if got := reconcile.Difference(s, seen); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
