package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
)

// transition is a stack beside what is there: which instances it keeps, which are
// of an earlier generation, and how the way from one to the other goes.
type transition struct {
	stack berth.Stack // as it is applied now: with what waits deferred, and beside what runs
	named berth.Stack // the same, with what was made found by its name
	alone berth.Stack // without what came before

	seen  berth.Observed
	kept  map[berth.Slot]berth.Instance
	extra []berth.Instance

	gapless   []string // services whose next version is made beside the one before
	beside    bool     // something is made beside what runs
	hidden    bool     // and is not found by its service's name at first
	stopFirst bool     // something that runs has to stop before its successor starts
}

// newTransition looks at what a stack keeps and replaces. A service that runs
// and was changed is made beside; one that holds a volume which two generations
// must not share, or that finds no room in the tenant's network, is stopped
// first.
func newTransition(stack berth.Stack, s Situation) transition {
	t := transition{stack: stack, alone: stack, seen: s.Seen}
	t.kept, t.extra = stack.Pair(s.Seen.Instances)
	t.alone.Others = others(stack, t.extra, nil, nil)
	if !stack.Run {
		t.stack, t.named = t.alone, t.alone
		return t
	}
	ends := t.inTheWay()
	t.stopFirst = len(ends) > 0
	free := freeAddresses(stack, s.Seen) - t.missingInstances()
	t.stack.Services = slices.Clone(stack.Services)
	for i := range t.stack.Services {
		svc := &t.stack.Services[i]
		if svc.Deferred || svc.Done || svc.Once || !t.replaces(*svc) || slices.Contains(ends, svc.Name) {
			continue
		}
		wanting, staged := t.wanting(svc.Name)
		if wanting > 0 && (exclusive(stack, *svc) || t.keepsData(svc.Name) || free < 0) {
			t.stopFirst = true
			continue
		}
		t.gapless = append(t.gapless, svc.Name)
		if wanting > 0 || staged {
			t.beside = true
			if len(stack.Services) > 1 {
				svc.NameLeadsTo, t.hidden = t.formerVersion(svc.Name), true
			}
		}
	}
	t.stack.Others = others(stack, t.extra, t.gapless, ends)
	t.named = t.stack
	t.named.Services = slices.Clone(t.stack.Services)
	for i := range t.named.Services {
		t.named.Services[i].NameLeadsTo = ""
	}
	return t
}

// formerVersion is the version by which a service that is made anew is found
// until it is well.
func (t transition) formerVersion(service string) string {
	for _, c := range t.extra {
		if c.Service == service && IsUp(c) {
			return c.Hash
		}
	}
	return berth.NoVersion
}

// others are the versions that may stand beside what a stack calls for: those of
// services that are deferred or done, or whose next version is made beside them, and
// while anything waits those of services that the stack does not name any more.
// What is in the way of something else goes at once.
func others(stack berth.Stack, extra []berth.Instance, gapless, ends []string) (list []berth.Version) {
	waits := len(gapless) > 0
	named := map[string]bool{}
	stays := map[string]bool{}
	for _, svc := range stack.Services {
		named[svc.Name] = true
		stays[svc.Name] = svc.Deferred || svc.Done || slices.Contains(gapless, svc.Name)
		waits = waits || svc.Deferred
	}
	for _, c := range extra {
		if slices.Contains(ends, c.Service) || !stays[c.Service] && (named[c.Service] || !waits) {
			continue
		}
		i := slices.IndexFunc(list, func(v berth.Version) bool { return v.Service == c.Service && v.Hash == c.Hash })
		if i < 0 {
			i, list = len(list), append(list, berth.Version{Service: c.Service, Hash: c.Hash})
		}
		list[i].Instances = max(list[i].Instances, c.Replica)
	}
	slices.SortFunc(list, func(a, b berth.Version) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Hash, b.Hash))
	})
	return list
}

// KeepOthers is a stack with what may stand beside it now, for one that is applied
// as it is.
func KeepOthers(stack berth.Stack, seen berth.Observed) berth.Stack {
	_, extra := stack.Pair(seen.Instances)
	stack.Others = others(stack, extra, nil, nil)
	return stack
}

