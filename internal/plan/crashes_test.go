package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

func TestAVersionThatCrashedAndWasStartedAgainFailsWithItsExitCode(t *testing.T) {
	s := unproven(base(true))
	s.Deployment, s.Waited = deployment(berth.DeployUpdate), 2*time.Minute
	s.Probe = &berth.Probe{Status: berth.ProbeTimeout, Cause: "no answer within 1s"}
	for want, history := range map[string]plan.InstanceHistory{
		"service app ended with exit code 7; its last lines: a | b; no answer within 1s": {Crashes: 1, Last: &plan.End{ExitCode: 7, Lines: []string{"a", "b"}}},
		"not healthy in time: no answer within 1s":                                       {},
	} {
		s.Histories = map[string]plan.InstanceHistory{"c0": history}
		p := plan.Decide(s)
		if len(p.Steps) != 1 || p.Steps[0].Kind != plan.StepFail || !strings.Contains(p.Steps[0].Reason, want) {
			t.Errorf("want %q: %+v", want, p.Steps)
		}
	}
}

// A new version beside the old one, both of a web service and a worker without
// a health check.
func withWorker() plan.Situation {
	s := base(true)
	s.Deployment = deployment(berth.DeployUpdate)
	s.Stack = saas()
	s.Stack.Generation, s.Stack.Services = 2, s.Stack.Services[2:]
	for i := range s.Stack.Services {
		s.Stack.Services[i].DependsOn = nil
	}
	old := seen(s.Stack, map[string]berth.Instance{"web": runs, "worker": runs})
	s.Seen = seen(s.Stack, map[string]berth.Instance{"web": runs, "worker": runs})
	for i, c := range old.Instances {
		c.ID, c.Hash, c.Generation = "old "+c.Service, "an earlier one", 1
		n := &s.Seen.Instances[i]
		n.Name, n.Beside, n.Generation = "next", true, 2
		s.Seen.Instances = append(s.Seen.Instances, c)
	}
	s.Proven = map[string]bool{"old web": true}
	s.Probe = &berth.Probe{Status: berth.ProbeHealthy}
	s.Observe, s.Well = 3*time.Second, 3*time.Second
	s.Histories = map[string]plan.InstanceHistory{"web": {Up: time.Minute}, "worker": {Up: time.Minute}}
	return s
}

func TestANewVersionIsWellOnlyIfAllOfItIs(t *testing.T) {
	crash := func(n int) plan.InstanceHistory {
		return plan.InstanceHistory{Crashes: n, Up: time.Second, Last: &plan.End{ExitCode: 3}}
	}
	for name, c := range map[string]struct {
		change func(*plan.Situation)
		want   string
		reason string
	}{
		"all of it was well for long enough":     {func(*plan.Situation) {}, "apply unnamed; again", ""},
		"a worker that began anew resets that":   {func(s *plan.Situation) { s.Histories["worker"] = crash(1) }, "; wait 500ms", ""},
		"so does one that does not run just now": {func(s *plan.Situation) { s.Histories["worker"] = plan.InstanceHistory{} }, "; wait 500ms", ""},
		"two crashes fail the deployment": {func(s *plan.Situation) { s.Histories["worker"] = crash(2) }, "fail; wait 0s",
			"service worker crashed 2 times since it was started, and last ended with exit code 3"},
		"whatever probes say of the rest": {func(s *plan.Situation) { s.Histories["worker"], s.Probe = crash(2), nil }, "fail; wait 0s",
			"service worker crashed 2 times since it was started, and last ended with exit code 3"},
		"what the old version does is its own trouble": {func(s *plan.Situation) { s.Histories["old worker"] = crash(5) }, "apply unnamed; again", ""},
		"a version that comes and goes never becomes well": {func(s *plan.Situation) { s.Histories["worker"], s.Waited = crash(1), 2*time.Minute }, "fail; wait 0s",
			"was never well for 3s on end; service worker ended with exit code 3; "},
	} {
		t.Run(name, func(t *testing.T) {
			s := withWorker()
			c.change(&s)
			p := plan.Decide(s)
			got := strings.ReplaceAll(show(p), "apply beside", "apply")
			got = strings.ReplaceAll(got, "beside ", "")
			if !strings.HasPrefix(got, strings.Split(c.want, " unnamed")[0]) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if c.reason != "" && p.Steps[0].Reason != c.reason {
				t.Errorf("because %q, want %q", p.Steps[0].Reason, c.reason)
			}
		})
	}
}

func TestWhereNothingServesTheNewVersionServesWhileItsWorkerIsObserved(t *testing.T) {
	s := withWorker()
	s.Deployment.Type = berth.DeployProvision
	s.Seen.Instances = s.Seen.Instances[:2]
	for i := range s.Seen.Instances {
		s.Seen.Instances[i].Beside = false
	}
	s.Histories["worker"] = plan.InstanceHistory{Up: 2900 * time.Millisecond}
	s.Well = 0
	if got := show(plan.Decide(s)); got != "route serving 2, record running starting; wait 100ms" {
		t.Errorf("got %s", got)
	}
	s.Histories["worker"] = plan.InstanceHistory{Up: 3 * time.Second}
	if got := show(plan.Decide(s)); got != "route serving 2, record running healthy; done" {
		t.Errorf("then %s", got)
	}
}

func TestACrashIsToldAndIsNoDrift(t *testing.T) {
	s := base(true)
	s.Seen.Instances[0].State, s.Seen.Instances[0].ExitCode = berth.InstanceRestarting, 3
	s.Histories = map[string]plan.InstanceHistory{"c0": {Crashes: 1, Untold: 1, Last: &plan.End{ExitCode: 3, Lines: []string{"panic: no"}}}}
	p := plan.Decide(s)
	if got := show(p); got != "crash, route starting, apply; again" {
		t.Errorf("got %s", got)
	}
	if got := p.Steps[0].Reason; got != "service app ended with exit code 3; its last lines: panic: no" {
		t.Errorf("told as %q", got)
	}
	s = base(true) // it runs again already
	s.Histories = map[string]plan.InstanceHistory{"c0": {Crashes: 4, Untold: 3, TellIn: 20 * time.Second, Last: &plan.End{ExitCode: 137, OOM: true}}}
	if got := show(plan.Decide(s)); got != "route serving 2, record running healthy; wait 20s" {
		t.Errorf("one that was told a moment ago: %s", got)
	}
	s.Histories["c0"] = plan.InstanceHistory{Crashes: 4, Untold: 3, Last: &plan.End{ExitCode: 137, OOM: true}}
	if got := plan.Decide(s).Steps[0].Reason; got != "service app crashed 3 times, and last was killed for using more than its limit of memory (exit code 137)" {
		t.Errorf("several are told as %q", got)
	}
}
