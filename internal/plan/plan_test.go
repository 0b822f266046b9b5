package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
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
	for i, c := range s.Instances() {
		state, addr := berth.InstanceExited, netip.AddrPort{}
		if run {
			state, addr = berth.InstanceRunning, netip.MustParseAddrPort(fmt.Sprintf("10.64.0.%d:3000", i+2))
		}
		seen.Instances = append(seen.Instances, berth.Instance{ID: fmt.Sprint("c", i), Name: c.String(),
			Service: c.Service.Name, Replica: c.Replica, Hash: c.Hash, State: state, Address: addr, CPU: 0.5, MemoryMB: 512})
	}
	return s, seen
}

// base is a tenant that runs as it should, with nothing to do.
func base(run bool) plan.Situation {
	s, seen := stack(run, 1)
	t := berth.Tenant{OrganizationID: org, Want: berth.WantStopped, Status: berth.StatusStopped, Generation: 2, EngineID: "e",
		Spec: berth.Spec{ImageDigest: "sha256:1", Replicas: 1}}
	if run {
		t.Want, t.Status, t.Health = berth.WantRunning, berth.StatusRunning, berth.HealthHealthy
	}
	return plan.Situation{Tenant: t, Stack: s, Seen: seen, Proven: map[string]bool{"c0": run}, Available: true, Patience: time.Minute}
}

// unproven says that what runs was not found well yet.
func unproven(s plan.Situation) plan.Situation {
	s.Proven = nil
	return s
}

func deployment(kind berth.DeploymentType) *berth.Deployment {
	return &berth.Deployment{ID: "d", OrganizationID: org, Type: kind, Status: berth.DeploymentPending, StartedAt: time.Unix(1, 0)}
}

// moved is a tenant whose image was changed, in the state that the names of the
// instances beside each other say: "old" runs what was there before, "new"
// what is wanted.
func moved(names ...string) plan.Situation {
	s := base(true)
	s.Deployment = deployment(berth.DeployUpdate)
	old := s.Seen.Instances[0]
	s.Stack.Services[0].Image = "sha256:2"
	want := s.Stack.Instances()[0]
	s.Seen.Instances = nil
	s.Proven = map[string]bool{"old": true}
	for i, name := range names {
		c := old
		c.ID, c.Name, c.Address = name, name, netip.MustParseAddrPort(fmt.Sprintf("10.64.0.%d:3000", i+2))
		if name == "new" {
			c.Hash = want.Hash
			if len(names) > 1 {
				c.Beside = true
			}
		}
		s.Seen.Instances = append(s.Seen.Instances, c)
	}
	return s
}

