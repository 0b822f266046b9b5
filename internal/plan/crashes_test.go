package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

func TestAVersionThatCrashedAndWasStartedAgainFailsWithItsExitCode(t *testing.T) {
	s := fresh(base(true))
	s.Deployment, s.Waited = deployment(berth.DeployUpdate), 2*time.Minute
	s.Probe = &berth.Probe{Status: berth.ProbeTimeout, Cause: "no answer within 1s"}
	for exit, want := range map[int]string{7: "it ended with exit code 7 before; no answer", 0: "not healthy in time: no answer"} {
		s.Lives = map[string]plan.Life{"c0": {Crashes: 1, Exit: exit}}
		p := plan.Decide(s)
		if len(p.Steps) != 1 || p.Steps[0].Kind != plan.StepFail || !strings.Contains(p.Steps[0].Reason, want) {
			t.Errorf("exit code %d: %+v", exit, p.Steps)
		}
	}
}
