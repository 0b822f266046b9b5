package plan

import (
	"slices"

	"github.com/unite-hub/berth"
)

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
		case s.Arrived == 0 && (f.final() || s.Waited >= s.Patience):
			return Plan{Steps: []Step{{Kind: StepFail, Reason: f.Reason}}, Then: Wait}
		}
	}
	p := Plan{Then: Retry}
	if s.Holding && s.Deployment == nil { // requests would wait for what fails again and again
		p.Steps = append(p.Steps, Step{Kind: StepRoute, Route: berth.RouteStarting})
	}
	p.Steps = append(p.Steps, Step{Kind: StepMark, Reason: f.Reason})
	if f.final() {
		p.After = Hopeless
	}
	return p
}