func TestDecide(t *testing.T) {
	well := &berth.Probe{Status: berth.ProbeHealthy}
	sick := &berth.Probe{Status: berth.ProbeUnhealthy, Cause: "answered 500"}
	with := func(s plan.Situation, change func(*plan.Situation)) func() plan.Situation {
		return func() plan.Situation { change(&s); return s }
	}
	volume := func(s plan.Situation, shared bool) plan.Situation {
		mount := berth.Mount{Volume: "v", Target: "/data"}
		s.Stack.Services[0].Mounts = []berth.Mount{mount}
		s.Stack.Volumes = []berth.Volume{{Name: "v", Shared: shared}}
		return s
	}
	for name, c := range map[string]struct {
		from func() plan.Situation
		want string
	}{
		"a healthy tenant is left alone": {func() plan.Situation { return base(true) },
			"route serving 2, record running healthy; done"},
		"a stopped tenant is left alone": {func() plan.Situation { return base(false) },
			"route stopped, record stopped unknown; done"},
		"a new deployment is first taken up": {with(base(true), func(s *plan.Situation) {
			s.Deployment = deployment(berth.DeployUpdate)
			s.Deployment.StartedAt = time.Time{}
		}), "begin; again"},
		"an image is pinned before anything is made from it": {with(base(true), func(s *plan.Situation) {
			s.Tenant.Spec.ImageDigest, s.Stack = "", berth.Stack{}
		}), "resolve; again"},
		"an image that was pinned long ago is looked for first": {with(base(true), func(s *plan.Situation) {
			s.Deployment, s.Available = deployment(berth.DeployRollback), false
		}), "resolve; again"},
		"a new tenant is applied behind a closed route": {with(base(true), func(s *plan.Situation) {
			s.Tenant.Status, s.Deployment, s.Seen = berth.StatusProvisioning, deployment(berth.DeployProvision), berth.Observed{}
		}), "route starting, apply; again"},
		"a new tenant that is not to start is made and not started": {with(base(false), func(s *plan.Situation) {
			s.Tenant.Status, s.Deployment, s.Seen = berth.StatusProvisioning, deployment(berth.DeployProvision), berth.Observed{}
		}), "route stopped, apply; again"},
		"what was applied is probed": {with(unproven(base(true)), func(s *plan.Situation) {
			s.Deployment = deployment(berth.DeployProvision)
		}), "route starting, probe; again"},
		"a healthy answer completes the deployment": {with(unproven(base(true)), func(s *plan.Situation) {
			s.Deployment, s.Probe = deployment(berth.DeployProvision), well
		}), "route serving 2, record running healthy; done"},
		"a sick answer is waited out": {with(unproven(base(true)), func(s *plan.Situation) {
			s.Deployment, s.Probe, s.Restarted = deployment(berth.DeployRestart), sick, true
		}), "record running starting; wait 1s"},
		"patience ends": {with(unproven(base(true)), func(s *plan.Situation) {
			s.Deployment, s.Probe, s.Waited = deployment(berth.DeployUpdate), sick, time.Minute
		}), "fail; wait 0s"},
		"a sick tenant goes on being asked": {with(unproven(base(true)), func(s *plan.Situation) {
			s.Probe = sick
		}), "route starting, record running unhealthy; wait 5s"},
		"one failed probe takes no tenant out of the routes": {with(base(true), func(s *plan.Situation) {
			s.Tenant.Health, s.Probe = berth.HealthUnknown, sick
		}), "route serving 2, record running unhealthy; wait 5s"},
		"one that is not ready is": {with(base(true), func(s *plan.Situation) {
			s.Unready = map[string]string{"c0": "answered 500"}
		}), "route unready, record running unhealthy; done"},
		"of several replicas only that one is": {with(base(true), func(s *plan.Situation) {
			s.Stack, s.Seen = stack(true, 3)
			s.Proven = map[string]bool{"c0": true, "c1": true, "c2": true}
			s.Unready = map[string]string{"c1": "answered 500"}
		}), "route serving 2 4, record running unhealthy; done"},
		"a container that died is drift and is repaired": {with(base(true), func(s *plan.Situation) {
			s.Seen.Instances[0].State, s.Seen.Instances[0].Address, s.Proven = berth.InstanceExited, netip.AddrPort{}, nil
		}), "drift, route starting, apply; again"},
		"what was repaired and does not hold is tried again later": {with(base(true), func(s *plan.Situation) {
			s.Applied, s.Seen.Instances = "true app false false ", nil
		}), "route starting, record failed unhealthy; retry"},
		"a deployment whose containers do not hold fails when patience ends": {with(base(true), func(s *plan.Situation) {
			s.Applied, s.Seen.Instances, s.Deployment, s.Waited = "true app false false ", nil, deployment(berth.DeployRestart), time.Hour
			s.Restarted = true
		}), "fail; wait 0s"},

		"a restart first lets requests wait": {with(base(true), func(s *plan.Situation) {
			s.Deployment = deployment(berth.DeployRestart)
		}), "route holding, drain; again"},
		"then it stops and starts": {with(base(true), func(s *plan.Situation) {
			s.Deployment, s.Holding, s.Drained = deployment(berth.DeployRestart), true, true
		}), "halt, apply; again"},
		"a restart that was done is probed while requests wait": {with(unproven(base(true)), func(s *plan.Situation) {
			s.Deployment, s.Restarted, s.Holding = deployment(berth.DeployRestart), true, true
		}), "route holding, probe; again"},

		"scaling up keeps what serves": {with(base(true), func(s *plan.Situation) {
			s.Stack, _ = stack(true, 3)
			s.Deployment = deployment(berth.DeployScale)
		}), "route serving 2, apply; again"},
		"a new replica gets no request before it is well": {with(base(true), func(s *plan.Situation) {
			s.Stack, s.Seen = stack(true, 2)
			s.Deployment = deployment(berth.DeployScale)
		}), "route serving 2, probe; again"},
		"scaling down leads away first": {with(base(true), func(s *plan.Situation) {
			_, s.Seen = stack(true, 2)
			s.Proven["c1"] = true
			s.Deployment, s.Probe = deployment(berth.DeployScale), well
		}), "route serving 2, drain; again"},
		"and removes what has no request left": {with(base(true), func(s *plan.Situation) {
			_, s.Seen = stack(true, 2)
			s.Deployment, s.Probe, s.Drained = deployment(berth.DeployScale), well, true
		}), "apply; again"},

		"another spec is made beside, and the old one serves": {with(moved("old"), func(*plan.Situation) {}),
			"route serving 2, apply beside; again"},
		"it is probed while the old one serves": {with(moved("old", "new"), func(*plan.Situation) {}),
			"route serving 2, probe; again"},
		"while it is sick the old one serves": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Probe = sick
		}), "; wait 1s"},
		"while it is observed too": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Probe, s.Observe, s.Well = well, 3*time.Second, 2800*time.Millisecond
		}), "; wait 200ms"},
		"one that had to stop first serves while its neighbour is observed": {func() plan.Situation {
			s := moved("new")
			s.Stack.Services = append(s.Stack.Services, berth.Service{Name: "worker", Image: "sha256:2", Replicas: 1, Limits: s.Stack.Services[0].Limits})
			for id, hash := range map[string]string{"before": "another", "after": s.Stack.Instances()[1].Hash} {
				s.Seen.Instances = append(s.Seen.Instances, berth.Instance{ID: id, Name: id, Service: "worker", Replica: 1, Hash: hash,
					Beside: id == "after", State: berth.InstanceRunning, CPU: 0.5, MemoryMB: 512})
			}
			s.Holding, s.Drained, s.Probe, s.Observe, s.Well = true, true, well, 3*time.Second, 2800*time.Millisecond
			s.Histories = map[string]plan.InstanceHistory{"after": {Up: 2800 * time.Millisecond}}
			return s
		}, "route serving 2; wait 200ms"},
		"then traffic moves": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Probe, s.Observe, s.Well = well, 3*time.Second, 3*time.Second
		}), "route serving 3, drain; again"},
		"and the old one goes": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Probe, s.Drained, s.Proven = well, true, map[string]bool{"old": true, "new": true}
		}), "apply; again"},
		"what is left is asked once more": {with(moved("new"), func(s *plan.Situation) {
			s.Proven, s.Applied = map[string]bool{"new": true}, "true app false false "
		}), "route serving 2, probe; again"},
		"one that gets sick again while it is observed fails": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Probe, s.Relapses = sick, 3
		}), "fail; wait 0s"},
		"what came back after a failure gets the traffic, then the rest goes": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Deployment = nil // its spec is the former one again
			s.Stack.Services[0].Image = "sha256:1"
			s.Proven = map[string]bool{"old": true, "new": true}
		}), "route serving 2, drain; again"},
		"without an order nothing is observed: who knows for how long": {with(moved("old", "new"), func(s *plan.Situation) {
			s.Deployment, s.Probe, s.Observe = nil, well, 3*time.Second
		}), "route serving 3, drain; again"},
		"one that holds a volume is stopped first, while requests wait": {with(volume(moved("old"), false), func(*plan.Situation) {}),
			"route holding, drain; again"},
		"and made when no request is left": {with(volume(moved("old"), false), func(s *plan.Situation) {
			s.Holding, s.Drained = true, true
		}), "apply; again"},
		"one whose volume may be shared is not": {with(volume(moved("old"), true), func(*plan.Situation) {}),
			"route serving 2, apply beside; again"},
		"one that finds no room is": {with(moved("old"), func(s *plan.Situation) {
			s.Stack.Subnet = netip.MustParsePrefix("10.64.0.0/30")
		}), "route holding, drain; again"},

		"a stop stops": {with(base(true), func(s *plan.Situation) {
			s.Stack.Run, s.Deployment = false, deployment(berth.DeployStop)
		}), "route stopped, apply; again"},
		"a tenant that is to go is removed, then buried": {with(base(true), func(s *plan.Situation) {
			s.Tenant.Want, s.Deployment = berth.WantGone, deployment(berth.DeployDeprovision)
		}), "remove, bury; done"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(plan.Decide(c.from())); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if a, b := show(plan.Decide(c.from())), show(plan.Decide(c.from())); a != b {
				t.Errorf("two answers to one situation: %s, %s", a, b)
			}
		})
	}
}

