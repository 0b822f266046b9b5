package blueprint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth"
)

// main finds the service that takes requests.
func (p *parser) main(names []string) string {
	services := p.root.get("services")
	if p.x.service != "" {
		if !slices.Contains(names, p.x.service) {
			p.guessed = true
			if p.gone("services." + p.x.service) {
				return names[0]
			}
			p.invalid(p.x.node.get("service"), "x-berth.service", "name one of "+strings.Join(names, ", "), "there is no service %s", berth.Quote(p.x.service))
			return names[0]
		}
		return p.x.service
	}
	open := names
	if len(names) > 1 {
		open = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return len(p.project.Services[name].Ports) == 0 })
	}
	if len(open) != 1 {
		p.guessed = true
		if !p.anyGone("ports") {
			p.invalid(services, "x-berth.service", "name it in x-berth.service", "it is not clear which service takes requests")
		}
		return names[0]
	}
	return open[0]
}

// port is where the main service listens.
func (p *parser) port(a *App) int {
	s := p.project.Services[a.Main]
	path := "services." + a.Main
	n := p.find(path)
	ports := map[int]bool{}
	items := p.portItems(n.get("ports"), path)
	for _, port := range s.Ports {
		at, known := items[portKey(port)]
		if !known {
			at = path + ".ports"
		}
		if p.gone(at) {
			p.noPort = true
			continue
		}
		switch {
		case port.Published != "":
			p.add(n.get("ports"), at, Forbidden, "two tenants can't both have port "+port.Published+" of the host", fmt.Sprintf("write \"${EXTERNAL_PORT}:%d\" or \"%d\": each tenant gets a port of its own", port.Target, port.Target))
		case port.HostIP != "" || port.Mode == "host" || port.Protocol != "" && port.Protocol != "tcp":
			p.add(n.get("ports"), at, NotSupported, "the edge publishes one port over TCP", fmt.Sprintf("write \"%d\"", port.Target))
		}
		if m := port.Mode; m != "" && m != "ingress" && m != "host" {
			p.addNew(n.get("ports"), at+".mode", NotSupported, berth.Quote(m)+" says nothing: the edge publishes the port", leaveOut)
		}
		ports[int(port.Target)] = true
	}
	for _, e := range s.Expose {
		number, err := strconv.Atoi(strings.TrimSuffix(e, "/tcp"))
		if err == nil && len(s.Ports) == 0 {
			ports[number] = true
		}
	}
	if p.x.port != 0 {
		for _, port := range slices.Sorted(maps.Keys(ports)) {
			if len(s.Ports) > 0 && port != p.x.port {
				p.invalid(n.get("ports"), path+".ports", "publish x-berth.port only", "port %d is not the one that takes requests", port)
			}
		}
		p.noPort = false
		return p.x.port
	}
	list := slices.Sorted(maps.Keys(ports))
	p.noPort = p.noPort || len(list) != 1
	if len(list) != 1 && (p.guessed || len(list) == 0 && p.anyGone("ports", "expose")) {
		return 1
	}
	if len(list) != 1 {
		p.invalid(n, "x-berth.port", "name it in x-berth.port", "it is not clear where service %s listens", a.Main)
		return 1
	}
	if list[0] < 1 || list[0] > 65535 {
		p.invalid(n, path, "give a port from 1 to 65535", "service %s can't listen at port %d", a.Main, list[0])
	}
	return list[0]
}

// portItems are the paths of the items that the ports of a list come from: compose-go
// makes several of a range, and one of several that say the same. A range is refused as
// what it is, once.
func (p *parser) portItems(list *node, path string) map[string]string {
	items := map[string]string{}
	if list == nil {
		return items
	}
	for i, item := range list.items {
		at := fmt.Sprintf("%s.ports[%d]", path, i)
		made, _ := types.ParsePortConfig(item.text())
		if target, err := strconv.ParseUint(item.get("target").text(), 10, 32); item.isMap && err == nil {
			made = []types.ServicePortConfig{{HostIP: item.get("host_ip").text(), Published: item.get("published").text(), Target: uint32(target), Protocol: item.get("protocol").text()}}
		}
		if len(made) > 1 {
			p.add(item, at, NotSupported, fmt.Sprintf("is a range of %d ports, and the edge publishes one", len(made)), "name the port that takes requests, such as \"3000\"")
			p.lose(at)
		}
		for _, port := range made {
			if _, there := items[portKey(port)]; !there {
				items[portKey(port)] = at
			}
		}
	}
	return items
}

