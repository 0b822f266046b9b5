package plan

import (
	"fmt"
	"slices"

	"github.com/unite-hub/berth"
)

// A deployment goes back through goBack and in no other way. What for:
//
//   - an error: one that only an operator can end, or any once patience is over
//     (failed);
//   - a service that runs once per release ended badly (onceFailed);
//   - a service crashed too often (crashedTooOften);
//   - an apply did not hold until patience was over (unrepaired);
//   - the new version was well and got sick again (relapsed);
//   - what is waited for, or the first healthy answer, has not come when patience
//     is over (overdue), or the version was never well for long enough (neverWell).
//
// Until all of what was ordered runs, the way back is open; afterwards (Arrived)
// an error is the next pass's trouble. What goes back and what stays is
// berth.Deployment.Reverts; reconcile/failure.go carries it out. An order that takes
// a deployment back or replaces it (tenancy/cancel.go, tenancy/order.go) goes the
// same way.

// MaxDeploymentCrashes is how often instances of one service of a new version
// may crash before the deployment has failed.
const MaxDeploymentCrashes = 2

// MaxRelapses is how many rounds of probes in a row may fail of a version that was
// well before it counts as sick.
const MaxRelapses = 3

// goBack ends the deployment as failed.
func goBack(reason string) Plan {
	return Plan{Steps: []Step{{Kind: StepFail, Reason: reason}}, Then: Wait}
}

// Failure is the error that a step of this pass, or the look before it, ended
// with, and that is the tenant's own trouble.
type Failure struct {
	Code   berth.Code
	Reason string
}

// final reports whether trying again is pointless until an operator acts.
func (f Failure) final() bool {
	return slices.Contains([]berth.Code{berth.CodeImageNotFound, berth.CodeRegistryDenied, berth.CodeEngineRefused, berth.CodeForeignObject,
		berth.CodeDataMissing, berth.CodeEngineMismatch, berth.CodeInvalidImage, berth.CodeNoSubnets}, f.Code)
}

// failed is what follows an error: the deployment's end if the error is final
// or patience is over, else another attempt. How instances ended is told with
// it: an error of the engine often only follows from that.
func failed(s Situation) Plan {
	f := *s.Failure
	if s.Stack.Run {
		stack, _ := deferWaiting(s.Stack, s.Seen)
		f.Reason = newTransition(stack, s).howEnded(s) + f.Reason
	}
	if s.Deployment != nil && s.Tenant.Want != berth.WantGone {
		switch {
		case s.Arrived > 0 && s.Arrived >= s.Patience+s.TransitionDrain:
			// What was ordered runs. That what was before can't be removed is
			// the next pass's trouble.
			return Plan{Steps: []Step{{Kind: StepRecord, Status: berth.StatusRunning, Health: berth.HealthHealthy, Reason: f.Reason}}, Then: Wait}
		case s.Arrived == 0 && (f.final() || s.overdue()):
			return goBack(f.Reason)
		}
	}
	p := Plan{Then: Retry}
	if s.Holding && s.Deployment == nil { // requests would wait for what fails again and again
		p.Steps = append(p.Steps, Step{Kind: StepRoute, Route: berth.RouteStarting})
	}
	mark := Step{Kind: StepMark, Reason: f.Reason}
	if s.Deployment == nil && s.Tenant.Want == berth.WantRunning && (f.final() || s.Tenant.Status == berth.StatusFailed) {
		mark.Event = berth.EventUnhealthy // what the next attempt mends is told to nobody
	}
	p.Steps = append(p.Steps, mark)
	if f.final() {
		p.After = Hopeless
	}
	return p
}

// onceFailed follows the failure of a service that runs once per release: the
// deployment has failed. Without one, only an order helps.
func onceFailed(s Situation, reason string) Plan {
	if s.Deployment != nil {
		return goBack(reason)
	}
	return Plan{Steps: []Step{{Kind: StepRecord, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: reason}}, Then: Wait, After: Hopeless}
}

// crashedTooOften says which service crashed too often for the deployment to
// succeed, "" if none did: MaxCrashes in a row, whatever it was made for, or
// MaxDeploymentCrashes since it was started for the deployment, over all of its
// instances.
func (t transition) crashedTooOften(s Situation) string {
	if s.Deployment == nil {
		return ""
	}
	if list := t.crashed(s); len(list) > 0 {
		return crashesInARow(s, list[0])
	}
	crashes := map[string]int{}
	for _, want := range t.stack.Instances() {
		c, ok := t.kept[want.Slot]
		if !ok || want.Service.Once || !StartedFor(s, c) {
			continue
		}
		crashes[c.Service] += s.Histories[c.ID].Crashes
		if n := crashes[c.Service]; n >= MaxDeploymentCrashes {
			return fmt.Sprintf("service %s crashed %d times since it was started, and last %s", c.Service, n, s.Histories[c.ID].Last.How())
		}
	}
	return ""
}

// overdue reports whether patience with the deployment under way is over.
func (s Situation) overdue() bool { return s.Deployment != nil && s.Waited >= s.Patience }

// neverWell reports whether its new version had all the time to be well for as
// long as it has to be.
func (s Situation) neverWell() bool { return s.Waited >= s.Patience+s.Observe }

// relapsed reports whether its new version was well and got sick again.
func (s Situation) relapsed() bool { return s.Deployment != nil && s.Relapses >= MaxRelapses }

func cause(p *berth.Probe) string {
	if p == nil {
		return "unknown"
	}
	return p.Cause
}
