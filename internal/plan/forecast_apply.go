package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/unite-hub/berth"
)

// group is instances of one service that the same happens to.
type group struct {
	service  string
	replicas []int
	up       bool          // some of them run
	grace    time.Duration // that those may take to stop
}

// groups parts instances by service, in their order.
func groups(list []berth.Instance, which func(berth.Instance) bool) (all []group) {
	for _, c := range list {
		if !which(c) {
			continue
		}
		i := slices.IndexFunc(all, func(g group) bool { return g.service == c.Service })
		if i < 0 {
			i, all = len(all), append(all, group{service: c.Service})
		}
		all[i].replicas = append(all[i].replicas, c.Replica)
		if IsUp(c) {
			all[i].up, all[i].grace = true, all[i].grace+c.StopGrace
		}
	}
	return all
}

// told tells what happens to a group. What runs is stopped by it.
func (g group) told(name, verb string) berth.ForecastStep {
	if g.up {
		verb = "stop and " + verb
	}
	return berth.ForecastStep{
		Name: name, Text: verb + " " + count(len(g.replicas)) + " of " + g.service, Service: g.service, Replicas: g.replicas, Stops: g.up, AtMost: g.grace,
	}
}

func count(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// applied tells what an engine does to hold a stack: what it stops comes first.
// All of it has one deadline, which the last part is told with.
func (w *walk) applied(step Step, before berth.Observed) {
	after, name := w.s.Seen, step.Name()
	was, is := byID(before), byID(after)
	var told []berth.ForecastStep
	stopped := func(c berth.Instance) bool { return IsUp(c) && is[c.ID].ID != "" && !IsUp(is[c.ID]) }
	for _, g := range groups(before.Instances, func(c berth.Instance) bool { return is[c.ID].ID == "" }) {
		told = append(told, g.told(name, "remove"))
	}
	for _, g := range groups(before.Instances, stopped) {
		s := g.told(name, "")
		s.Text = "stop " + count(len(g.replicas)) + " of " + g.service
		told = append(told, s)
	}
	say := func(verb, more string, which func(c berth.Instance) bool) {
		for _, g := range groups(after.Instances, which) {
			told = append(told, berth.ForecastStep{Name: name, Service: g.service, Replicas: g.replicas, Text: verb + " " + count(len(g.replicas)) + " of " + g.service + more})
		}
	}
	made := func(c berth.Instance) bool { return was[c.ID].ID == "" }
	starts := func(c berth.Instance) bool { return IsUp(c) && !IsUp(was[c.ID]) }
	say("make and start", "", func(c berth.Instance) bool { return made(c) && starts(c) && !c.Beside })
	say("make and start", " beside the version that runs", func(c berth.Instance) bool { return made(c) && starts(c) && c.Beside })
	say("make", ", which is not started", func(c berth.Instance) bool { return made(c) && !IsUp(c) })
	say("start", "", func(c berth.Instance) bool { return !made(c) && starts(c) })
	say("let", " take the place of the version before", func(c berth.Instance) bool { return was[c.ID].Beside && !c.Beside })
	for _, svc := range step.Stack.Services {
		say("limit", fmt.Sprintf(" to %.2f CPU and %d MB each", svc.Limits.CPU, svc.Limits.MemoryMB), func(c berth.Instance) bool {
			old := was[c.ID]
			return c.Service == svc.Name && !made(c) && (old.CPU != c.CPU && old.CPU != 0 || old.MemoryMB != c.MemoryMB && old.MemoryMB != 0)
		})
	}
	say("mend", "", func(c berth.Instance) bool { return len(was[c.ID].Differs) > 0 && len(c.Differs) == 0 })
	if !before.Network {
		told = append([]berth.ForecastStep{{Name: name, Text: "make the tenant's network"}}, told...)
	}
	if len(told) == 0 {
		told = append(told, berth.ForecastStep{Name: name, Text: "let what is new be found by its service's name"})
	}
	told[len(told)-1].AtMost += w.Call
	for _, s := range told {
		w.tell(s)
	}
}

func byID(seen berth.Observed) map[string]berth.Instance {
	all := make(map[string]berth.Instance, len(seen.Instances))
	for _, c := range seen.Instances {
		all[c.ID] = c
	}
	return all
}
