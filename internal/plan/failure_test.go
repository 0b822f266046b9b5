package plan_test

import (
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

func TestWhatAnErrorLeadsTo(t *testing.T) {
	unavailable, refused := berth.CodeEngineUnavailable, berth.CodeEngineRefused
	for name, c := range map[string]struct {
		code   berth.Code
		change func(*plan.Situation)
		want   string
		reason string
	}{
		"without an order it is tried again":              {unavailable, func(*plan.Situation) {}, "mark; retry", "it said no"},
		"less often where only an operator can help":      {refused, func(*plan.Situation) {}, "mark; retry", "it said no"},
		"requests do not wait for it":                     {unavailable, func(s *plan.Situation) { s.Holding = true }, "route starting, mark; retry", ""},
		"a deployment goes on until patience ends":        {unavailable, func(s *plan.Situation) { s.Deployment, s.Waited = deployment(berth.DeployUpdate), 59*time.Second }, "mark; retry", "it said no"},
		"and then fails":                                  {unavailable, func(s *plan.Situation) { s.Deployment, s.Waited = deployment(berth.DeployUpdate), time.Minute }, "fail; wait 0s", "it said no"},
		"at once where only an operator can help":         {refused, func(s *plan.Situation) { s.Deployment = deployment(berth.DeployUpdate) }, "fail; wait 0s", "it said no"},
		"once it has arrived it does not go back":         {refused, func(s *plan.Situation) { s.Deployment, s.Arrived = deployment(berth.DeployUpdate), time.Second }, "mark; retry", "it said no"},
		"and is over when what was before still can't go": {unavailable, func(s *plan.Situation) { s.Deployment, s.Arrived = deployment(berth.DeployUpdate), 2*time.Minute }, "record running healthy; wait 0s", "it said no"},
		"a removal is never given up": {refused, func(s *plan.Situation) {
			s.Deployment, s.Tenant.Want, s.Waited = deployment(berth.DeployDeprovision), berth.WantGone, time.Hour
		}, "mark; retry", "it said no"},
		"how a container ended is not hidden by what follows": {unavailable, func(s *plan.Situation) {
			s.Deployment, s.Waited = deployment(berth.DeployUpdate), time.Minute
			s.Histories = map[string]plan.InstanceHistory{"c0": {Crashes: 1, Last: &plan.End{ExitCode: 137, OOM: true, Lines: []string{"heap: 900 MB"}}}}
		}, "fail; wait 0s", "service app was killed for using more than its limit of memory (exit code 137); its last lines: heap: 900 MB; it said no"},
	} {
		t.Run(name, func(t *testing.T) {
			s := base(true)
			s.TransitionDrain = 30 * time.Second
			s.Failure = &plan.Failure{Code: c.code, Reason: "it said no"}
			c.change(&s)
			p := plan.Decide(s)
			if got := show(p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := p.Steps[len(p.Steps)-1].Reason; c.reason != "" && got != c.reason {
				t.Errorf("because %q, want %q", got, c.reason)
			}
			if final := c.code == refused && p.Then == plan.Retry; (p.After == plan.Hopeless) != final {
				t.Errorf("again after %s", p.After)
			}
		})
	}
}

func TestADeploymentThatIsTriedAgainEndsAtItsDeadline(t *testing.T) {
	s := base(true)
	s.Deployment, s.Waited, s.Failure = deployment(berth.DeployUpdate), 55*time.Second, &plan.Failure{Code: berth.CodeEngineUnavailable}
	if p := plan.Decide(s); p.Then != plan.Retry || p.By != 5*time.Second {
		t.Errorf("got %+v", p)
	}
}