// inTheWay names the services of which something runs that is not wanted and
// writes to a volume which an instance that is to be made or started needs for
// itself: a volume may change its service from one version to the next, and
// several services may write to it.
func (t transition) inTheWay() (services []string) {
	needed := map[string]bool{}
	for _, want := range t.stack.Instances() {
		if c, there := t.kept[want.Slot]; there && (IsUp(c) || want.Service.Once) {
			continue
		}
		for _, mount := range want.Service.Mounts {
			shared := slices.ContainsFunc(t.stack.Volumes, func(v berth.Volume) bool { return v.Name == mount.Volume && v.Shared })
			needed[mount.Volume] = needed[mount.Volume] || !mount.ReadOnly && !shared
		}
	}
	for _, c := range t.extra {
		if IsUp(c) && !slices.Contains(services, c.Service) && slices.ContainsFunc(c.Writes, func(v string) bool { return needed[v] }) {
			services = append(services, c.Service)
		}
	}
	slices.Sort(services)
	return services
}

// missingContainers is how many are wanted and not there.
func (t transition) missingInstances() (n int) {
	for _, want := range t.stack.Instances() {
		if _, there := t.kept[want.Slot]; !there {
			n++
		}
	}
	return n
}

// freeAddresses is how many more instances the tenant's network has addresses for.
func freeAddresses(stack berth.Stack, seen berth.Observed) int {
	bits := stack.Subnet.Bits()
	if !stack.Subnet.IsValid() || bits < 16 {
		return 1 << 16
	}
	const taken = 3 // network, gateway, broadcast
	return 1<<(32-bits) - taken - len(seen.Instances)
}

// exclusive reports whether a service writes to a volume that is not marked
// shared.
func exclusive(stack berth.Stack, svc berth.Service) bool {
	return slices.ContainsFunc(svc.Mounts, func(mount berth.Mount) bool {
		return !mount.ReadOnly && !slices.ContainsFunc(stack.Volumes, func(v berth.Volume) bool { return v.Name == mount.Volume && v.Shared })
	})
}

// keepsData reports whether what runs of a service and is not wanted writes to a
// volume that its image declares: the next version gets the same one.
func (t transition) keepsData(service string) bool {
	return slices.ContainsFunc(t.extra, func(c berth.Instance) bool {
		return c.Service == service && IsUp(c) && slices.ContainsFunc(c.Writes, func(v string) bool {
			_, ofImage := berth.ImageVolumeTarget(v)
			return ofImage
		})
	})
}

// replaces reports whether an instance of the service runs that is not wanted,
// or one that takes the requests which the service is to take now.
func (t transition) replaces(svc berth.Service) bool {
	return slices.ContainsFunc(t.extra, func(c berth.Instance) bool {
		return IsUp(c) && (c.Service == svc.Name || svc.Main && c.Address.IsValid())
	})
}

// wanting is how many instances of a service are not there, and whether some
// were made beside others and have no name of their own yet.
func (t transition) wanting(service string) (n int, staged bool) {
	for _, want := range of(t.stack, service) {
		c, ok := t.kept[want.Slot]
		if !ok {
			n++
		}
		staged = staged || ok && c.Beside
	}
	return n, staged
}

// missing says what of the stack is not there as it should be, "" if all is.
func (t transition) missing() string {
	if !t.seen.Network {
		return "network " + t.stack.Network + " is missing"
	}
	for _, want := range t.stack.Instances() {
		c, ok := t.kept[want.Slot]
		if reason := instanceDifference(want, c, ok, t.stack.Run); reason != "" {
			if !ok && slices.ContainsFunc(t.extra, func(c berth.Instance) bool { return c.Service == want.Service.Name && c.Replica == want.Replica }) {
				reason = "was made from another spec"
			}
			return want.String() + " " + reason
		}
	}
	return ""
}

// surplus says what is there that should not be in the end, "" if nothing is.
func (t transition) surplus() string {
	for _, c := range t.extra {
		if !t.alone.MayStand(c) {
			return c.Slot().String() + " is not wanted any more"
		}
	}
	for _, want := range t.alone.Instances() {
		if c, ok := t.kept[want.Slot]; ok && c.Beside {
			return want.String() + " is to take the place of the version before"
		}
	}
	return ""
}

// main returns the wanted instances that take requests and run.
func (t transition) main() (list []berth.Instance) {
	for _, want := range t.alone.Instances() {
		if c := t.kept[want.Slot]; want.Service.Main && c.State == berth.InstanceRunning && c.Address.IsValid() {
			list = append(list, c)
		}
	}
	return list
}

