package reconcile

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/unite-hub/berth"
)

// Situation is everything that a decision about one tenant depends on.
type Situation struct {
	Tenant     berth.Tenant
	Deployment *berth.Deployment // the one that is not over; nil if there is none
	Stack      berth.Stack       // what should be; zero while an image is not resolved
	Seen       berth.Observed

	Adopted   bool          // what compose made was taken back, or there was no such order
	Applied   bool          // the stack was applied in this pass
	Held      []string      // services that were held back when it was
	Restarted bool          // what ran was stopped, or nothing ran, for Deployment
	Probe     *berth.Probe  // the last probe of this pass; nil before the first
	Verified  bool          // the tenant is known to answer and nothing was changed since
	Waited    time.Duration // since patience with Deployment began
	Patience  time.Duration // how long a deployment may wait for a healthy answer
}

// StepKind is what a step does.
type StepKind string

const (
	StepBegin   StepKind = "begin"   // record that the deployment was taken up
	StepResolve StepKind = "resolve" // pin the image
	StepDrift   StepKind = "drift"   // record that something was changed by other means
	StepRoute   StepKind = "route"   // tell the edge
	StepHalt    StepKind = "halt"    // stop the containers, keep them
	StepAdopt   StepKind = "adopt"   // take back what compose made
	StepApply   StepKind = "apply"   // make the engine hold the stack
	StepRelease StepKind = "release" // record that what runs once per release did so
	StepProbe   StepKind = "probe"   // ask the tenant whether it is well
	StepSettle  StepKind = "settle"  // record what is seen, and the deployment's success
	StepFail    StepKind = "fail"    // record the deployment's failure
	StepRemove  StepKind = "remove"  // remove the tenant from the engine, and check
	StepBury    StepKind = "bury"    // turn the row into a tombstone
)

// Step is one idempotent action.
type Step struct {
	Kind   StepKind
	Route  berth.RouteState // of StepRoute
	Drain  bool             // of StepRoute: forward to nothing
	Status berth.Status     // of StepSettle
	Health berth.Health     // of StepSettle
	Reason string           // why, for people; of StepDrift, StepSettle and StepFail
}

// Then says what comes after a plan's steps.
type Then int

const (
	Again Then = iota // decide again at once: the steps changed the situation
	Done              // nothing more until something changes
	Wait              // decide again after Plan.After
	Retry             // decide again with back-off
)

// Plan is the next part of the way from what is to what should be.
type Plan struct {
	Steps []Step
	Then  Then
	After time.Duration
}

const (
	probePause = time.Second     // between rounds of probes while a deployment waits
	gatePause  = time.Second     // between looks at what a service waits for; events come sooner
	sickPause  = 5 * time.Second // between probes of a tenant that does not answer
)

// Decide is pure and deterministic: the same situation gives the same plan,
// for a dry run as for the real one.
func Decide(s Situation) Plan {
	switch d := s.Deployment; {
	case d != nil && d.StartedAt.IsZero():
		return Plan{Steps: []Step{{Kind: StepBegin}}}
	case s.Tenant.Want == berth.WantGone:
		return Plan{Steps: []Step{{Kind: StepRemove}, {Kind: StepBury}}, Then: Done}
	case s.Stack.Services == nil:
		return Plan{Steps: []Step{{Kind: StepResolve}}}
	}
	if s.Deployment != nil && s.Deployment.Adopt && !s.Adopted {
		return Plan{Steps: []Step{{Kind: StepAdopt}}}
	}
	if restartDue(s) {
		return Plan{Steps: []Step{
			{Kind: StepRoute, Route: berth.RouteStarting, Drain: true},
			{Kind: StepHalt},
			{Kind: StepApply},
		}}
	}
	if s.Stack.Run {
		switch done, failure := onceOutcome(s.Stack, s.Seen); {
		case failure != "":
			return giveUp(s, failure)
		case done:
			return Plan{Steps: []Step{{Kind: StepRelease}}}
		}
	}
	gated, waits := gate(s.Stack, s.Seen)
	s.Applied = s.Applied && slices.Equal(s.Held, heldServices(gated))
	s.Stack = gated
	if reason := Difference(gated, s.Seen); reason != "" {
		return repair(s, reason)
	}
	if waits != "" {
		return await(s, waits)
	}
	if !s.Stack.Run {
		return Plan{Steps: []Step{
			{Kind: StepRoute, Route: berth.RouteStopped},
			{Kind: StepSettle, Status: berth.StatusStopped, Health: berth.HealthUnknown},
		}, Then: Done}
	}
	return verify(s)
}

