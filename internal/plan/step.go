package plan

import (
	"net/netip"
	"slices"

	"github.com/unite-hub/berth"
)

// StepKind is what a step does.
type StepKind string

const (
	StepBegin   StepKind = "begin"   // record that the deployment was taken up
	StepResolve StepKind = "resolve" // pin the images, and see that they are there
	StepDrift   StepKind = "drift"   // record that something was changed by other means
	StepRoute   StepKind = "route"   // tell the edge
	StepDrain   StepKind = "drain"   // wait for requests that are where the route does not lead
	StepHalt    StepKind = "halt"    // stop the instances, keep them
	StepAdopt   StepKind = "adopt"   // take back what compose made
	StepApply   StepKind = "apply"   // make the engine hold the stack
	StepRelease StepKind = "release" // record that what runs once per release did so
	StepProbe   StepKind = "probe"   // ask the tenant whether it is well
	StepRestart StepKind = "restart" // restart one instance
	StepStop    StepKind = "stop"    // stop one instance for good
	StepRecord  StepKind = "record"  // record what is seen, and the deployment's success
	StepFail    StepKind = "fail"    // record the deployment's failure
	StepMark    StepKind = "mark"    // record why the tenant is not as it should be
	StepCrash   StepKind = "crash"   // tell that an instance crashed
	StepRemove  StepKind = "remove"  // remove the tenant from the engine, and check
	StepBury    StepKind = "bury"    // turn the row into a tombstone
)

// Step is one idempotent action.
type Step struct {
	Kind      StepKind
	Route     berth.RouteState // of StepRoute
	Upstreams []netip.AddrPort // of StepRoute: where requests go
	Arrives   bool             // of StepRoute: to what was ordered
	Stack     berth.Stack      // of StepApply and StepHalt
	Status    berth.Status     // of StepRecord
	Health    berth.Health     // of StepRecord
	Instance  string           // of StepRestart, StepStop and StepCrash: the engine's id
	Event     string           // of StepRecord: what it is told as, if not by its health; of StepMark: the same, "" for nothing yet
	Reason    string           // why, for people
}

// Name is what a deployment's history calls a step, "" for one that it leaves
// out.
func (s Step) Name() string {
	beside := func(v berth.Version) bool { // another one of a service that is called for
		return slices.ContainsFunc(s.Stack.Services, func(svc berth.Service) bool { return svc.Name == v.Service && !svc.Deferred && !svc.Done })
	}
	switch {
	case s.Kind == StepResolve:
		return "image"
	case s.Kind == StepHalt:
		return "stop"
	case s.Kind == StepApply && slices.ContainsFunc(s.Stack.Others, beside):
		return "start beside"
	case s.Kind == StepProbe:
		return "health check"
	case s.Kind == StepRoute && s.Route == berth.RouteHolding:
		return "hold requests"
	case s.Kind == StepRoute && s.Route == berth.RouteServing:
		return "route"
	case s.Kind == StepApply, s.Kind == StepDrain, s.Kind == StepAdopt, s.Kind == StepRelease, s.Kind == StepRemove:
		return string(s.Kind)
	default:
		return ""
	}
}