// portKey is what compose-go tells ports apart by.
func portKey(port types.ServicePortConfig) string {
	return fmt.Sprint(port.HostIP, " ", port.Published, " ", port.Target, " ", cmp.Or(port.Protocol, "tcp"))
}

// once finds the services that run to their end once per release.
func (p *parser) once(names []string) map[string]bool {
	once := map[string]bool{}
	for _, name := range names {
		s := p.project.Services[name]
		if s.Restart == "no" {
			once[name] = true
		}
		for on, d := range s.DependsOn {
			if berth.Condition(d.Condition) == berth.ConditionCompleted {
				once[on] = true
			}
		}
	}
	return once
}

// sortByDependency adds the dependencies that are not written, checks them all,
// and sorts the services so that each comes after what it depends on.
func (p *parser) sortByDependency(a *App) {
	byName := map[string]*Service{}
	for i := range a.Services {
		byName[a.Services[i].Name] = &a.Services[i]
	}
	for _, s := range a.Services {
		p.checkDependencies(s, byName)
	}
	if byName[a.Main].Once && !p.guessed {
		p.invalid(p.find("services."+a.Main), "services."+a.Main, "let another service take requests", "a service that runs once can't take requests")
	}
	if len(a.Services) > maxServices { // the time that the rest takes grows with their third power
		return
	}
	needed := beforeOnce(a.Services, byName)
	for i := range a.Services {
		if s := &a.Services[i]; !s.Once && !needed[s.Name] {
			s.DependsOn = withOnce(*s, a.Services)
		}
	}
	a.Services = p.sort(a.Services)
}

func (p *parser) checkDependencies(s Service, all map[string]*Service) {
	for _, d := range s.DependsOn {
		path := "services." + s.Name + ".depends_on." + d.Service
		n := p.find("services." + s.Name).get("depends_on")
		on, ok := all[d.Service]
		switch {
		case p.gone("services." + d.Service):
		case !ok:
			p.invalid(n, path, "name a service of this file", "there is no service %s", berth.Quote(d.Service))
		case d.Condition == berth.ConditionHealthy && on.Probe == nil && p.gone("services."+d.Service+".healthcheck"):
		case d.Condition == berth.ConditionHealthy && on.Probe == nil:
			p.invalid(n, path, "give "+d.Service+" a healthcheck, or use service_started", "service %s has no healthcheck in this file", d.Service)
		case d.Condition != berth.ConditionCompleted && on.Once:
			p.invalid(n, path, "use service_completed_successfully", "service %s runs once: it is never simply there", d.Service)
		}
	}
}

// beforeOnce finds what the services that run once depend on themselves.
func beforeOnce(services []Service, all map[string]*Service) map[string]bool {
	needed := map[string]bool{}
	var mark func(s *Service)
	mark = func(s *Service) {
		for _, d := range s.DependsOn {
			if on := all[d.Service]; on != nil && !needed[d.Service] {
				needed[d.Service] = true
				mark(on)
			}
		}
	}
	for i := range services {
		if services[i].Once {
			mark(&services[i])
		}
	}
	return needed
}

// withOnce is what a service depends on once it waits for all that run once.
func withOnce(s Service, all []Service) []berth.Dependency {
	list := slices.Clone(s.DependsOn)
	for _, o := range all {
		if o.Once && !slices.ContainsFunc(list, func(d berth.Dependency) bool { return d.Service == o.Name }) {
			list = append(list, berth.Dependency{Service: o.Name, Condition: berth.ConditionCompleted})
		}
	}
	slices.SortFunc(list, func(a, b berth.Dependency) int { return strings.Compare(a.Service, b.Service) })
	return list
}

