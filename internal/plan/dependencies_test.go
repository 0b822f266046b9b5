package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

// saas is a stack of four services: the database is healthy before the
// migration, the migration has completed before web and worker.
func saas() berth.Stack {
	after := []berth.Dependency{{Service: "db", Condition: berth.ConditionHealthy}, {Service: "migrate", Condition: berth.ConditionCompleted}}
	service := func(name string, depends ...berth.Dependency) berth.Service {
		return berth.Service{Name: name, Image: "sha256:" + name, Replicas: 1, DependsOn: depends, Limits: berth.Limits{CPU: 0.25, MemoryMB: 128}}
	}
	s := berth.Stack{OrganizationID: org, Generation: 1, Run: true, Network: berth.NetworkName(org), Services: []berth.Service{
		service("db"), service("migrate", after[0]), service("web", after...), service("worker", after...),
	}}
	s.Services[0].HealthProbe = &berth.HealthProbe{Test: []string{"CMD", "true"}}
	s.Services[1].Once, s.Services[1].Release = true, 1
	s.Services[2].Main, s.Services[2].Port = true, 3000
	return s
}

// seen is what an engine shows whose instances of s are in these states, by
// service; what is not named is not there.
func seen(s berth.Stack, states map[string]berth.Instance) berth.Observed {
	o := berth.Observed{OrganizationID: org, Network: true}
	for _, want := range s.Instances() {
		c, ok := states[want.Service.Name]
		if !ok {
			continue
		}
		c.ID, c.Name, c.Service, c.Replica = want.Service.Name, want.Name, want.Service.Name, want.Replica
		if c.Hash == "" {
			c.Hash = want.Hash
		}
		if want.Service.Main && c.State == berth.InstanceRunning {
			c.Address = netip.MustParseAddrPort("10.64.0.2:3000")
		}
		o.Instances = append(o.Instances, c)
	}
	return o
}

var (
	runs     = berth.Instance{State: berth.InstanceRunning}
	starting = berth.Instance{State: berth.InstanceRunning, Health: berth.InstanceStarting}
	healthy  = berth.Instance{State: berth.InstanceRunning, Health: berth.InstanceHealthy}
	endedAt  = func(code int) berth.Instance {
		return berth.Instance{State: berth.InstanceExited, ExitCode: code}
	}
)

