package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
)

// move is a stack beside what is there: which containers it keeps, which are
// of an earlier generation, and how the way from one to the other goes.
type move struct {
	stack berth.Stack // as it is applied now: gated, and beside what runs
	named berth.Stack // the same, with what was made found by its name
	alone berth.Stack // without what came before

	seen  berth.Observed
	kept  map[string]berth.Container // by the name that it has in the end
	extra []berth.Container

	moves     bool // something is made beside what runs
	unnamed   bool // and is not found by its name at first
	stopFirst bool // something that runs has to stop before its successor starts
}

// newMove looks at what a gated stack keeps and replaces. A service that runs
// and was changed is made beside; one that holds a volume which two generations
// must not share, or that finds no room in the tenant's network, is stopped
// first.
func newMove(gated berth.Stack, s Situation) move {
	m := move{stack: gated, alone: gated, seen: s.Seen}
	m.kept, m.extra = gated.Pair(s.Seen.Containers)
	if !gated.Run {
		m.named = gated
		return m
	}
	m.stack.Ends = m.inTheWay()
	m.stopFirst = len(m.stack.Ends) > 0
	free := room(gated, s.Seen) - m.missingContainers()
	m.stack.Services = slices.Clone(gated.Services)
	for i := range m.stack.Services {
		svc := &m.stack.Services[i]
		if svc.Held || svc.Done || svc.Once || !m.replaces(*svc) || slices.Contains(m.stack.Ends, svc.Name) {
			continue
		}
		wanting, staged := m.wanting(svc.Name)
		if wanting > 0 && (exclusive(gated, *svc) || free < 0) {
			m.stopFirst = true
			continue
		}
		svc.Beside = true
		if wanting > 0 || staged {
			m.moves = true
			svc.Unnamed = len(gated.Services) > 1
			m.unnamed = m.unnamed || svc.Unnamed
		}
	}
	m.named = m.stack
	m.named.Services = slices.Clone(m.stack.Services)
	for i := range m.named.Services {
		m.named.Services[i].Unnamed = false
	}
	return m
}

// inTheWay names the services of which something runs that is not wanted and
// writes to a volume which a container that is to be made needs for itself: a
// volume may change its service from one version to the next.
func (m move) inTheWay() (services []string) {
	needed := map[string]bool{}
	for _, want := range m.stack.Containers() {
		if _, there := m.kept[want.Name]; there {
			continue
		}
		for _, mount := range want.Service.Mounts {
			shared := slices.ContainsFunc(m.stack.Volumes, func(v berth.Volume) bool { return v.Name == mount.Volume && v.Shared })
			needed[mount.Volume] = needed[mount.Volume] || !mount.ReadOnly && !shared
		}
	}
	for _, c := range m.extra {
		if isUp(c) && !slices.Contains(services, c.Service) && slices.ContainsFunc(c.Writes, func(v string) bool { return needed[v] }) {
			services = append(services, c.Service)
		}
	}
	slices.Sort(services)
	return services
}

// missingContainers is how many are wanted and not there.
func (m move) missingContainers() (n int) {
	for _, want := range m.stack.Containers() {
		if _, there := m.kept[want.Name]; !there {
			n++
		}
	}
	return n
}

// room is how many more containers the tenant's network has addresses for.
func room(stack berth.Stack, seen berth.Observed) int {
	bits := stack.Subnet.Bits()
	if !stack.Subnet.IsValid() || bits < 16 {
		return 1 << 16
	}
	const taken = 3 // network, gateway, broadcast
	return 1<<(32-bits) - taken - len(seen.Containers)
}

// exclusive reports whether a service writes to a volume that is not marked
// shared.
func exclusive(stack berth.Stack, svc berth.Service) bool {
	return slices.ContainsFunc(svc.Mounts, func(m berth.Mount) bool {
		return !m.ReadOnly && !slices.ContainsFunc(stack.Volumes, func(v berth.Volume) bool { return v.Name == m.Volume && v.Shared })
	})
}

// replaces reports whether a container of the service runs that is not wanted,
// or one that takes the requests which the service is to take now.
func (m move) replaces(svc berth.Service) bool {
	return slices.ContainsFunc(m.extra, func(c berth.Container) bool {
		return isUp(c) && (c.Service == svc.Name || svc.Main && c.Address.IsValid())
	})
}

// wanting is how many containers of a service are not there, and whether some
// were made beside others and have no name of their own yet.
func (m move) wanting(service string) (n int, staged bool) {
	for _, want := range of(m.stack, service) {
		c, ok := m.kept[want.Name]
		if !ok {
			n++
		}
		staged = staged || ok && c.Name != want.Name
	}
	return n, staged
}

