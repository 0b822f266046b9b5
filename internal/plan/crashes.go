package plan

import (
	"fmt"
	"slices"

	"github.com/unite-hub/berth"
)

// MaxCrashes is how often a container may crash before it is given up, as in
// Cloud Foundry's Diego.
const MaxCrashes = 8

// GivenUp begins the cause of a tenant with a container that was given up. A
// Berth that begins anew knows it by that.
const GivenUp = "given up: "

// Life is how a container that is wanted has fared.
type Life struct {
	Crashes int
	Exit    int    // code with which it last ended badly; 0 if that was not seen
	Dead    string // why it is to be restarted now; "" if it is not
}

// crashed returns the wanted containers that crashed too often.
func (t transition) crashed(s Situation) (list []berth.Instance) {
	for _, want := range t.stack.Instances() {
		if c, ok := t.kept[want.Name]; ok && s.Lives[c.ID].Crashes >= MaxCrashes {
			list = append(list, c)
		}
	}
	return list
}

// ended tells that a container which the engine started again ended badly
// before: that says more than the probe of a run that has only begun.
func (t transition) ended(s Situation) string {
	for _, c := range t.main() {
		if code := s.Lives[c.ID].Exit; code != 0 {
			return fmt.Sprintf("it ended with exit code %d before; ", code)
		}
	}
	return ""
}

// lifeless returns a container that is to be restarted now.
func (t transition) lifeless(s Situation) (c berth.Instance, cause string) {
	for _, c := range t.main() {
		if why := s.Lives[c.ID].Dead; why != "" {
			return c, why
		}
	}
	return berth.Instance{}, ""
}

// surrender gives services up whose containers crashed too often: those stay
// down until somebody orders otherwise. The tenant's others are tended as ever.
func surrender(s Situation, stack berth.Stack, t transition, crashed []berth.Instance) Plan {
	c := crashed[0]
	reason := fmt.Sprintf("service %s crashed %d times in a row; read its logs, then start or deploy again", c.Service, s.Lives[c.ID].Crashes)
	if s.Deployment != nil {
		return Plan{Steps: []Step{{Kind: StepFail, Reason: reason}}, Then: Wait}
	}
	for _, c := range crashed {
		if IsUp(c) {
			s.Holding = false
			return Plan{Steps: []Step{t.route(s), {Kind: StepStop, Container: c.ID}}}
		}
	}
	stack.Services = slices.Clone(stack.Services)
	mainLeft := true
	for i := range stack.Services {
		svc := &stack.Services[i]
		if slices.ContainsFunc(crashed, func(c berth.Instance) bool { return c.Service == svc.Name }) {
			svc.Held = true
			mainLeft = mainLeft && !svc.Main
		}
	}
	rest := newTransition(stack, s)
	given := Step{Kind: StepRecord, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: GivenUp + reason, Event: berth.EventGaveUp}
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
