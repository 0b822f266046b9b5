package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// Outlook is what a forecast says of steps beside what the situation tells: how
// long each may take, and what the engine does not have.
type Outlook struct {
	Look      time.Duration // to see that an image is there
	Pull      time.Duration // to get one
	Call      time.Duration // of one operation of the engine, without what stopping takes
	HoldDrain time.Duration // to wait for requests before what serves them is stopped
	Missing   []string      // references of images that have to be pulled
	NoImage   string        // why an image can't be had; "" if all can
}

// mostRounds bounds how often a forecast decides: no way is that long.
const mostRounds = 100

// What a forecast tells beside the steps that a deployment's history names.
const (
	ForecastWait    = "wait"            // for a service that others depend on
	ForecastObserve = "observe"         // see that what is new stays well
	ForecastRefuse  = "refuse requests" // the edge answers them with 503
)

// Forecast follows the plan from a situation to its end, each step with its
// effect, as if every step succeeded.
func Forecast(s Situation, o Outlook) berth.Forecast {
	w := walk{Outlook: o, s: s, route: routeBefore(s)}
	w.f.ServedBefore = w.serves()
	for range mostRounds {
		p := Decide(w.s)
		for _, step := range p.Steps {
			if w.take(step); w.f.Failure != "" {
				return w.end()
			}
		}
		switch {
		case w.s.Deployment == nil:
			return w.end()
		case p.Then == Again:
		case p.Then == Wait:
			w.wait(p)
		default:
			w.f.Failure = "no way to the end of it can be seen from here"
			return w.end()
		}
	}
	w.f.Failure = "its way does not end"
	return w.end()
}

// walk is a forecast under way.
type walk struct {
	Outlook
	s     Situation
	route Step // that is in force
	f     berth.Forecast

	fixed, held     time.Duration // what is bounded by itself; the same while requests wait
	waits, heldWait bool          // something waits until the new version is well, which patience bounds once for all
}

// routeBefore is the route that is in force before the first step, as far as the
// situation shows it.
func routeBefore(s Situation) Step {
	var up []netip.AddrPort
	for _, c := range s.Seen.Instances {
		if c.State == berth.InstanceRunning && c.Address.IsValid() && s.Proven[c.ID] {
			up = append(up, c.Address)
		}
	}
	switch {
	case s.Holding:
		return Step{Route: berth.RouteHolding}
	case len(up) == 0:
		return Step{Route: berth.RouteStarting}
	}
	return Step{Route: berth.RouteServing, Upstreams: up}
}

// serves reports whether requests are answered now.
func (w *walk) serves() bool {
	return w.route.Route == berth.RouteServing && slices.ContainsFunc(w.s.Seen.Instances, func(c berth.Instance) bool {
		return c.State == berth.InstanceRunning && slices.Contains(w.route.Upstreams, c.Address)
	})
}

func (w *walk) end() berth.Forecast {
	w.f.ServesAfter = w.serves()
	w.f.AtMost, w.f.HeldAtMost = w.fixed, w.held
	if w.waits {
		w.f.AtMost += w.s.Patience
	}
	if w.heldWait {
		w.f.HeldAtMost += w.s.Patience
	}
	return w.f
}

// take tells a step, and takes its effect.
func (w *walk) take(step Step) {
	before := w.s
	w.s = Effect(w.s, step)
	switch step.Kind {
	case StepRoute:
		w.lead(step)
	case StepResolve:
		w.images(step)
		w.f.Failure = w.NoImage
	case StepDrain:
		most := w.s.TransitionDrain
		if w.s.Holding {
			most = w.HoldDrain
		}
		w.tell(berth.ForecastStep{Name: step.Name(), Text: "wait until requests that are under way are answered", AtMost: most})
	case StepAdopt:
		w.adopts(step, before.Seen)
	case StepHalt, StepApply:
		w.applied(step, before.Seen)
	case StepRelease:
		w.tell(berth.ForecastStep{Name: step.Name(), Text: "record that what runs once per release has run"})
	case StepProbe:
		w.tell(berth.ForecastStep{Name: step.Name(), Text: "ask what takes requests until it is well", AtMost: w.s.Patience})
	case StepRestart, StepStop:
		w.tell(berth.ForecastStep{Name: string(step.Kind), Text: string(step.Kind) + " one container: " + step.Reason, Stops: true, AtMost: w.Call})
	case StepRemove:
		w.route = Step{}
		w.removed(step, before)
	case StepFail:
		w.f.Failure = step.Reason
	}
	if w.f.ServedBefore && !w.serves() {
		w.f.Downtime = true
	}
}