// missing says what of the stack is not there as it should be, "" if all is.
func (m move) missing() string {
	if !m.seen.Network {
		return "network " + m.stack.Network + " is missing"
	}
	for _, want := range m.stack.Containers() {
		c, ok := m.kept[want.Name]
		if reason := containerDifference(want, c, ok, m.stack.Run); reason != "" {
			if !ok && slices.ContainsFunc(m.extra, func(c berth.Container) bool { return c.Service == want.Service.Name && c.Replica == want.Replica }) {
				reason = "was made from another spec"
			}
			return "container " + want.Name + " " + reason
		}
	}
	return ""
}

// surplus says what is there that should not be in the end, "" if nothing is.
func (m move) surplus() string {
	for _, c := range m.extra {
		if !m.alone.Leaves(c.Service) {
			return "container " + c.Name + " is not wanted any more"
		}
	}
	for _, want := range m.alone.Containers() {
		if c, ok := m.kept[want.Name]; ok && c.Name != want.Name {
			return "container " + c.Name + " is to be called " + want.Name
		}
	}
	return ""
}

// main returns the wanted containers that take requests and run.
func (m move) main() (list []berth.Container) {
	for _, want := range m.alone.Containers() {
		if c := m.kept[want.Name]; want.Service.Main && c.State == berth.ContainerRunning && c.Address.IsValid() {
			list = append(list, c)
		}
	}
	return list
}

// former returns the containers of an earlier generation that take requests.
func (m move) former() (list []berth.Container) {
	for _, c := range m.extra {
		if c.State == berth.ContainerRunning && c.Address.IsValid() {
			list = append(list, c)
		}
	}
	return list
}

// mainRuns reports whether anything that takes requests runs, whatever it was
// made from.
func (m move) mainRuns() bool { return len(m.main())+len(m.former()) > 0 }

// proven reports whether every wanted container that takes requests was found
// well since it started.
func (m move) proven(known map[string]bool) bool {
	wanted := 0
	for _, want := range m.alone.Containers() {
		if !want.Service.Main {
			continue
		}
		wanted++
		if !known[m.kept[want.Name].ID] {
			return false
		}
	}
	return wanted > 0
}

// route leads to what was found well: to the generation that is wanted once all
// of it was, to the one before until then. What is not ready now is left out.
// Requests that wait go on waiting until a deployment arrives.
func (m move) route(s Situation) Step {
	if s.Holding && (s.Deployment != nil || m.unwellInside(s) != "") {
		return Step{Kind: StepRoute, Route: berth.RouteHolding}
	}
	well := func(list []berth.Container) []berth.Container {
		return slices.DeleteFunc(list, func(c berth.Container) bool { return !s.Proven[c.ID] })
	}
	up := well(m.main())
	if former := well(m.former()); !m.proven(s.Proven) && len(former) > 0 {
		up = former
	}
	if len(up) == 0 {
		if s.Holding {
			return Step{Kind: StepRoute, Route: berth.RouteHolding}
		}
		return Step{Kind: StepRoute, Route: berth.RouteStarting}
	}
	up = slices.DeleteFunc(up, func(c berth.Container) bool { return s.Unready[c.ID] != "" })
	if len(up) == 0 {
		return Step{Kind: StepRoute, Route: berth.RouteUnready}
	}
	return Step{Kind: StepRoute, Route: berth.RouteServing, Upstreams: addresses(up)}
}

// unready reports whether a container that takes requests is known not to be
// well now.
func (m move) unready(s Situation) bool {
	return slices.ContainsFunc(m.main(), func(c berth.Container) bool { return s.Unready[c.ID] != "" })
}

// health sums up how the containers that take requests do.
func (m move) health(s Situation) (berth.Health, string) {
	var causes []string
	main := m.main()
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

// unwellInside says which container that is new is not well by its own health
// check, "" if none is. Those that take requests are probed instead.
func (m move) unwellInside(s Situation) string {
	for _, want := range m.stack.Containers() {
		c := m.kept[want.Name]
		if (want.Service.Beside || s.Holding) && !want.Service.Main && c.Health != berth.ContainerUnchecked && c.Health != berth.ContainerHealthy {
			return "service " + want.Service.Name + " is not healthy"
		}
	}
	return ""
}

func addresses(list []berth.Container) []netip.AddrPort {
	up := make([]netip.AddrPort, 0, len(list))
	for _, c := range list {
		up = append(up, c.Address)
	}
	return up
}

func isUp(c berth.Container) bool {
	return c.State == berth.ContainerRunning || c.State == berth.ContainerRestarting
}

// shape tells stacks apart that are applied one after the other in one move.
func shape(stack berth.Stack) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%t", stack.Run)
	if len(stack.Ends) > 0 {
		fmt.Fprintf(&b, " without %v", stack.Ends)
	}
	for _, svc := range stack.Services {
		fmt.Fprintf(&b, " %s %t %t %t %t", svc.Name, svc.Held, svc.Done, svc.Beside, svc.Unnamed)
	}
	return b.String()
}
