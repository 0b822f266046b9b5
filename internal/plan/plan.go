// Package plan decides what is done next for a tenant. It is pure: a situation
// in, a plan out, and a plan is data. The loop carries plans out, a dry run
// tells them.
package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// Situation is everything that a decision about one tenant depends on.
type Situation struct {
	Tenant     berth.Tenant
	Deployment *berth.Deployment // the one that is not over; nil if there is none
	Stack      berth.Stack       // what should be; zero while an image is not resolved
	Seen       berth.Observed

	Available bool                       // the images are known to be there
	Adopted   bool                       // what compose made was taken back, or there was no such order
	Applied   string                     // shape of the stack that was applied in this pass; "" for none
	Restarted bool                       // what ran was stopped, or nothing ran, for Deployment
	Named     bool                       // what was made beside is found by its service's name inside the network
	Drained   bool                       // no request is left where the route does not lead
	Holding   bool                       // the edge keeps requests waiting
	Proven    map[string]bool            // instances that answered well once since they started, by id
	Unready   map[string]string          // instances that are not well now, by id, each with its cause
	Histories map[string]InstanceHistory // how instances fared, by id
	Failure   *Failure                   // nil while nothing went wrong in this pass

	Probe    *berth.Probe  // the worst of this pass's last round of probes; nil before the first
	Well     time.Duration // for which all were, round after round, for Deployment
	Relapses int           // rounds of probes in a row, after all were well once, in which some were not
	Observe  time.Duration // how long a new generation must be well before traffic moves to it
	Waited   time.Duration // since patience with Deployment began, not counting Observe
	Arrived  time.Duration // since traffic moved to what Deployment made; 0 if it has not
	Patience time.Duration // how long a deployment may wait for a healthy answer

	TransitionDrain time.Duration // how long requests with an earlier generation are waited for
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
	By    time.Duration // with Retry: however long back-off would be, for a deployment ends at its deadline; 0 for no bound
}

// Hopeless is how long a tenant is left alone whose trouble only an order can
// end.
const Hopeless = time.Minute

const (
	ProbePause      = time.Second            // between rounds of probes while a deployment waits
	observePause    = 500 * time.Millisecond // the same while a new generation is observed
	dependencyPause = time.Second            // between looks at what a service waits for; events come sooner
	sickPause       = 5 * time.Second        // between probes of a tenant that does not answer
)

// observed is why a deployment waits whose version is well, and has to stay so.
const observed = "being observed"

// Decide is pure and deterministic: the same situation gives the same plan,
// for a dry run as for the real one.
func Decide(s Situation) Plan {
	p := decide(s)
	if s.Deployment != nil {
		p.By = max(s.Patience-s.Waited, 0)
	}
	return tellCrashes(s, p)
}

func decide(s Situation) Plan {
	if s.Failure != nil {
		return failed(s)
	}
	switch d := s.Deployment; {
	case d != nil && d.StartedAt.IsZero():
		return Plan{Steps: []Step{{Kind: StepBegin}}}
	case s.Tenant.Want == berth.WantGone:
		return Plan{Steps: []Step{{Kind: StepRemove}, {Kind: StepBury}}, Then: Done}
	case s.Stack.Services == nil || d != nil && !s.Available:
		return Plan{Steps: []Step{{Kind: StepResolve}}}
	}
	if s.Deployment != nil && s.Deployment.Adopt && !s.Adopted {
		return Plan{Steps: []Step{{Kind: StepAdopt}}}
	}
	if restartDue(s) {
		if !s.Holding || !s.Drained {
			return Plan{Steps: []Step{{Kind: StepRoute, Route: berth.RouteHolding}, {Kind: StepDrain}}}
		}
		stopped := KeepOthers(s.Stack, s.Seen)
		stopped.Run = false
		return Plan{Steps: []Step{{Kind: StepHalt, Stack: stopped}, {Kind: StepApply, Stack: KeepOthers(s.Stack, s.Seen)}}}
	}
	if s.Stack.Run {
		switch done, failure := onceOutcome(s.Stack, s.Seen); {
		case failure != "":
			return onceFailed(s, failure)
		case done:
			return Plan{Steps: []Step{{Kind: StepRelease}}}
		}
	}
	stack, waits := deferWaiting(s.Stack, s.Seen)
	if waits == "" && s.Deployment != nil {
		waits = unended(s.Stack, s.Seen)
	}
	t := newTransition(stack, s)
	if s.Stack.Run {
		if reason := t.crashedTooOften(s); reason != "" {
			return goBack(reason)
		}
		if list := t.crashed(s); len(list) > 0 {
			return giveUp(s, stack, t, list)
		}
	}
	return tend(s, t, waits)
}

