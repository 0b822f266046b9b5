package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// MaxCrashes is how often an instance may crash before it is given up, as in
// Cloud Foundry's Diego.
const MaxCrashes = 8

// GivenUp begins the cause of a tenant with an instance that was given up. A
// Berth that begins anew knows it by that.
const GivenUp = "given up: "

// InstanceHistory is what is known of an instance's runs so far.
type InstanceHistory struct {
	Crashes int           // in a row: a good time in between starts the count again
	Last    *End          // how it last crashed; nil if that was not seen
	Up      time.Duration // since its last start; 0 while it does not run
	Untold  int           // crashes of which no event was recorded yet
	TellIn  time.Duration // until the event may be recorded; 0 for now
	Dead    string        // why it is to be restarted now; "" if it is not
}

// End is how a run of an instance ended.
type End struct {
	ExitCode int
	OOM      bool
	Lines    []string // that it wrote last, made fit to be shown
}

// How tells how a run ended, in words.
func (e *End) How() string {
	if e == nil {
		return "ended, and was started again before its exit code could be seen"
	}
	how := fmt.Sprintf("ended with exit code %d", e.ExitCode)
	if e.OOM {
		how = fmt.Sprintf("was killed for using more than its limit of memory (exit code %d)", e.ExitCode)
	}
	if len(e.Lines) > 0 {
		how += "; its last lines: " + strings.Join(e.Lines, " | ")
	}
	return how
}

// tellCrashes puts a StepCrash before everything else in a plan, for each instance
// with crashes of which no event was recorded yet: the engine may have started it
// again already, so that nothing else shows that it crashed. Events of one service
// have a pause between them (TellIn), except in the plan that gives the service up,
// for no later one would tell.
func tellCrashes(s Situation, p Plan) Plan {
	var told []Step
	last := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Event == berth.EventGaveUp })
	for _, c := range s.Seen.Instances {
		h := s.Histories[c.ID]
		switch {
		case h.Untold == 0 || !s.Stack.Run || endsByItself(s.Stack, c.Service):
		case h.TellIn > 0 && !last:
			if p.Then == Done {
				p.Then, p.After = Wait, h.TellIn
			} else if p.Then == Wait && p.After > 0 {
				p.After = min(p.After, h.TellIn)
			}
		default:
			times := ""
			if h.Untold > 1 {
				times = fmt.Sprintf("crashed %d times, and last ", h.Untold)
			}
			told = append(told, Step{Kind: StepCrash, Instance: c.ID, Reason: "service " + c.Service + " " + times + h.Last.How()})
		}
	}
	if len(told) > 0 {
		p.Steps = append(told, p.Steps...)
	}
	return p
}

// crashed returns the wanted instances that crashed too often.
func (t transition) crashed(s Situation) (list []berth.Instance) {
	for _, want := range t.stack.Instances() {
		if c, ok := t.kept[want.Slot]; ok && !want.Service.Once && s.Histories[c.ID].Crashes >= MaxCrashes {
			list = append(list, c)
		}
	}
	return list
}

func crashesInARow(s Situation, c berth.Instance) string {
	return fmt.Sprintf("service %s crashed %d times in a row, and last %s; read its logs, then start or deploy again", c.Service, s.Histories[c.ID].Crashes, s.Histories[c.ID].Last.How())
}

// endsByItself reports whether a service runs once per release: that it ends is
// no crash, and how it ended has rules of its own.
func endsByItself(stack berth.Stack, service string) bool {
	return slices.ContainsFunc(stack.Services, func(svc berth.Service) bool { return svc.Name == service && svc.Once })
}

// StartedFor reports whether an instance was made or started for the deployment
// under way.
func StartedFor(s Situation, c berth.Instance) bool {
	d := s.Deployment
	return d != nil && (d.Type == berth.DeployRestart || d.Type == berth.DeployProvision || c.Generation >= s.Tenant.Generation)
}