// former returns the instances of an earlier generation that take requests.
func (t transition) former() (list []berth.Instance) {
	for _, c := range t.extra {
		if c.State == berth.InstanceRunning && c.Address.IsValid() {
			list = append(list, c)
		}
	}
	return list
}

// mainRuns reports whether anything that takes requests runs, whatever it was
// made from.
func (t transition) mainRuns() bool { return len(t.main())+len(t.former()) > 0 }

// proven reports whether every wanted instance that takes requests was found
// well since it started.
func (t transition) proven(known map[string]bool) bool {
	wanted := 0
	for _, want := range t.alone.Instances() {
		if !want.Service.Main {
			continue
		}
		wanted++
		if !known[t.kept[want.Slot].ID] {
			return false
		}
	}
	return wanted > 0
}

// route leads to what was found well: to the generation that is wanted once all
// of it was, to the one before until then. What is not ready now is left out.
// Requests that wait go on waiting until a deployment arrives.
func (t transition) route(s Situation) Step {
	if s.Holding && (s.Deployment != nil || t.unwellInside(s) != "") {
		return Step{Kind: StepRoute, Route: berth.RouteHolding}
	}
	well := func(list []berth.Instance) []berth.Instance {
		return slices.DeleteFunc(list, func(c berth.Instance) bool { return !s.Proven[c.ID] })
	}
	up := well(t.main())
	if former := well(t.former()); !t.proven(s.Proven) && len(former) > 0 {
		up = former
	}
	if len(up) == 0 {
		if s.Holding {
			return Step{Kind: StepRoute, Route: berth.RouteHolding}
		}
		return Step{Kind: StepRoute, Route: berth.RouteStarting}
	}
	up = slices.DeleteFunc(up, func(c berth.Instance) bool { return s.Unready[c.ID] != "" })
	if len(up) == 0 {
		return Step{Kind: StepRoute, Route: berth.RouteUnready}
	}
	return Step{Kind: StepRoute, Route: berth.RouteServing, Upstreams: addresses(up)}
}

// unready reports whether an instance that takes requests is known not to be
// well now.
func (t transition) unready(s Situation) bool {
	return slices.ContainsFunc(t.main(), func(c berth.Instance) bool { return s.Unready[c.ID] != "" })
}

// health sums up how the instances that take requests do.
func (t transition) health(s Situation) (berth.Health, string) {
	var causes []string
	main := t.main()
	for _, c := range main {
		if why := s.Unready[c.ID]; why != "" {
			causes = append(causes, why)
		}
	}
	switch {
	case len(causes) == 0:
		return berth.HealthHealthy, ""
	case len(main) == 1:
		return berth.HealthUnhealthy, causes[0]
	default:
		return berth.HealthUnhealthy, fmt.Sprintf("%d of %d replicas are not ready: %s", len(causes), len(main), causes[0])
	}
}

// unwellInside says which instance that is new is not well by its own health
// check, "" if none is. Those that take requests are probed instead.
func (t transition) unwellInside(s Situation) string {
	for _, want := range t.stack.Instances() {
		c := t.kept[want.Slot]
		if (slices.Contains(t.gapless, want.Name) || s.Holding) && !want.Service.Main && c.Health != berth.InstanceUnchecked && c.Health != berth.InstanceHealthy {
			return "service " + want.Service.Name + " is not healthy" + inBrackets(c.HealthCause)
		}
	}
	return ""
}

func addresses(list []berth.Instance) []netip.AddrPort {
	up := make([]netip.AddrPort, 0, len(list))
	for _, c := range list {
		up = append(up, c.Address)
	}
	return up
}

// IsUp reports whether an instance has processes, or will by itself.
func IsUp(c berth.Instance) bool {
	return c.State == berth.InstanceRunning || c.State == berth.InstanceRestarting || c.State == berth.InstancePaused
}

// Shape tells stacks apart that are applied one after the other in one transition.
func Shape(stack berth.Stack) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%t", stack.Run)
	for _, svc := range stack.Services {
		fmt.Fprintf(&b, " %s %t %t %s", svc.Name, svc.Deferred, svc.Done, svc.NameLeadsTo)
	}
	for _, v := range stack.Others {
		fmt.Fprintf(&b, " beside %s %s", v.Service, v.Hash)
	}
	return b.String()
}