// tend brings a tenant to what should be, and sees that it is well.
func tend(s Situation, t transition, waits string) Plan {
	if s.Stack.Run && s.Deployment == nil {
		if c, cause := t.unresponsive(s); cause != "" {
			return Plan{Steps: []Step{t.route(s), {Kind: StepRestart, Instance: c.ID, Reason: cause}}}
		}
	}
	if reason := t.missing(); reason != "" {
		return repair(s, t, reason)
	}
	if waits != "" {
		return await(s, t, waits)
	}
	if !s.Stack.Run {
		if reason := t.surplus(); reason != "" {
			return repair(s, t, reason)
		}
		return Plan{Steps: []Step{
			{Kind: StepRoute, Route: berth.RouteStopped},
			{Kind: StepRecord, Status: berth.StatusStopped, Health: berth.HealthUnknown},
		}, Then: Done}
	}
	return verify(s, t)
}

// Succeeds reports whether the deployment under way has reached what it asked
// for once the step is recorded.
func (s Situation) Succeeds(step Step) bool {
	return s.Deployment != nil && (step.Health == berth.HealthHealthy || step.Status == berth.StatusStopped && s.Tenant.Want == berth.WantStopped)
}

// await waits for a service that others depend on. What ran before goes on
// serving meanwhile.
func await(s Situation, t transition, reason string) Plan {
	if s.overdue() {
		return goBack("not ready in time: " + t.howEnded(s) + reason)
	}
	record := Step{Kind: StepRecord, Status: s.Tenant.Status, Health: berth.HealthStarting, Reason: reason}
	if s.Deployment != nil {
		return Plan{Steps: []Step{record}, Then: Wait, After: dependencyPause}
	}
	if !t.mainRuns() {
		record.Status = berth.StatusFailed
	}
	return Plan{Steps: []Step{t.route(s), record}, Then: Wait, After: dependencyPause}
}

// restartDue reports whether instances that run have to be stopped first. One
// that does not run is restarted by starting it.
func restartDue(s Situation) bool {
	d := s.Deployment
	if d == nil || d.Type != berth.DeployRestart || d.Adopt || s.Restarted || !s.Stack.Run {
		return false // what was adopted is made anew, and the rest was never away
	}
	return slices.ContainsFunc(s.Seen.Instances, IsUp)
}

// repair brings the engine to what should be. If it was tried in this pass and
// did not hold, it waits, until patience ends.
func repair(s Situation, t transition, reason string) Plan {
	if s.Applied == Shape(t.stack) {
		return unrepaired(s, t, reason)
	}
	if t.stopFirst && !(s.Holding && s.Drained) {
		return Plan{Steps: []Step{{Kind: StepRoute, Route: berth.RouteHolding}, {Kind: StepDrain}}}
	}
	var steps []Step
	if s.Deployment == nil && converged(s.Tenant) && !t.crashing(s) {
		steps = append(steps, Step{Kind: StepDrift, Reason: reason})
	}
	switch {
	case !s.Stack.Run:
		steps = append(steps, Step{Kind: StepRoute, Route: berth.RouteStopped})
	case !t.stopFirst:
		steps = append(steps, t.route(s))
	}
	return Plan{Steps: append(steps, Step{Kind: StepApply, Stack: t.stack})}
}

