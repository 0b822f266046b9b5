package blueprint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

// Bounds of an app.
const (
	maxServices = 10
	maxVolumes  = 16
)

var (
	namePattern = pattern.Of(`^[a-z0-9][a-z0-9-]{0,39}$`)
	keyPattern  = pattern.Of(`^[a-z0-9][a-z0-9_-]{0,39}$`)
)

// Parse reads a blueprint: a compose file with an x-berth section. There is an
// app only if there are no findings; the findings are all that is wrong, in the
// order of the file. Nothing but source is read: no other file, no variable of
// this process, nothing of the network.
func Parse(source []byte) (*App, []Finding) {
	app, findings := read(source)
	if len(findings) > 0 {
		return nil, findings
	}
	return app, nil
}

// read is Parse for a blueprint that may have been stored by an older Berth: a
// finding of a rule that is younger than such a blueprint leaves the app there,
// as it always was.
func read(source []byte) (*App, []Finding) {
	root, bad := parseTree(source)
	if bad != nil {
		return nil, []Finding{*bad}
	}
	f := &findings{root: root, lost: map[string]bool{}}
	newWalk(f).visit(root, "", "")
	p := parser{findings: f, root: root}
	p.names()
	p.references()
	p.x = p.extension()
	a := &App{Name: p.name(), Limits: p.limits(), Health: p.health()}
	if p.load() {
		p.app(a)
	}
	if f.stopped() {
		a = nil
	}
	return a, f.sorted()
}

// parser makes an App of what the table left in the tree.
type parser struct {
	*findings
	root    *node
	project *types.Project
	x       extension

	stated  map[string]bool // services whose name for the container is Berth's
	guessed bool            // the main service is any one: a finding says why
	noPort  bool            // where it listens is not known, or not for certain: a finding says why
}

// names refuses what services, volumes and networks can't be called. They are
// taken out: what is below an odd name can't be told by its path.
func (p *parser) names() {
	for part, what := range map[string]string{"services": "service", "volumes": "volume", "networks": "network"} {
		n := p.root.get(part)
		if n == nil {
			continue
		}
		n.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool {
			oneLetter := part == "volumes" && len(f.key) == 1 // compose takes a:/path for a drive of Windows
			if keyPattern().MatchString(f.key) && (part != "services" || strings.Trim(f.key, "0123456789") != "") && !oneLetter {
				return false
			}
			hint := "use 1 to 40 of a-z, 0-9, _ and -, not only digits"
			if oneLetter {
				hint = "use 2 letters or more"
			}
			if strings.Contains(f.key, "$") {
				hint = "name it plainly, such as " + map[string]string{"services": "web", "volumes": "uploads", "networks": "default"}[part] + ": Berth gives each tenant its own"
			}
			p.invalid(&node{line: f.line}, part+"."+f.key, hint, "%s is not a name for a %s", berth.Quote(f.key), what)
			p.lose(part + "." + f.key)
			return true
		})
	}
}

// accepted are references that say what Berth does anyhow, by the pattern of
// their path. They are taken out: numbers among them would not be numbers.
var accepted = map[string]func() *regexp.Regexp{
	"services.*.container_name":                 pattern.Of(`^tenant_\$\{TENANT_ID\}$`),
	"services.*.cpus":                           pattern.Of(`^\$\{CPU_LIMIT\}$`),
	"services.*.mem_limit":                      pattern.Of(`^\$\{MEMORY_LIMIT_MB\}[mM]$`),
	"services.*.deploy.replicas":                pattern.Of(`^\$\{REPLICAS\}$`),
	"services.*.deploy.resources.limits.cpus":   pattern.Of(`^\$\{CPU_LIMIT\}$`),
	"services.*.deploy.resources.limits.memory": pattern.Of(`^\$\{MEMORY_LIMIT_MB\}[mM]$`),
	"networks.*.name":                           pattern.Of(`^tenant_\$\{TENANT_ID\}_network$`),
	"volumes.*.name":                            pattern.Of(`^tenant_\$\{TENANT_ID\}_[a-z0-9_-]+$`),
}

var externalPort = pattern.Of(`^\$\{EXTERNAL_PORT\}:([0-9]+)$`)

// expanded are the attributes whose texts are expanded for each tenant.
var expanded = map[string]bool{
	"services.*.command": true, "services.*.entrypoint": true, "services.*.environment": true,
	"services.*.labels": true, "services.*.healthcheck.test": true,
}

// references refuses variables where nothing puts them in.
func (p *parser) references() {
	p.refuse(p.root, "", "")
}

func (p *parser) refuse(n *node, pattern, path string) {
	kept := n.fields[:0:0]
	for _, f := range n.fields {
		at, row := join(path, f.key), join(pattern, f.key)
		if parent := pattern; parent == "services" || parent == "networks" || parent == "volumes" {
			row = join(pattern, "*")
		}
		if expanded[row] || strings.HasPrefix(f.key, "x-") {
			kept = append(kept, f)
			continue
		}
		if form := accepted[row]; form != nil && form().MatchString(f.node.text()) {
			p.accept(row, path, f)
			continue
		}
		if !p.free(f.node, row, at) {
			p.lose(at)
			continue
		}
		kept = append(kept, f)
	}
	n.fields = kept
}