// sort returns the services, each after those that it depends on, then by
// name. A circle is reported.
func (p *parser) sort(services []Service) []Service {
	left := slices.Clone(services)
	slices.SortFunc(left, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	var out []Service
	for len(left) > 0 {
		waits := func(s Service) bool {
			return slices.ContainsFunc(s.DependsOn, func(d berth.Dependency) bool {
				return slices.ContainsFunc(left, func(l Service) bool { return l.Name == d.Service })
			})
		}
		i := slices.IndexFunc(left, func(s Service) bool { return !waits(s) })
		if i < 0 {
			var names []string
			for _, s := range left {
				names = append(names, s.Name)
			}
			p.invalid(p.find("services."+names[0]), "services."+names[0]+".depends_on", "let one of them start without the others", "services %s wait for each other", strings.Join(names, ", "))
			return append(out, left...)
		}
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// identity refuses values for what tells a tenant who it is and where it listens, other
// than those that Berth sets.
func (p *parser) identity(a *App) {
	for _, s := range a.Services {
		for _, e := range s.Environment {
			if e.Value == nil || len(*e.Value) == 1 && (*e.Value)[0].Name == e.Name {
				continue
			}
			rule := "a tenant whose identity could be another's would serve another one's data"
			switch e.Name {
			case "PORT":
				if s.Name != a.Main || p.guessed || p.noPort || e.Value.String() == strconv.Itoa(a.Port) {
					continue
				}
				rule = fmt.Sprintf("requests come to port %d, and a program that listens where PORT says would never get them", a.Port)
			case "TENANT_ID", "TENANT_NAME", "TENANT_SLUG", "TENANT_URL":
			default:
				continue
			}
			path := "services." + s.Name + ".environment"
			p.add(p.find(path), path+"."+e.Name, Forbidden, rule, "leave it out: Berth sets "+e.Name)
		}
	}
}

// asking is where the file asks for more than a tenant has: x-berth.limits, or where it
// has none, what the service states that asks for most.
func (p *parser) asking(a *App, forMemory bool) string {
	if p.root.get(extensionKey).get("limits") != nil {
		return "x-berth.limits"
	}
	most := slices.MaxFunc(a.Services, func(x, y Service) int {
		if forMemory {
			return cmp.Compare(x.MemoryMB, y.MemoryMB)
		}
		return cmp.Compare(x.CPU, y.CPU)
	})
	from := p.project.Services[most.Name]
	if forMemory {
		return "services." + most.Name + "." + memoryKey(from)
	}
	return "services." + most.Name + "." + cpuKey(from)
}

// sum refuses limits that a tenant with the default ones can't have.
func (p *parser) sum(a *App) {
	cpu, memory, containers := 0.0, 0, 0
	for _, s := range a.Services {
		cpu, memory, containers = cpu+s.CPU, memory+s.MemoryMB, containers+s.Replicas
	}
	n := p.root.get("services")
	if cpu > a.Limits.CPU+0.001 || memory > a.Limits.MemoryMB {
		p.invalid(n, p.asking(a, memory > a.Limits.MemoryMB), "raise x-berth.limits, or ask for less", "the services ask for %.2f cores and %d MB, the tenant has %.2f and %d", cpu, memory, a.Limits.CPU, a.Limits.MemoryMB)
	}
	// What follows from too many services is not told again.
	if containers-max(0, len(a.Services)-maxServices) > maxContainers {
		p.invalid(n, "services", "use fewer replicas", "a tenant would have %d containers, more than %d", containers, maxContainers)
	}
	if len(p.list) == 0 {
		if _, err := a.share(a.Limits, a.main().Replicas); err != nil {
			p.invalid(n, "x-berth.limits", "raise x-berth.limits, or use fewer services", "%s", err)
		}
	}
}
