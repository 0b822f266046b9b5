package blueprint

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/pattern"
)

// serviceParser makes one service.
type serviceParser struct {
	*parser
	name string
	path string // services.NAME
	node *node
	from types.ServiceConfig
}

func (p *parser) service(name string, main, once bool, sources map[string]string) Service {
	s := serviceParser{parser: p, name: name, path: "services." + name, node: p.find("services." + name), from: p.project.Services[name]}
	out := Service{
		Name: name, Image: s.image(), Command: s.texts("command", s.from.Command), Entrypoint: s.texts("entrypoint", s.from.Entrypoint),
		WorkingDir: s.workingDir(), User: s.user(), Environment: s.environment(), Labels: s.labels(), Aliases: s.aliases(),
		DependsOn: s.dependsOn(), Once: once, Share: max(1, p.x.shares[name]), Capabilities: s.capabilities(),
		NoHealth: s.noHealth(), StopGrace: s.stopGrace(), StopSignal: s.stopSignal(), ShmMB: s.shm(),
		TenantEnvironment: p.x.environment == nil && main || slices.Contains(p.x.environment, name),
	}
	out.Mounts, out.Tmpfs = s.storage()
	out.Secrets = s.secrets(sources)
	s.besides(out)
	out.CPU, out.MemoryMB, out.PidsLimit = s.resources()
	out.Replicas = s.replicas(once)
	out.Probe = s.probe()
	s.restart(once)
	s.promises(main)
	return out
}

func (s serviceParser) at(key string) *node { return s.node.get(key) }

func (s serviceParser) wrong(key, hint, rule string, args ...any) {
	n := s.at(key)
	if n == nil {
		n = s.node
	}
	s.invalid(n, s.path+"."+key, hint, rule, args...)
}

// anyGoneHere reports whether one of the attributes was taken out of this service.
func (s serviceParser) anyGoneHere(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return s.gone(s.path + "." + key) })
}

func (s serviceParser) image() string {
	image := s.from.Image
	if image == "" {
		if !s.anyGoneHere("build", "extends", "provider") { // each says where the image comes from
			s.wrong("image", "name the image that the service runs, such as shop:v1", "is missing")
		}
		return "missing:latest"
	}
	reference := image
	if !strings.ContainsAny(image, "/:@") {
		reference += ":latest"
	}
	full, err := berth.ImageReference("", reference)
	if err != nil {
		s.wrong("image", "give a reference such as registry.example.com/shop:v1", "%s is not an image reference", berth.Quote(image))
		return "missing:latest"
	}
	if !strings.Contains(full, "@") && !strings.Contains(full[strings.LastIndexByte(full, '/')+1:], ":") {
		full += ":latest"
	}
	return full
}

// texts takes a list of arguments apart. compose-go has split a text that was
// one line.
func (s serviceParser) texts(key string, list []string) []Text {
	if list == nil {
		return nil
	}
	out := make([]Text, 0, len(list))
	for i, arg := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if n := s.at(key); n != nil && !n.isList {
			at = key
		}
		out = append(out, s.text(at, s.at(key), arg))
	}
	return out
}

func (s serviceParser) text(key string, n *node, value string) Text {
	t, err := ParseText(value)
	if err != nil {
		if n == nil {
			n = s.node
		}
		s.invalid(n, s.path+"."+key, "use ${NAME} or ${NAME:-default}; write $$ for a dollar sign", "%s", err)
		return nil
	}
	return t
}

func (s serviceParser) workingDir() string {
	if d := s.from.WorkingDir; d != "" && (!path.IsAbs(d) || path.Clean(d) != d) {
		s.wrong("working_dir", "give an absolute path such as /app", "%s is not a clean absolute path", berth.Quote(d))
	}
	return s.from.WorkingDir
}

// userPattern wants numbers. What a name stands for only the image knows, and
// a number without a group gets root's where the image does not know it.
var userPattern = pattern.Of(`^[0-9]{1,10}:[0-9]{1,10}$`)