// giveUp ends a deployment that can't succeed any more. Without one, only an
// order helps.
func giveUp(s Situation, reason string) Plan {
	if s.Deployment != nil {
		return Plan{Steps: []Step{{Kind: StepFail, Reason: reason}}, Then: Wait}
	}
	return Plan{Steps: []Step{{Kind: StepSettle, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: reason}}, Then: Wait, After: hopeless}
}

// await waits for a service that others depend on. What ran before goes on
// serving meanwhile.
func await(s Situation, reason string) Plan {
	if s.Deployment != nil && s.Waited >= s.Patience {
		return Plan{Steps: []Step{{Kind: StepFail, Reason: "not ready in time: " + reason}}, Then: Wait}
	}
	settle := Step{Kind: StepSettle, Status: s.Tenant.Status, Health: berth.HealthStarting, Reason: reason}
	if s.Deployment == nil && !mainRuns(s.Stack, s.Seen) {
		settle.Status = berth.StatusFailed
	}
	return Plan{Steps: []Step{settle}, Then: Wait, After: gatePause}
}

// restartDue reports whether containers that run have to be stopped first. One
// that does not run is restarted by starting it.
func restartDue(s Situation) bool {
	d := s.Deployment
	if d == nil || d.Type != berth.DeployRestart || d.Adopt || s.Restarted || !s.Stack.Run {
		return false // what was adopted is made anew, and the rest was never away
	}
	for _, c := range s.Seen.Containers {
		if c.State == berth.ContainerRunning || c.State == berth.ContainerRestarting {
			return true
		}
	}
	return false
}

// repair brings the engine to what should be. If it was tried in this pass and
// did not hold, it waits, until patience ends.
func repair(s Situation, reason string) Plan {
	if s.Applied {
		settle := Step{Kind: StepSettle, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: reason}
		if s.Deployment != nil {
			if s.Waited >= s.Patience {
				return Plan{Steps: []Step{{Kind: StepFail, Reason: reason}}, Then: Wait}
			}
			settle.Status, settle.Health = s.Tenant.Status, berth.HealthStarting
		}
		return Plan{Steps: []Step{settle}, Then: Retry}
	}
	var steps []Step
	if s.Deployment == nil && settled(s.Tenant) {
		steps = append(steps, Step{Kind: StepDrift, Reason: reason})
	}
	route := Step{Kind: StepRoute, Route: berth.RouteStopped, Drain: true}
	if s.Stack.Run {
		route = Step{Kind: StepRoute, Route: berth.RouteStarting, Drain: !anyServing(s.Stack, s.Seen)}
	}
	return Plan{Steps: append(steps, route, Step{Kind: StepApply})}
}

// verify asks a tenant that runs as it should whether it is well.
func verify(s Situation) Plan {
	serving := Step{Kind: StepRoute, Route: berth.RouteServing}
	running := Step{Kind: StepSettle, Status: berth.StatusRunning, Health: berth.HealthHealthy}
	switch {
	case s.Verified && s.Deployment == nil:
		return Plan{Steps: []Step{serving, running}, Then: Done}
	case s.Probe == nil:
		return Plan{Steps: []Step{{Kind: StepRoute, Route: berth.RouteStarting}, {Kind: StepProbe}}}
	case s.Probe.Status == berth.ProbeHealthy:
		return Plan{Steps: []Step{serving, running}, Then: Done}
	case s.Deployment == nil:
		running.Health, running.Reason = berth.HealthUnhealthy, s.Probe.Cause
		return Plan{Steps: []Step{serving, running}, Then: Wait, After: sickPause}
	case s.Waited >= s.Patience:
		return Plan{Steps: []Step{{Kind: StepFail, Reason: "not healthy in time: " + s.Probe.Cause}}, Then: Wait}
	default:
		running.Health, running.Reason = berth.HealthStarting, s.Probe.Cause
		return Plan{Steps: []Step{running}, Then: Wait, After: probePause}
	}
}

