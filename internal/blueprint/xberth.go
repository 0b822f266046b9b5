package blueprint

import (
	_ "embed"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

//go:embed x-berth.schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of the x-berth section, for
// editors.
func Schema() []byte { return slices.Clone(schema) }

// extension is the x-berth section as it stands in the file.
type extension struct {
	node         *node
	service      string
	port         int
	shares       map[string]int
	shared       map[string]bool
	sharedNames  []string
	writable     map[string][]string
	capabilities map[string][]string
	environment  []string // services that get all of the tenant's variables; nil: the main one
	variables    []Variable
}

// extensionKeys are what x-berth may hold.
var extensionKeys = []string{"service", "port", "health", "limits", "shares", "variables", "volumes", "writable", "capabilities", "tenant_environment", "egress"}

// capabilityNames are those that a blueprint may ask for: what programs that
// drop their privileges, or listen below port 1024, need.
var capabilityNames = []string{"CHOWN", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

// known reports the keys of a map that are none of those.
func (p *parser) known(n *node, path string, keys ...string) {
	for _, f := range n.fields {
		if !slices.Contains(keys, f.key) {
			p.invalid(&node{line: f.line}, join(path, f.key), didYouMean(f.key, keys), "is not a key of %s", path)
		}
	}
}

// mapAt returns a map of x-berth, nil if it is not there.
func (p *parser) mapAt(key string) *node {
	return p.mapOf(p.x.node.get(key), "x-berth."+key, "write it as a map")
}

// mapOf returns n if it is a map that has something in it.
func (p *parser) mapOf(n *node, path, hint string) *node {
	switch {
	case n == nil || !n.isMap && !n.isList && n.value == nil || n.isMap && n.empty():
		return nil
	case n.isMap:
		return n
	}
	refuse := p.add
	if n.empty() { // false, "" and [] were taken for nothing once
		refuse = p.addNew
	}
	refuse(n, path, Invalid, n.shown()+" is not a map", hint)
	return nil
}

// textOf returns a text of x-berth. A number or a truth value is taken for how
// it is written.
func (p *parser) textOf(n *node, path, hint string) string {
	if n != nil && (n.isMap || n.isList) { // was taken for nothing once
		p.addNew(n, path, Invalid, n.shown()+" is not a text", hint)
	}
	return n.text()
}

// shown is n for a finding.
func (n *node) shown() string {
	switch {
	case n.isMap:
		return "a map"
	case n.isList:
		return "a list"
	case n.value == nil:
		return "nothing"
	}
	return berth.Quote(n.text())
}

func (p *parser) extension() extension {
	p.x = extension{shares: map[string]int{}, shared: map[string]bool{}, writable: map[string][]string{}, capabilities: map[string][]string{}}
	n := p.root.get("x-berth")
	if n == nil {
		return p.x
	}
	if !n.isMap {
		p.invalid(n, "x-berth", "see docs/blueprint.md", "is not a map")
		return p.x
	}
	p.x.node = n
	p.known(n, "x-berth", extensionKeys...)
	if e := n.get("egress"); e != nil {
		p.add(e, "x-berth.egress", NotSupported, "the wall that would enforce what a tenant may reach outside does not stand yet", leaveOut+"; until then tenants reach what the host's firewall lets them")
	}
	p.x.service = p.textOf(n.get("service"), "x-berth.service", "name one of the services, such as web")
	p.x.port = p.number("x-berth.port", n.get("port"), 1, 65535)
	if s := p.mapAt("shares"); s != nil {
		for _, f := range s.fields {
			p.x.shares[f.key] = p.number("x-berth.shares."+f.key, f.node, 1, 100)
			p.serviceExists(f, "x-berth.shares")
		}
	}
	if v := p.mapAt("volumes"); v != nil {
		for _, f := range v.fields {
			if !f.node.isMap {
				p.addNew(f.node, "x-berth.volumes."+f.key, Invalid, f.node.shown()+" is not a map", "write {shared: true}, or leave it out")
			}
			p.known(f.node, "x-berth.volumes."+f.key, "shared")
			p.x.sharedNames = append(p.x.sharedNames, f.key)
			p.x.shared[f.key] = p.boolean("x-berth.volumes."+f.key+".shared", f.node.get("shared"))
		}
	}
	p.x.writable = p.lists("writable")
	p.x.capabilities = p.lists("capabilities")
	if e := n.get("tenant_environment"); e != nil {
		p.x.environment = []string{}
		for i, item := range e.items {
			p.x.environment = append(p.x.environment, item.text())
			p.serviceExists(field{item.text(), item.line, item}, fmt.Sprintf("x-berth.tenant_environment[%d]", i))
		}
		if !e.isList {
			p.invalid(e, "x-berth.tenant_environment", "write a list of services, such as [web, worker]", "is not a list")
		}
	}
	p.x.variables = p.declared()
	return p.x
}

func (p *parser) serviceExists(f field, path string) {
	if p.root.get("services").get(f.key) == nil && !p.gone("services."+f.key) {
		at := path
		if !strings.HasSuffix(path, "]") {
			at = path + "." + f.key
		}
		p.invalid(&node{line: f.line}, at, "name one of the services", "there is no service %s", berth.Quote(f.key))
	}
}

// lists reads a map of services to lists of texts.
func (p *parser) lists(key string) map[string][]string {
	out := map[string][]string{}
	n := p.mapAt(key)
	if n == nil {
		return out
	}
	for _, f := range n.fields {
		p.serviceExists(f, "x-berth."+key)
		if !f.node.isList {
			p.invalid(f.node, "x-berth."+key+"."+f.key, "write a list", "is not a list")
		}
		for i, item := range f.node.items {
			if item.isMap || item.isList || item.text() == "" {
				p.invalid(item, fmt.Sprintf("x-berth.%s.%s[%d]", key, f.key, i), "write a text", "is not a text")
			}
			out[f.key] = append(out[f.key], item.text())
		}
	}
	return out
}

func (p *parser) number(path string, n *node, least, most int) int {
	if n == nil {
		return 0
	}
	v, ok := n.value.(int)
	if !ok || v < least || v > most {
		p.invalid(n, path, fmt.Sprintf("give a whole number from %d to %d", least, most), "%s is not a whole number from %d to %d", n.shown(), least, most)
	}
	return v
}

func (p *parser) boolean(path string, n *node) bool {
	if n == nil {
		return false
	}
	v, ok := n.value.(bool)
	if !ok {
		p.invalid(n, path, "write true or false", "%s is neither true nor false", n.shown())
	}
	return v
}

func (p *parser) duration(path string, n *node, def, least, most time.Duration) time.Duration {
	if n == nil {
		return def
	}
	d, err := time.ParseDuration(n.text())
	if err != nil || d < least || d > most {
		p.invalid(n, path, "give a duration such as 30s", "%s is not a duration from %v to %v", n.shown(), least, most)
	}
	return d
}

// limits are what a tenant gets that asks for none.
func (p *parser) limits() berth.Limits {
	l := berth.DefaultLimits()
	n := p.mapAt("limits")
	if n == nil {
		return l
	}
	p.known(n, "x-berth.limits", "cpus", "memory_mb", "disk_mb")
	if c := n.get("cpus"); c != nil {
		v, err := strconv.ParseFloat(c.text(), 64)
		if l.CPU = v; err != nil || math.IsNaN(v) {
			l.CPU = 0 // refused below, with the rule
		}
	}
	if m := n.get("memory_mb"); m != nil {
		l.MemoryMB, _ = m.value.(int)
	}
	if d := n.get("disk_mb"); d != nil {
		l.DiskMB, _ = d.value.(int)
	}
	l = l.Rounded()
	for key, check := range map[string]berth.Limits{
		"cpus":      {CPU: l.CPU, MemoryMB: berth.DefaultMemMB, DiskMB: berth.DefaultDisk},
		"memory_mb": {CPU: berth.DefaultCPU, MemoryMB: l.MemoryMB, DiskMB: berth.DefaultDisk},
		"disk_mb":   {CPU: berth.DefaultCPU, MemoryMB: berth.DefaultMemMB, DiskMB: l.DiskMB},
	} {
		if err := check.Validate(); err != nil {
			p.invalid(n.get(key), "x-berth.limits."+key, "give cores as a number, memory and disk as whole megabytes", "%s does not do: %s", n.get(key).shown(), err)
		}
	}
	return l
}

var variableName = pattern.Of(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// ownNames are what Berth itself puts in.
var ownNames = map[string]bool{
	"TENANT_ID": true, "TENANT_NAME": true, "TENANT_SLUG": true, "TENANT_URL": true, "PORT": true,
	"EXTERNAL_PORT": true, "CPU_LIMIT": true, "MEMORY_LIMIT_MB": true, "DISK_LIMIT_MB": true,
}

// declared are the variables that x-berth names.
func (p *parser) declared() []Variable {
	n := p.mapAt("variables")
	if n == nil {
		return nil
	}
	var list []Variable
	for _, f := range n.fields {
		path := "x-berth.variables." + f.key
		if !variableName().MatchString(f.key) {
			p.invalid(&node{line: f.line}, path, "use letters, digits and _", "%s is not a name for a variable", berth.Quote(f.key))
		}
		if ownNames[f.key] {
			p.invalid(&node{line: f.line}, path, "choose another name", "Berth sets %s itself", f.key)
		}
		list = append(list, p.variable(f, path))
	}
	return list
}

func (p *parser) variable(f field, path string) Variable {
	v := Variable{Name: f.key}
	n := p.mapOf(f.node, path, "write {description: …, required: true}")
	if n == nil {
		return v
	}
	p.known(f.node, path, "description", "required", "secret", "pattern", "default")
	v.Description = p.textOf(n.get("description"), path+".description", "write a text")
	v.Required = p.boolean(path+".required", f.node.get("required"))
	v.Secret = p.boolean(path+".secret", f.node.get("secret"))
	v.Pattern = p.textOf(n.get("pattern"), path+".pattern", "write a regular expression such as '[a-z]+'")
	compiled, err := regexp.Compile(v.Pattern) // alone first: it must not close the group around it
	if err == nil {
		compiled, err = regexp.Compile(`\A(?:` + v.Pattern + `)\z`)
	}
	if err != nil {
		p.invalid(f.node.get("pattern"), path+".pattern", "write a regular expression in RE2 syntax; it matches the whole value", "%s", err)
	}
	def := f.node.get("default")
	if def == nil {
		return v
	}
	v.Default, v.HasDefault = p.textOf(def, path+".default", "write a text: that is what a variable is"), true
	switch {
	case v.Secret:
		p.add(def, path+".default", Forbidden, "a secret that stands in a file is none", leaveOut)
	case v.Required:
		p.invalid(def, path+".default", "leave out one of the two", "a variable that is required has no use for a default")
	case err == nil && v.Pattern != "" && !compiled.MatchString(v.Default):
		p.invalid(def, path+".default", "give one that fits", "the default does not match the pattern")
	}
	return v
}

// variables are those that x-berth declares, and those that the file refers to
// without a declaration: required unless there is a default wherever they are
// used.
func (p *parser) variables(a *App) []Variable {
	all := map[string]Variable{}
	for _, v := range p.x.variables {
		all[v.Name] = v
	}
	implicit := map[string]bool{} // whether it is required
	for _, s := range a.Services {
		for _, t := range s.texts() {
			for _, part := range t {
				if _, known := all[part.Name]; part.Name != "" && !known && !ownNames[part.Name] {
					implicit[part.Name] = implicit[part.Name] || !part.HasDefault
				}
			}
		}
	}
	for name, required := range implicit {
		all[name] = Variable{Name: name, Required: required, Secret: berth.IsSecretName(name)}
	}
	for name := range a.filed() {
		v, known := all[name]
		if !known {
			v = Variable{Name: name, Required: true}
		}
		v.Secret = true // a rollback leaves it as it is
		all[name] = v
	}
	list := make([]Variable, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list
}

// texts are all texts of a service that are expanded.
func (s *Service) texts() []Text {
	list := slices.Concat(s.Command, s.Entrypoint)
	for _, e := range s.Environment {
		if e.Value != nil {
			list = append(list, *e.Value)
		}
	}
	for _, l := range s.Labels {
		list = append(list, l.Value)
	}
	if s.Probe != nil {
		list = append(list, s.Probe.Test...)
	}
	return list
}