// unrepaired is what comes after an apply that did not hold.
func unrepaired(s Situation, t transition, reason string) Plan {
	record := Step{Kind: StepRecord, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: reason}
	if s.overdue() {
		return goBack(t.howEnded(s) + reason)
	}
	if s.Deployment != nil {
		record.Status, record.Health = s.Tenant.Status, berth.HealthStarting
		return Plan{Steps: []Step{record}, Then: Retry}
	}
	s.Holding = false // requests would wait for what nobody works on
	return Plan{Steps: []Step{t.route(s), record}, Then: Retry}
}

// verify asks a tenant that runs as it should whether it is well, and moves
// traffic to it once it is.
func verify(s Situation, t transition) Plan {
	running := Step{Kind: StepRecord, Status: berth.StatusRunning, Health: berth.HealthHealthy}
	unwellInside := t.unwellInside(s)
	switch {
	case s.Deployment == nil && s.Holding && unwellInside != "":
		return await(s, t, unwellInside)
	case s.Deployment == nil && t.proven(s.Proven) && t.surplus() == "" && (s.Tenant.Health == berth.HealthHealthy || t.unready(s)):
		running.Health, running.Reason = t.health(s)
		return Plan{Steps: []Step{t.route(s), running}, Then: Done}
	case s.relapsed():
		return goBack("was well and got sick again: " + t.howEnded(s) + cause(s.Probe))
	case s.Deployment == nil && t.proven(s.Proven) && t.surplus() != "":
		return arrive(s, t)
	case s.Probe == nil:
		return Plan{Steps: []Step{t.route(s), {Kind: StepProbe}}}
	case s.Probe.Status != berth.ProbeHealthy:
		return unwell(s, t)
	}
	if unwellInside != "" {
		return await(s, t, unwellInside)
	}
	if left := t.unobserved(s); left > 0 {
		return observe(s, t, left)
	}
	return arrive(s, t)
}

// observe waits until a new version was well for as long as it has to be. While
// nothing of the version before it is left to serve, requests go to it at once, also
// where it waits for a neighbour that is made beside its former version.
func observe(s Situation, t transition, left time.Duration) Plan {
	if s.neverWell() {
		return goBack("was never well for " + s.Observe.String() + " on end; " + t.howEnded(s))
	}
	p := Plan{Then: Wait, After: min(observePause, left)}
	if !t.beside || len(t.former()) == 0 {
		p.Steps = append(p.Steps, Step{Kind: StepRoute, Route: berth.RouteServing, Upstreams: addresses(t.main())})
	}
	if !t.beside {
		p.Steps = append(p.Steps, Step{Kind: StepRecord, Status: s.Tenant.Status, Health: berth.HealthStarting, Reason: observed})
	}
	return p
}

// arrive moves traffic to a generation that was found well, and lets the one
// before it go: name, route, drain, remove, and look again.
func arrive(s Situation, t transition) Plan {
	here := Step{Kind: StepRoute, Route: berth.RouteServing, Upstreams: addresses(t.main()), Arrives: true}
	switch {
	case t.surplus() == "":
		return Plan{Steps: []Step{here, {Kind: StepRecord, Status: berth.StatusRunning, Health: berth.HealthHealthy}}, Then: Done}
	case s.Applied == Shape(t.alone) && s.Deployment != nil && s.Arrived < s.Patience:
		return Plan{Steps: []Step{here, {Kind: StepRecord, Status: s.Tenant.Status, Health: berth.HealthStarting, Reason: t.surplus()}}, Then: Retry}
	case s.Applied == Shape(t.alone):
		return Plan{Steps: []Step{here, {Kind: StepRecord, Status: berth.StatusRunning, Health: berth.HealthHealthy, Reason: t.surplus()}}, Then: Retry}
	case t.hidden && !s.Named && s.Applied != Shape(t.named):
		return Plan{Steps: []Step{{Kind: StepApply, Stack: t.named}}}
	case !s.Drained:
		return Plan{Steps: []Step{here, {Kind: StepDrain}}}
	default:
		return Plan{Steps: []Step{{Kind: StepApply, Stack: t.alone}}}
	}
}