func TestServicesWaitForWhatTheyDependOn(t *testing.T) {
	old := berth.Instance{State: berth.InstanceRunning, Hash: "an earlier one"}
	for name, c := range map[string]struct {
		seen  map[string]berth.Instance
		order *berth.Deployment
		done  bool // the migration is on record
		wait  time.Duration
		want  string
	}{
		"at first only what depends on nothing is made":                     {nil, deployment(berth.DeployProvision), false, 0, "route starting, apply; again"},
		"a database that is not healthy holds the rest":                     {map[string]berth.Instance{"db": starting}, deployment(berth.DeployProvision), false, 0, "record provisioning starting; wait 1s"},
		"a healthy one lets the migration go":                               {map[string]berth.Instance{"db": healthy}, deployment(berth.DeployProvision), false, 0, "route starting, apply; again"},
		"a migration under way holds the rest":                              {map[string]berth.Instance{"db": healthy, "migrate": runs}, deployment(berth.DeployProvision), false, 0, "record provisioning starting; wait 1s"},
		"its end is put on record":                                          {map[string]berth.Instance{"db": healthy, "migrate": endedAt(0)}, deployment(berth.DeployProvision), false, 0, "release; again"},
		"then the rest goes":                                                {map[string]berth.Instance{"db": healthy, "migrate": endedAt(0)}, deployment(berth.DeployProvision), true, 0, "route starting, apply; again"},
		"a failed migration ends the deployment at once":                    {map[string]berth.Instance{"db": healthy, "migrate": endedAt(3)}, deployment(berth.DeployUpdate), false, 0, "fail; wait 0s"},
		"a failed migration without an order stays failed":                  {map[string]berth.Instance{"db": healthy, "migrate": endedAt(3)}, nil, false, 0, "record failed unhealthy; wait 1m0s"},
		"what waits fails when patience ends":                               {map[string]berth.Instance{"db": starting}, deployment(berth.DeployProvision), false, time.Minute, "fail; wait 0s"},
		"the earlier generation goes on serving meanwhile":                  {map[string]berth.Instance{"db": healthy, "web": old, "worker": old}, deployment(berth.DeployUpdate), false, 0, "route serving 2, apply; again"},
		"and is left alone while the migration runs":                        {map[string]berth.Instance{"db": healthy, "migrate": runs, "web": old, "worker": old}, deployment(berth.DeployUpdate), false, 0, "record provisioning starting; wait 1s"},
		"a database that is unwell later stops nothing":                     {map[string]berth.Instance{"db": starting, "web": runs, "worker": runs}, nil, true, 0, "route serving 2, record running healthy; done"},
		"a worker that died waits for it, and the rest serves":              {map[string]berth.Instance{"db": starting, "web": runs, "worker": endedAt(1)}, nil, true, 0, "route serving 2, record provisioning starting; wait 1s"},
		"a migration's container may be gone, or be another's, once it ran": {map[string]berth.Instance{"db": healthy, "web": runs, "worker": runs}, nil, true, 0, "route serving 2, record running healthy; done"},
	} {
		t.Run(name, func(t *testing.T) {
			s := base(true)
			s.Stack = saas()
			s.Tenant.Status, s.Deployment, s.Waited = berth.StatusProvisioning, c.order, c.wait
			s.Seen = seen(s.Stack, c.seen)
			s.Stack.Services[1].Done = c.done
			s.Proven = map[string]bool{"web": true}
			s.Adopted = true
			if got := show(plan.Decide(s)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAStackStartsInWavesAndStopsWhole(t *testing.T) {
	s := saas()
	var waves []string
	for _, wave := range s.Waves() {
		var names []string
		for _, c := range wave {
			names = append(names, c.Service.Name)
		}
		waves = append(waves, strings.Join(names, "+"))
	}
	if want := []string{"db", "migrate", "web+worker"}; !slices.Equal(waves, want) {
		t.Errorf("waves %v, want %v", waves, want)
	}
	stopped := base(false)
	stopped.Stack = s
	stopped.Stack.Run = false
	stopped.Seen = berth.Observed{}
	if got := show(plan.Decide(stopped)); got != "drift, route stopped, apply; again" {
		t.Errorf("a stopped tenant waits for nothing: %s", got)
	}
}

func TestWhatComposeMadeIsTakenBackFirst(t *testing.T) {
	s := base(true)
	s.Deployment = deployment(berth.DeployRestart)
	s.Deployment.Adopt = true
	if got := show(plan.Decide(s)); got != "adopt; again" {
		t.Errorf("got %s", got)
	}
}

// A service that a new version does not name any more goes when the rest moves,
// and not before: a migration that fails must find everything in its place.
func TestWhatIsNotNamedAnyMoreGoesWhenNothingIsHeld(t *testing.T) {
	former := berth.Instance{ID: "old", Name: berth.ContainerName(org) + "_mailer_1", Service: "mailer", State: berth.InstanceRunning}
	for migrated, want := range map[bool]string{
		false: "record provisioning starting; wait 1s",
		true:  "route starting, probe; again",
	} {
		s := base(true)
		s.Stack = saas()
		s.Tenant.Status, s.Deployment, s.Adopted = berth.StatusProvisioning, deployment(berth.DeployUpdate), true
		states := map[string]berth.Instance{"db": healthy, "migrate": runs, "web": runs, "worker": runs}
		if migrated {
			states["migrate"], s.Stack.Services[1].Done = endedAt(0), true
		} else {
			states["web"] = berth.Instance{State: berth.InstanceRunning, Hash: "an earlier one"}
		}
		s.Seen = seen(saas(), states)
		s.Seen.Instances = append(s.Seen.Instances, former)
		if got := show(plan.Decide(s)); got != want {
			t.Errorf("migrated %t: got %s, want %s", migrated, got, want)
		}
	}
}

func TestAdoptingATenantThatNeverLeftRestartsNothing(t *testing.T) {
	s := base(true)
	s.Deployment, s.Adopted, s.Proven = deployment(berth.DeployRestart), true, nil
	s.Deployment.Adopt = true
	if got := show(plan.Decide(s)); got != "route starting, probe; again" {
		t.Errorf("got %s", got)
	}
}

// Nothing that runs changes, so nothing waits for the migration; the release is
// not out before it ended all the same.
func TestADeploymentWaitsUntilWhatRunsOnceHasEnded(t *testing.T) {
	s := base(true)
	s.Stack = saas()
	s.Deployment, s.Probe = deployment(berth.DeployUpdate), &berth.Probe{Status: berth.ProbeHealthy}
	s.Seen = seen(s.Stack, map[string]berth.Instance{"db": healthy, "migrate": runs, "web": runs, "worker": runs})
	if got := show(plan.Decide(s)); !strings.HasSuffix(got, "record running starting; wait 1s") {
		t.Errorf("while it runs: %s", got)
	}
	s.Waited = s.Patience
	if got := plan.Decide(s).Steps[0]; got.Kind != plan.StepFail || !strings.Contains(got.Reason, "migrate has not ended yet") {
		t.Errorf("once patience is over: %+v", got)
	}
	s.Deployment = nil
	if got := show(plan.Decide(s)); strings.Contains(got, "wait") {
		t.Errorf("without a deployment: %s", got)
	}
}