// wait is told where it is not for what the step before it waits for already.
func (w *walk) wait(p Plan) {
	i := slices.IndexFunc(p.Steps, func(step Step) bool { return step.Kind == StepRecord && step.Reason != observed })
	if i >= 0 {
		w.tell(berth.ForecastStep{Name: ForecastWait, Text: "wait: " + p.Steps[i].Reason, AtMost: w.s.Patience})
	} else {
		w.tell(berth.ForecastStep{Name: ForecastObserve, Text: "see that all that is new stays well", AtMost: w.s.Observe})
	}
	w.s = Later(w.s)
}

// tell adds a step. One that goes on with what was told is the same.
func (w *walk) tell(step berth.ForecastStep) {
	step.Holds = w.s.Holding
	same := func(o berth.ForecastStep) bool { return o.Name == step.Name && o.Text == step.Text }
	for i := len(w.f.Steps) - 1; i >= 0; i-- {
		if last := w.f.Steps[i]; same(last) {
			return
		} else if last.Name != ForecastWait && last.Name != ForecastObserve {
			break
		}
	}
	switch step.Name {
	case ForecastWait, Step{Kind: StepProbe}.Name():
		w.waits, w.heldWait = true, w.heldWait || step.Holds
	default:
		w.fixed += step.AtMost
		if step.Holds {
			w.held += step.AtMost
		}
	}
	w.f.Steps = append(w.f.Steps, step)
}

// lead tells where requests go from now on, if they went elsewhere before.
func (w *walk) lead(step Step) {
	was := w.route
	w.route = step
	if was.Route == step.Route && slices.Equal(sortedAddresses(was.Upstreams), sortedAddresses(step.Upstreams)) {
		return
	}
	switch step.Route {
	case berth.RouteServing:
		to := slices.DeleteFunc(slices.Clone(w.s.Seen.Instances), func(c berth.Instance) bool { return !slices.Contains(step.Upstreams, c.Address) })
		text := fmt.Sprintf("lead requests to %s", count(len(to)))
		if was.Route == berth.RouteHolding {
			text += ", those that wait first"
		}
		told := berth.ForecastStep{Name: step.Name(), Text: text}
		for _, c := range to {
			told.Service, told.Replicas = c.Service, append(told.Replicas, c.Replica)
		}
		if told.Service != "" {
			told.Text = strings.Replace(text, "to "+count(len(to)), "to "+count(len(to))+" of "+told.Service, 1)
		}
		w.tell(told)
	case berth.RouteHolding:
		w.tell(berth.ForecastStep{Name: step.Name(), Text: "keep requests waiting from now on"})
	case berth.RouteStopped:
		w.tell(berth.ForecastStep{Name: ForecastRefuse, Text: "answer requests with 503 from now on"})
	}
}

func sortedAddresses(list []netip.AddrPort) []netip.AddrPort {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}

// images tells where each image comes from.
func (w *walk) images(step Step) {
	if w.NoImage != "" {
		w.tell(berth.ForecastStep{Name: step.Name(), Text: "look for the images, of which one can't be had", AtMost: w.Look})
		return
	}
	var references []string
	for _, svc := range w.s.Stack.Services {
		if !slices.Contains(references, svc.Reference) {
			references = append(references, svc.Reference)
		}
	}
	for _, reference := range references {
		told := berth.ForecastStep{Name: step.Name(), Text: "image " + reference + " is there", AtMost: w.Look}
		if slices.Contains(w.Missing, reference) {
			told.Text, told.AtMost = "pull image "+reference, w.Pull
		}
		w.tell(told)
	}
}

// adopts tells what of compose's goes. What that answers does not come through the
// edge, and nothing answers it until ours runs.
func (w *walk) adopts(step Step, seen berth.Observed) {
	var names []string
	for _, x := range seen.Foreign {
		if x.Kind == "container" {
			names = append(names, x.Name)
		}
	}
	told := berth.ForecastStep{Name: step.Name(), Text: "there is nothing that compose made", AtMost: w.Call}
	if len(names) > 0 {
		told.Text, told.Stops, w.f.Downtime = "stop and remove what compose made: "+strings.Join(names, ", "), true, true
	}
	w.tell(told)
}

// removed tells what a deprovisioning takes away.
func (w *walk) removed(step Step, before Situation) {
	w.tell(berth.ForecastStep{Name: ForecastRefuse, Text: "close the tenant's port"})
	for _, group := range groups(before.Seen.Instances, func(berth.Instance) bool { return true }) {
		w.tell(group.told(step.Name(), "remove"))
	}
	text := "remove the tenant's network"
	if before.Deployment != nil && before.Deployment.Volumes == berth.VolumesDelete {
		for _, v := range before.Seen.Volumes {
			text += "; DELETE volume " + v
		}
	} else if len(before.Seen.Volumes) > 0 {
		text += "; keep " + strings.Join(before.Seen.Volumes, ", ")
	}
	w.tell(berth.ForecastStep{Name: step.Name(), Text: text, AtMost: w.Call})
}