func (s serviceParser) user() string {
	const hint = `name user and group by numbers other than 0, such as "65532:65532"`
	user := s.from.User
	name, group, _ := strings.Cut(user, ":")
	zero := func(id string) bool { n, err := strconv.ParseUint(id, 10, 64); return err == nil && n == 0 }
	tooLarge := func(id string) bool {
		n, err := strconv.ParseUint(id, 10, 64)
		return errors.Is(err, strconv.ErrRange) || n > math.MaxInt32
	}
	switch {
	case user == "" && s.anyGoneHere("extends"): // what it extends may name one
	case user == "":
		s.add(s.node, s.path+".user", Forbidden, "no user is named, so the image decides, and most run as root", hint)
	case name == "root" || zero(name) || group == "root" || zero(group):
		s.add(s.at("user"), s.path+".user", Forbidden, "the service would run as root", hint)
	case tooLarge(name) || tooLarge(group): // some count on from 0 after 2^32
		s.add(s.at("user"), s.path+".user", Forbidden, "a number beyond 2147483647 is none that a kernel and an engine both take for the same", hint)
	case !userPattern().MatchString(user):
		s.add(s.at("user"), s.path+".user", Forbidden, "a name can be root in the image, and a user without a group can be in root's", hint)
	}
	return user
}

func (s serviceParser) environment() []Env {
	var list []Env
	for _, name := range slices.Sorted(maps.Keys(s.from.Environment)) {
		value := s.from.Environment[name]
		key := "environment." + name
		n := s.at("environment")
		if at := n.get(name); at != nil {
			n = at
		}
		if !variableName().MatchString(name) {
			s.invalid(n, s.path+"."+key, "use letters, digits and _", "%s is not a name for a variable", berth.Quote(name))
		}
		e := Env{Name: name}
		if value != nil {
			if len(*value) > berth.MaxEnvironmentBytes || strings.ContainsRune(*value, 0) {
				s.invalid(n, s.path+"."+key, "put large or binary data in a volume", "the value has more than %d bytes, or NUL", berth.MaxEnvironmentBytes)
			}
			t := s.text(key, n, *value)
			e.Value = &t
		}
		list = append(list, e)
	}
	return list
}

func (s serviceParser) labels() []Label {
	var list []Label
	for _, name := range slices.Sorted(maps.Keys(s.from.Labels)) {
		for _, own := range []string{"com.unite-hub.", "com.docker.", "traefik."} {
			refuse := s.add
			if !strings.HasPrefix(name, own) { // who reads labels may not care for capital letters: Traefik doesn't
				refuse = s.addNew
			}
			if strings.HasPrefix(strings.ToLower(name), own) {
				refuse(s.at("labels"), s.path+".labels."+name, Forbidden, "labels that begin with "+own+" are Berth's own: it knows whose they are by them", leaveOut)
			}
		}
		if strings.Contains(name, "$") || name == "" {
			s.invalid(s.at("labels"), s.path+".labels."+name, "write the name out", "a label's name is a literal")
		}
		list = append(list, Label{Name: name, Value: s.text("labels."+name, s.at("labels"), s.from.Labels[name])})
	}
	return list
}