// unobserved is how much longer a new version has to be well before it is
// believed, 0 if it was for long enough. Beside the version before it, all of
// it is observed. Otherwise only what has no health check is: to be up for all
// that time is the only sign that it is well.
func (t transition) unobserved(s Situation) (left time.Duration) {
	if s.Deployment == nil || s.Deployment.Type == berth.DeployRestart {
		return 0
	}
	if t.beside {
		left = s.Observe - s.Well
	}
	for _, want := range t.alone.Instances() {
		c, ok := t.kept[want.Slot]
		if !ok || want.Service.Once || !StartedFor(s, c) {
			continue
		}
		if t.beside || !want.Service.Main && c.Health == berth.InstanceUnchecked {
			left = max(left, s.Observe-s.Histories[c.ID].Up)
		}
	}
	return max(left, 0)
}

// crashing reports whether the first thing that is missing is an instance that
// crashed, which is told as such and is no drift.
func (t transition) crashing(s Situation) bool {
	if !t.seen.Network {
		return false
	}
	for _, want := range t.stack.Instances() {
		c, ok := t.kept[want.Slot]
		if instanceDifference(want, c, ok, t.stack.Run) == "" {
			continue
		}
		return ok && (c.State == berth.InstanceRestarting || c.State == berth.InstanceExited && c.Unattended && s.Histories[c.ID].Crashes > 0)
	}
	return false
}

// howEnded tells how instances that are wanted crashed, "" if none did: that
// says more than a probe of a run that has only begun, or an error of the
// engine.
func (t transition) howEnded(s Situation) string {
	for _, want := range t.alone.Instances() {
		if c, ok := t.kept[want.Slot]; ok && !want.Service.Once && s.Histories[c.ID].Crashes > 0 {
			return "service " + c.Service + " " + s.Histories[c.ID].Last.How() + "; "
		}
	}
	return ""
}

// unresponsive returns an instance that is to be restarted now.
func (t transition) unresponsive(s Situation) (c berth.Instance, cause string) {
	for _, c := range t.main() {
		if why := s.Histories[c.ID].Dead; why != "" {
			return c, why
		}
	}
	return berth.Instance{}, ""
}

// giveUp gives up the services whose instances crashed MaxCrashes times: these
// stay down until an order says otherwise. The tenant's other services are kept
// running as usual. During a deployment, the deployment goes back instead.
func giveUp(s Situation, stack berth.Stack, t transition, crashed []berth.Instance) Plan {
	c := crashed[0]
	reason := crashesInARow(s, c)
	for _, c := range crashed {
		if IsUp(c) {
			s.Holding = false
			return Plan{Steps: []Step{t.route(s), {Kind: StepStop, Instance: c.ID}}}
		}
	}
	stack.Services = slices.Clone(stack.Services)
	mainLeft := true
	for i := range stack.Services {
		svc := &stack.Services[i]
		if slices.ContainsFunc(crashed, func(c berth.Instance) bool { return c.Service == svc.Name }) {
			svc.Deferred = true
			mainLeft = mainLeft && !svc.Main
		}
	}
	rest := newTransition(stack, s)
	given := Step{Kind: StepRecord, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: GivenUp + reason, Event: berth.EventGaveUp}
	if strings.HasPrefix(s.Tenant.Cause, GivenUp+"service "+c.Service+" ") {
		given.Reason = s.Tenant.Cause // told before, maybe by a Berth that knew more
	}
	if rest.missing() == "" && !mainLeft {
		s.Holding = false
		return Plan{Steps: []Step{t.route(s), given}, Then: Wait, After: Hopeless}
	}
	p := tend(s, rest, "")
	for i := range p.Steps {
		if p.Steps[i].Kind == StepRecord {
			p.Steps[i] = given
		}
	}
	if p.Then == Done {
		p.Then, p.After = Wait, Hopeless
	}
	return p
}