// accept notes what a reference that was taken out said.
func (p *parser) accept(row, path string, f field) {
	if row == "volumes.*.name" {
		_, key, _ := cutLast(path)
		if f.node.text() != "tenant_${TENANT_ID}_"+key {
			p.invalid(f.node, join(path, f.key), "leave it out, or say tenant_${TENANT_ID}_"+key, "is not the name that Berth gives the volume")
		}
	}
	if row == "services.*.container_name" {
		if p.stated == nil {
			p.stated = map[string]bool{}
		}
		_, service, _ := cutLast(path)
		p.stated[service] = true
	}
}

// free reports whether nothing inside n refers to a variable. The published
// port of a service is the edge's.
func (p *parser) free(n *node, row, path string) bool {
	if row == "services.*.ports" {
		for _, item := range n.items {
			if m := externalPort().FindStringSubmatch(item.text()); m != nil {
				item.value = m[1]
			}
			if published := item.get("published"); published != nil && published.text() == "${EXTERNAL_PORT}" {
				item.fields = slices.DeleteFunc(slices.Clone(item.fields), func(f field) bool { return f.key == "published" })
			}
		}
	}
	switch {
	case n.isMap:
		p.refuse(n, row, path)
		return true
	case n.isList:
		ok := true
		for i, item := range n.items {
			ok = p.free(item, row+"[]", fmt.Sprintf("%s[%d]", path, i)) && ok
		}
		return ok
	case strings.Contains(n.text(), "$"):
		hint := "variables are put into command, entrypoint, environment, labels and healthcheck.test; write a literal here"
		if row == "services.*.volumes[]" {
			hint = "name the volume plainly, such as uploads:/path: Berth gives each tenant its own"
		}
		p.invalid(n, path, hint, "refers to a variable where none is put in")
		return false
	}
	return true
}

// find returns the node at a path of keys, as near as there is one.
func (p *parser) find(path string) *node {
	n := p.root
	for _, key := range strings.Split(path, ".") {
		next := n.get(key)
		if next == nil {
			break
		}
		n = next
	}
	if n == p.root {
		return nil
	}
	return n
}

// app makes the rest of the app of the project and x-berth.
func (p *parser) app(a *App) {
	p.networks()
	a.Volumes = p.volumes()
	names := make([]string, 0, len(p.project.Services))
	for name := range p.project.Services {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 && p.stopped() {
		return // none is left of those that were refused
	}
	if len(names) == 0 || len(names) > maxServices {
		p.invalid(p.root.get("services"), "services", "split the product, or leave some out", "there are %d services; 1 to %d are supported", len(names), maxServices)
	}
	if len(names) == 0 {
		return
	}
	a.Main = p.main(names)
	once, sources := p.once(names), p.sources()
	for _, name := range names {
		a.Services = append(a.Services, p.service(name, name == a.Main, once[name], sources))
	}
	a.Port = p.port(a)
	p.sortByDependency(a)
	p.engineCheck(a)
	p.mounts(a)
	a.Variables = p.variables(a)
	p.identity(a)
	p.sum(a)
}

func (p *parser) name() string {
	n := p.root.get("name")
	if n == nil {
		return "app"
	}
	if !namePattern().MatchString(n.text()) {
		p.invalid(n, "name", "use 1 to 40 of a-z, 0-9 and -, such as shop", "%s is not a name for a blueprint", berth.Quote(n.text()))
	}
	return n.text()
}

// networks sees to it that all services are in one.
func (p *parser) networks() {
	all := p.root.get("networks")
	if all == nil {
		return
	}
	if len(all.fields) > 1 {
		p.invalid(all, "networks", "use one network: a tenant has its own, and nothing crosses it", "there are %d networks; a tenant has one", len(all.fields))
	}
	for _, f := range all.fields {
		if driver := f.node.get("driver"); driver != nil && driver.text() != "bridge" {
			p.add(driver, "networks."+f.key+".driver", NotSupported, "a tenant's network is a bridge", leaveOut)
		}
		if name := f.node.get("name"); name != nil {
			p.invalid(name, "networks."+f.key+".name", "leave it out", "Berth names the network tenant_<organization>_network")
		}
		if v4 := f.node.get("enable_ipv4"); v4 != nil && v4.text() != "true" {
			p.add(v4, "networks."+f.key+".enable_ipv4", NotSupported, "tenants' networks are IPv4", leaveOut)
		}
	}
}

func (p *parser) volumes() []Volume {
	var list []Volume
	all := p.root.get("volumes")
	if all != nil && len(all.fields) > maxVolumes {
		p.invalid(all, "volumes", "use fewer", "there are %d volumes; %d are supported", len(all.fields), maxVolumes)
	}
	for name := range p.project.Volumes {
		n, path := all.get(name), "volumes."+name
		if driver := n.get("driver"); driver != nil && driver.text() != "local" {
			p.add(driver, path+".driver", NotSupported, "volumes are local to the engine", leaveOut)
		}
		if at := n.get("name"); at != nil {
			p.invalid(at, path+".name", "leave it out", "Berth names the volume tenant_<organization>_%s", name)
		}
		if strings.HasPrefix(name, "image.") {
			p.invalid(n, path, "choose another name", "names that begin with image. are for what images declare as volumes")
		}
		list = append(list, Volume{Name: name, Shared: p.x.shared[name]})
	}
	slices.SortFunc(list, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range p.x.sharedNames {
		if all.get(name) == nil && !p.gone("volumes."+name) {
			p.invalid(p.find("x-berth.volumes."+name), "x-berth.volumes."+name, "declare it under volumes", "there is no volume %s", name)
		}
	}
	return list
}