// settled reports whether a tenant was as it should be, so that a difference
// is drift and not unfinished work.
func settled(t berth.Tenant) bool {
	return (t.Status == berth.StatusRunning || t.Status == berth.StatusStopped) && t.Cause == ""
}

// Difference says in words how what is seen differs from the stack, "" if it
// does not. An engine that did not look at limits is believed.
func Difference(stack berth.Stack, seen berth.Observed) string {
	have := byName(seen)
	if !seen.Network {
		return "network " + stack.Network + " is missing"
	}
	for _, want := range stack.Containers() {
		c, ok := have[want.Name]
		delete(have, want.Name)
		if reason := containerDifference(want, c, ok, stack.Run); reason != "" {
			return "container " + want.Name + " " + reason
		}
	}
	for _, c := range seen.Containers {
		if _, extra := have[c.Name]; extra && !stack.Leaves(c.Service) {
			return "container " + c.Name + " is not wanted any more"
		}
	}
	return ""
}

func containerDifference(want berth.ContainerSpec, c berth.Container, ok, run bool) string {
	running := c.State == berth.ContainerRunning
	switch {
	case !ok:
		return "is missing"
	case c.Hash != want.Hash:
		return "was made from another spec"
	case run && c.State == berth.ContainerUnknown:
		return "is in a state that Berth does not know"
	case run && want.Service.Once && completed(c):
		return ""
	case run && !running && c.OOMKilled:
		return fmt.Sprintf("was killed for using more than its %d MB of memory", want.Service.Limits.MemoryMB)
	case run && !running && c.State == berth.ContainerCreated:
		return "is not started"
	case run && !running:
		return fmt.Sprintf("is not running (exit code %d)", c.ExitCode)
	case run && !c.Address.IsValid() && want.Service.Main:
		return "has no address"
	case !run && (running || c.State == berth.ContainerRestarting):
		return "is running"
	case c.MemoryMB != 0 && c.MemoryMB != want.Service.Limits.MemoryMB:
		return fmt.Sprintf("has a memory limit of %d MB, not %d", c.MemoryMB, want.Service.Limits.MemoryMB)
	case c.CPU != 0 && math.Abs(c.CPU-want.Service.Limits.CPU) > 0.005:
		return fmt.Sprintf("has a CPU limit of %.2f, not %.2f", c.CPU, want.Service.Limits.CPU)
	default:
		return ""
	}
}

// anyServing reports whether some container of the stack's main service runs
// and stays: its traffic goes on while the others are brought in line.
func anyServing(stack berth.Stack, seen berth.Observed) bool {
	if mainHeld(stack) {
		return mainRuns(stack, seen)
	}
	have := byName(seen)
	for _, want := range stack.Containers() {
		c := have[want.Name]
		if want.Service.Main && c.Hash == want.Hash && c.State == berth.ContainerRunning {
			return true
		}
	}
	return false
}

func mainHeld(stack berth.Stack) bool {
	return slices.ContainsFunc(stack.Services, func(s berth.Service) bool { return s.Main && s.Held })
}

// mainRuns reports whether some container of the main service runs, whatever
// it was made from.
func mainRuns(stack berth.Stack, seen berth.Observed) bool {
	main := slices.IndexFunc(stack.Services, func(s berth.Service) bool { return s.Main })
	return slices.ContainsFunc(seen.Containers, func(c berth.Container) bool {
		return c.Service == stack.Services[main].Name && c.State == berth.ContainerRunning
	})
}