func show(p plan.Plan) string {
	var words []string
	for _, s := range p.Steps {
		w := string(s.Kind)
		switch s.Kind {
		case plan.StepRoute:
			w += " " + string(s.Route)
			for _, up := range s.Upstreams {
				w += " " + strconv.Itoa(int(up.Addr().As4()[3]))
			}
		case plan.StepApply:
			called := func(v berth.Version) bool {
				return slices.ContainsFunc(s.Stack.Services, func(svc berth.Service) bool { return svc.Name == v.Service && !svc.Deferred && !svc.Done })
			}
			if slices.ContainsFunc(s.Stack.Others, called) {
				w += " beside"
			}
			for _, svc := range s.Stack.Services {
				if svc.Hidden() {
					w += " unnamed"
				}
			}
		case plan.StepRecord:
			w += " " + string(s.Status) + " " + string(s.Health)
		}
		words = append(words, w)
	}
	then := map[plan.Then]string{plan.Again: "again", plan.Done: "done", plan.Retry: "retry",
		plan.Wait: "wait " + p.After.String()}[p.Then]
	return strings.Join(words, ", ") + "; " + then
}

func TestDifferenceNamesWhatIsNotAsItShouldBe(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*berth.Observed)
		want   string
	}{
		"nothing": {func(*berth.Observed) {}, ""},
		"network": {func(o *berth.Observed) { o.Network = false }, "network tenant_" + org + "_network is missing"},
		"missing": {func(o *berth.Observed) { o.Instances = o.Instances[:1] }, "instance 2 of service app is missing"},
		"hash":    {func(o *berth.Observed) { o.Instances[0].Hash = "x" }, "instance 1 of service app was made from another spec"},
		"exit":    {func(o *berth.Observed) { o.Instances[0].State, o.Instances[0].ExitCode = berth.InstanceExited, 3 }, "instance 1 of service app is not running (exit code 3)"},
		"out of memory": {func(o *berth.Observed) {
			o.Instances[0].State, o.Instances[0].OOMKilled = berth.InstanceExited, true
		}, "instance 1 of service app was killed for using more than its 512 MB of memory"},
		"memory":         {func(o *berth.Observed) { o.Instances[0].MemoryMB = 256 }, "instance 1 of service app has a memory limit of 256 MB, not 512"},
		"cpu":            {func(o *berth.Observed) { o.Instances[0].CPU = 1 }, "instance 1 of service app has a CPU limit of 1.00, not 0.50"},
		"limits unknown": {func(o *berth.Observed) { o.Instances[0].CPU, o.Instances[0].MemoryMB = 0, 0 }, ""},
		"one too many": {func(o *berth.Observed) {
			o.Instances = append(o.Instances, berth.Instance{Name: "old", Service: "old", Replica: 1})
		}, "instance 1 of service old is not wanted any more"},
		"a state not known": {func(o *berth.Observed) { o.Instances[0].State = berth.InstanceUnknown }, "instance 1 of service app is in a state that Berth does not know"},
	} {
		s, seen := stack(true, 2)
		c.change(&seen)
		if got := plan.Difference(s, seen); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
