package plan_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/plan"
)

// The effect of an apply is what an engine does: stacks follow each other at
// random, and what is foretold from what was seen is compared with what there is.
func TestTheEffectOfAnApplyIsWhatAnEngineDoes(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		engine := enginetest.NewFake()
		for _, image := range []string{"sha256:1", "sha256:2"} {
			engine.SetImage(image, enginetest.Program{})
		}
		now := berth.Observed{OrganizationID: org}
		var before string
		for generation := 1; generation <= 12; generation++ {
			stack := randomStack(random, generation)
			if random.IntN(2) == 0 { // what runs may stand beside
				for _, c := range now.Instances {
					stack.Others = append(stack.Others, berth.Version{Service: c.Service, Hash: c.Hash, Instances: 3})
				}
			}
			want := plan.Applied(now, stack)
			seen, err := engine.Apply(context.Background(), stack)
			if berth.Is(err, berth.CodeForeignObject) { // an exclusive volume is held: no step that succeeds
				seen, err = engine.Observe(context.Background(), org)
				want = seen
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, foretold := plain(seen), plain(want); got != foretold {
				t.Fatalf("seed %d, generation %d, from\n%s\nforetold\n%s\nthere is\n%s", seed, generation, before, foretold, got)
			}
			now, before = seen, plain(seen)
		}
	}
}

func randomStack(random *rand.Rand, generation int) berth.Stack {
	s := berth.Stack{
		OrganizationID: org, Name: "T", Generation: generation, Project: berth.ContainerName(org), Run: random.IntN(4) > 0,
		Subnet: netip.MustParsePrefix("10.64.0.0/27"), Network: berth.NetworkName(org), Volumes: []berth.Volume{{Name: berth.VolumeName(org, "data"), Key: "data"}},
	}
	for i, name := range []string{"web", "db", "job"} {
		if i > 0 && random.IntN(4) == 0 {
			continue
		}
		svc := berth.Service{
			Name: name, Main: i == 0, Image: fmt.Sprint("sha256:", 1+random.IntN(2)), User: "1000:1000", Replicas: 1, StopGrace: 7,
			Limits: berth.Limits{CPU: float64(1+random.IntN(2)) / 4, MemoryMB: 128 * (1 + random.IntN(2))},
		}
		switch name {
		case "web":
			svc.Port, svc.Replicas = 3000, 1+random.IntN(3)
			svc.Deferred = random.IntN(8) == 0
		case "db":
			svc.Mounts = []berth.Mount{{Volume: berth.VolumeName(org, "data"), Target: "/data"}}
			svc.HealthProbe = &berth.HealthProbe{Test: []string{"CMD", "true"}}
		case "job":
			svc.Once, svc.Release = true, generation/2
			svc.Done = random.IntN(2) == 0
		}
		s.Services = append(s.Services, svc)
	}
	return s
}

// plain is what is seen without what only an engine knows, and as it is once
// what was started is well and what runs once has ended.
func plain(o berth.Observed) string {
	var lines []string
	for _, c := range o.Instances {
		if c.Service == "job" && plan.IsUp(c) {
			c.State = berth.InstanceExited
		}
		lines = append(lines, fmt.Sprint(c.Service, c.Replica, " g", c.Generation, " ", c.Hash[:6], " ", c.Image, " ", c.State, " beside ", c.Beside, " at ", c.Address.IsValid(),
			" ", c.Writes, " ", c.Differs, " ", c.StopGrace, " ", c.CPU, " ", c.MemoryMB, " ", c.Unattended, " ", c.ExitCode))
	}
	slices.Sort(lines)
	return fmt.Sprintf("network %t %s, volumes %v, foreign %d\n%s", o.Network, o.Subnet, o.Volumes, len(o.Foreign), strings.Join(lines, "\n"))
}