var aliasPattern = pattern.Of(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

func (s serviceParser) aliases() []string {
	var list []string
	if len(s.from.Networks) > 1 {
		s.wrong("networks", "name one: a tenant has one network", "the service is in %d networks", len(s.from.Networks))
	}
	for name, network := range s.from.Networks {
		if name != "default" && s.root.get("networks").get(name) == nil && !s.gone("networks."+name) {
			s.wrong("networks", "declare it under networks, or leave it out", "there is no network %s", berth.Quote(name))
		}
		if network == nil {
			continue
		}
		if a := network.UseServiceNameAlias; a != nil && !*a {
			s.wrong("networks."+name+".use_service_name_alias", leaveOut, "services are found by their names")
		}
		for i, alias := range network.Aliases {
			if !aliasPattern().MatchString(alias) {
				s.wrong(fmt.Sprintf("networks.%s.aliases[%d]", name, i), "use a host name of a-z, 0-9, - and .", "%s is not a host name", berth.Quote(alias))
			}
			list = append(list, alias)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (s serviceParser) dependsOn() []berth.Dependency {
	var list []berth.Dependency
	for _, name := range slices.Sorted(maps.Keys(s.from.DependsOn)) {
		d := s.from.DependsOn[name]
		key := "depends_on." + name
		c := berth.Condition(d.Condition)
		switch c {
		case "":
			c = berth.ConditionStarted
		case berth.ConditionStarted, berth.ConditionHealthy, berth.ConditionCompleted:
		default:
			s.wrong(key, "use service_started, service_healthy or service_completed_successfully", "%s is not a condition", berth.Quote(d.Condition))
		}
		if n := s.at("depends_on").get(name).get("required"); n != nil && n.text() != "true" {
			s.add(n, s.path+"."+key+".required", NotSupported, "every service of a blueprint runs, so what it depends on is there", leaveOut)
		}
		list = append(list, berth.Dependency{Service: name, Condition: c})
	}
	return list
}

func (s serviceParser) capabilities() []string {
	var list []string
	for i, c := range s.x.capabilities[s.name] {
		name := strings.TrimPrefix(strings.ToUpper(c), "CAP_")
		if !slices.Contains(capabilityNames, name) {
			s.add(s.find("x-berth.capabilities."+s.name), fmt.Sprintf("x-berth.capabilities.%s[%d]", s.name, i), Forbidden,
				berth.Quote(c)+" is not among the capabilities that a tenant may have", "choose from "+strings.Join(capabilityNames, ", "))
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (s serviceParser) stopGrace() int {
	if s.from.StopGracePeriod == nil {
		return defaultStopGrace
	}
	d := time.Duration(*s.from.StopGracePeriod)
	if d < 0 || d > 5*time.Minute {
		s.wrong("stop_grace_period", "give a duration such as 30s", "%v is not from 0 s to 5 minutes", d)
	}
	if d%time.Second != 0 {
		s.addNew(s.node, s.path+".stop_grace_period", NotSupported, fmt.Sprintf("engines wait whole seconds, and %v is not", d), "round it up")
	}
	return int(math.Ceil(d.Seconds()))
}

var signalPattern = pattern.Of(`^SIG[A-Z0-9+-]{2,12}$`)

func (s serviceParser) stopSignal() string {
	if sig := s.from.StopSignal; sig != "" && !signalPattern().MatchString(sig) {
		s.wrong("stop_signal", "give a name such as SIGINT", "%s is not the name of a signal", berth.Quote(sig))
	}
	return s.from.StopSignal
}

const maxScratchMB = 1024

func (s serviceParser) shm() int {
	mb := int((int64(s.from.ShmSize) + berth.BytesPerMB - 1) / berth.BytesPerMB)
	if mb < 0 || mb > maxScratchMB {
		s.wrong("shm_size", "give a size such as 128m", "%d MB is more than %d MB", mb, maxScratchMB)
	}
	return mb
}

func (s serviceParser) replicas(once bool) int {
	n := 1
	key := "deploy.replicas"
	if d := s.from.Deploy; d != nil && d.Replicas != nil {
		n = *d.Replicas
	}
	if s.from.Scale != nil {
		if s.from.Deploy != nil && s.from.Deploy.Replicas != nil && n != *s.from.Scale {
			s.wrong("scale", "leave one of the two out", "scale and deploy.replicas differ")
		}
		n, key = *s.from.Scale, "scale"
	}
	if n < 1 || n > berth.MaxReplicas {
		s.wrong(key, fmt.Sprintf("give a number from 1 to %d", berth.MaxReplicas), "%d is not from 1 to %d", n, berth.MaxReplicas)
	}
	if once && n != 1 {
		s.wrong(key, leaveOut, "a service that runs once has one container")
	}
	if d := s.from.Deploy; d != nil && d.Mode != "" && d.Mode != "replicated" {
		s.add(s.at("deploy").get("mode"), s.path+".deploy.mode", NotSupported, "there is one engine: "+berth.Quote(d.Mode)+" says nothing", leaveOut)
	}
	return n
}

func (s serviceParser) noHealth() bool {
	h := s.from.HealthCheck
	return h != nil && (h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE")
}

func (s serviceParser) probe() *HealthCommand {
	h := s.from.HealthCheck
	if h == nil || s.noHealth() {
		return nil
	}
	p := &HealthCommand{Interval: 30 * time.Second, Timeout: 30 * time.Second, Retries: 3}
	if len(h.Test) < 2 || h.Test[0] != "CMD" && h.Test[0] != "CMD-SHELL" || h.Test[0] == "CMD-SHELL" && len(h.Test) != 2 {
		s.wrong("healthcheck.test", `write [CMD, program, argument] or a text for the shell`, "is not a command")
		return nil
	}
	for i, arg := range h.Test {
		at := "healthcheck.test"
		if s.at("healthcheck").get("test").isList {
			at += fmt.Sprintf("[%d]", i)
		}
		p.Test = append(p.Test, s.text(at, s.at("healthcheck"), arg))
	}
	for _, d := range []struct {
		key   string
		value *types.Duration
		to    *time.Duration
		least time.Duration
	}{{"interval", h.Interval, &p.Interval, time.Second}, {"timeout", h.Timeout, &p.Timeout, time.Second}, {"start_period", h.StartPeriod, &p.StartPeriod, 0}} {
		if d.value == nil {
			continue
		}
		*d.to = time.Duration(*d.value)
		if *d.to < d.least || *d.to > time.Hour {
			s.wrong("healthcheck."+d.key, "give a duration such as 10s", "%v is not from %v to 1h", *d.to, d.least)
		}
	}
	if h.Retries != nil {
		if *h.Retries < 1 || *h.Retries > 100 {
			s.wrong("healthcheck.retries", "give a number from 1 to 100", "%d is not from 1 to 100", *h.Retries)
		} else {
			p.Retries = int(*h.Retries)
		}
	}
	return p
}

func (s serviceParser) restart(once bool) {
	policy := s.from.Restart
	if name, _, limited := strings.Cut(policy, ":"); limited && name == "on-failure" {
		s.add(s.at("restart"), s.path+".restart", NotSupported, "Berth does not count restarts", "write on-failure")
		return
	}
	switch policy {
	case "", "always", "unless-stopped", "on-failure":
		if once && policy != "" {
			s.wrong("restart", `write restart: "no"`, "another service waits until this one has completed: it runs once")
		}
	case "no":
	default:
		s.wrong("restart", `use unless-stopped, or "no" for a service that runs once per release`, "%s is not a restart policy", berth.Quote(s.from.Restart))
	}
}

// promises holds what is only accepted because Berth does it anyhow.
func (s serviceParser) promises(main bool) {
	if n := s.at("read_only"); n != nil && n.text() != "true" {
		s.add(n, s.path+".read_only", Forbidden, "a root file system that can be written keeps what no volume does, and what an attacker left", "name what is written in x-berth.writable."+s.name+", tmpfs or volumes")
	}
	for i, opt := range s.from.SecurityOpt {
		if opt != "no-new-privileges:true" && opt != "no-new-privileges=true" && opt != "no-new-privileges" {
			s.add(s.at("security_opt"), fmt.Sprintf("%s.security_opt[%d]", s.path, i), Forbidden, berth.Quote(opt)+" would weaken the wall between the tenant and the host", leaveOut)
		}
	}
	if n := s.at("pull_policy"); n != nil && n.text() != "missing" && n.text() != "if_not_present" {
		s.add(n, s.path+".pull_policy", NotSupported, "an image that the engine has is not pulled again", "deploy another tag")
	}
	if n := s.at("container_name"); n != nil {
		s.invalid(n, s.path+".container_name", leaveOut, "Berth names containers: the same name for two tenants would clash")
	}
	if s.stated[s.name] && !main && !s.guessed {
		s.invalid(s.node, s.path+".container_name", leaveOut, "is the name of the main service's container")
	}
	if n := s.at("init"); n != nil && n.text() != "true" {
		s.add(n, s.path+".init", NotSupported, "an init always reaps orphans", leaveOut)
	}
	if !main && !s.guessed && len(s.from.Ports) > 0 {
		s.add(s.at("ports"), s.path+".ports", Forbidden, "only the main service is reached from outside, through the edge", leaveOut+"; inside the tenant's network every port is reached at the service's name")
	}
}
