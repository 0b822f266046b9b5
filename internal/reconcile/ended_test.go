package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/reconcile"
)

func TestAVersionThatCrashedAndWasStartedAgainFailsWithItsExitCode(t *testing.T) {
	s := fresh(base(true))
	s.Deployment, s.Waited = deployment(berth.DeployUpdate), 2*time.Minute
	s.Probe = &berth.Probe{Status: berth.ProbeTimeout, Cause: "no answer within 1s"}
	for exit, want := range map[int]string{7: "it ended with exit code 7 before; no answer", 0: "not healthy in time: no answer"} {
		s.Lives = map[string]reconcile.Life{"c0": {Crashes: 1, Exit: exit}}
		plan := reconcile.Decide(s)
		if len(plan.Steps) != 1 || plan.Steps[0].Kind != reconcile.StepFail || !strings.Contains(plan.Steps[0].Reason, want) {
			t.Errorf("exit code %d: %+v", exit, plan.Steps)
		}
	}
}