// unwell is what follows a probe that failed.
func unwell(s Situation, t transition) Plan {
	if s.overdue() {
		return goBack("not healthy in time: " + t.howEnded(s) + s.Probe.Cause)
	}
	if s.Deployment != nil && t.beside {
		return Plan{Then: Wait, After: ProbePause} // the one before it serves, and is well
	}
	record := Step{Kind: StepRecord, Status: berth.StatusRunning, Health: berth.HealthStarting, Reason: s.Probe.Cause}
	if s.Deployment != nil {
		return Plan{Steps: []Step{record}, Then: Wait, After: ProbePause}
	}
	record.Health = berth.HealthUnhealthy
	s.Holding = false
	return Plan{Steps: []Step{t.route(s), record}, Then: Wait, After: sickPause}
}

// converged reports whether a tenant was as it should be, so that a difference
// is drift and not unfinished work.
func converged(t berth.Tenant) bool {
	return (t.Status == berth.StatusRunning || t.Status == berth.StatusStopped) && t.Cause == ""
}

// instanceDifference says how one instance differs from what is wanted, "" if it
// does not. An engine that did not look at limits is believed.
func instanceDifference(want berth.InstanceSpec, c berth.Instance, ok, run bool) string {
	running := c.State == berth.InstanceRunning
	switch {
	case !ok:
		return "is missing"
	case c.Hash != want.Hash:
		return "was made from another spec"
	case c.Image != "" && c.Image != want.Service.Image:
		return "runs the image " + c.Image + ", not " + want.Service.Image
	case run && c.State == berth.InstancePaused:
		return "is paused"
	case run && c.State == berth.InstanceUnknown:
		return "is in a state that Berth does not know"
	case run && want.Service.Once && completed(c):
		return ""
	case run && !running && c.OOMKilled:
		return fmt.Sprintf("was killed for using more than its %d MB of memory", want.Service.Limits.MemoryMB)
	case run && !running && c.State == berth.InstanceCreated:
		return "is not started"
	case run && !running:
		return fmt.Sprintf("is not running (exit code %d)", c.ExitCode)
	case run && len(c.Differs) > 0:
		return strings.Join(c.Differs, ", ")
	case run && !c.Address.IsValid() && want.Service.Main:
		return "has no address"
	case !run && (running || c.State == berth.InstanceRestarting):
		return "is running"
	case c.MemoryMB != 0 && c.MemoryMB != want.Service.Limits.MemoryMB:
		return fmt.Sprintf("has a memory limit of %d MB, not %d", c.MemoryMB, want.Service.Limits.MemoryMB)
	case c.CPU != 0 && math.Abs(c.CPU-want.Service.Limits.CPU) > 0.005:
		return fmt.Sprintf("has a CPU limit of %.2f, not %.2f", c.CPU, want.Service.Limits.CPU)
	default:
		return ""
	}
}

// Asked returns the instances to probe: those that are wanted, take requests
// and run.
func Asked(s Situation) []berth.Instance {
	stack, _ := deferWaiting(s.Stack, s.Seen)
	return newTransition(stack, s).main()
}

// Lacks reports whether anything that should be is not there, or not as it should be;
// what is there besides does not count. A stack that was not built yet lacks all.
func Lacks(s Situation) bool {
	stack, _ := deferWaiting(s.Stack, s.Seen)
	return s.Stack.Services == nil || newTransition(stack, s).missing() != ""
}