// Effects change nothing of what they were given.
func TestAnEffectLeavesTheSituationBeforeAsItWas(t *testing.T) {
	s := moved("old")
	s.Deployment.StartedAt = time.Time{}
	s.Histories = map[string]plan.InstanceHistory{"old": {Untold: 1}}
	s.Available = false
	before := fmt.Sprintf("%+v %+v", s, *s.Deployment)
	plan.Forecast(s, plan.Outlook{})
	if after := fmt.Sprintf("%+v %+v", s, *s.Deployment); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func lines(f berth.Forecast) string {
	var out []string
	for _, s := range f.Steps {
		line := s.Name + ": " + s.Text
		if s.Stops {
			line += " (stops)"
		}
		if s.Holds {
			line += " (holds)"
		}
		if s.AtMost > 0 {
			line += " " + s.AtMost.String()
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func outlook() plan.Outlook {
	return plan.Outlook{Look: 15 * time.Second, Pull: 10 * time.Minute, Call: 2 * time.Minute, HoldDrain: 5 * time.Second}
}

func TestForecast(t *testing.T) {
	gapless := moved("old")
	gapless.Deployment.StartedAt, gapless.Available, gapless.TransitionDrain, gapless.Observe = time.Time{}, false, 30*time.Second, 5*time.Second
	gapless.Stack.Services[0].Reference = "app:2"
	gapless.Seen.Instances[0].StopGrace = 10 * time.Second
	missing := outlook()
	missing.Missing = []string{"app:2"}
	stopFirst := moved("old")
	stopFirst.Deployment.StartedAt = time.Time{}
	stopFirst.Seen.Instances[0].StopGrace = 10 * time.Second
	stopFirst.Seen.Instances[0].Writes = []string{"v"}
	stopFirst.Stack.Services[0].Mounts = []berth.Mount{{Volume: "v", Target: "/data"}}
	stopFirst.Stack.Volumes = []berth.Volume{{Name: "v"}}
	noImage := outlook()
	noImage.NoImage = "There is no image app:2"
	gone := base(true)
	gone.Tenant.Want, gone.Deployment, gone.Stack = berth.WantGone, deployment(berth.DeployDeprovision), berth.Stack{}
	gone.Seen.Volumes = []string{"v"}
	for name, c := range map[string]struct {
		from    plan.Situation
		outlook plan.Outlook
		want    string
		sums    berth.Forecast
	}{
		"a version beside the one before": {gapless, missing, `image: pull image app:2 10m0s
start beside: make and start 1 instance of app beside the version that runs 2m0s
health check: ask what takes requests until it is well 1m0s
observe: see that all that is new stays well 5s
route: lead requests to 1 instance of app
drain: wait until requests that are under way are answered 30s
apply: stop and remove 1 instance of app (stops) 10s
apply: let 1 instance of app take the place of the version before 2m0s
health check: ask what takes requests until it is well 1m0s`,
			berth.Forecast{ServedBefore: true, ServesAfter: true, AtMost: 15*time.Minute + 45*time.Second}},
		"what has to be stopped first": {stopFirst, outlook(), `hold requests: keep requests waiting from now on (holds)
drain: wait until requests that are under way are answered (holds) 5s
apply: stop and remove 1 instance of app (stops) (holds) 10s
apply: make and start 1 instance of app (holds) 2m0s
health check: ask what takes requests until it is well (holds) 1m0s
route: lead requests to 1 instance of app, those that wait first`,
			berth.Forecast{ServedBefore: true, ServesAfter: true, Downtime: true, HeldAtMost: 3*time.Minute + 15*time.Second, AtMost: 3*time.Minute + 15*time.Second}},
		"an image that can't be had": {gapless, noImage, `image: look for the images, of which one can't be had 15s`,
			berth.Forecast{ServedBefore: true, ServesAfter: true, AtMost: 15 * time.Second, Failure: "There is no image app:2"}},
		"a deprovisioning": {gone, outlook(), `refuse requests: close the tenant's port
remove: stop and remove 1 instance of app (stops)
remove: remove the tenant's network; keep v 2m0s`,
			berth.Forecast{ServedBefore: true, Downtime: true, AtMost: 2 * time.Minute}},
	} {
		got := plan.Forecast(c.from, c.outlook)
		if lines(got) != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, lines(got), c.want)
		}
		if got.Steps = nil; fmt.Sprint(got) != fmt.Sprint(c.sums) {
			t.Errorf("%s: %+v, want %+v", name, got, c.sums)
		}
	}
}
