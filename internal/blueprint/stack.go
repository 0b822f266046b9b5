package blueprint

import (
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/unite-hub/berth"
)

// Stack is what the tenant should run. env holds its own variables in clear,
// recorded the names of volumes that were made before, cores what the engine
// has (0 if not known).
func (b *Blueprint) Stack(t berth.Tenant, env map[string]string, recorded []string, cores int) (berth.Stack, error) {
	if err := b.check(t); err != nil {
		return berth.Stack{}, err
	}
	return b.stack(t, values(env), recorded, cores)
}

func (b *Blueprint) check(t berth.Tenant) error {
	fail := func(format string, args ...any) error {
		return berth.Errorf(berth.CodeInternal, format, args...).WithOp("make stack", t.OrganizationID)
	}
	switch {
	case t.Spec.Blueprint != b.id:
		return fail("the tenant was made from blueprint %s, not from %s", t.Spec.Blueprint, b.id)
	case t.Spec.ImageDigest == "":
		return fail("the tenant's image is not resolved")
	case !t.Subnet.IsValid() || t.Subnet.Bits() > berth.SubnetBits:
		return fail("the tenant's subnet %s is none", t.Subnet)
	}
	for name := range b.Images() {
		if t.Spec.Images[name] == "" {
			return fail("the image of service %s is not resolved", name)
		}
	}
	return nil
}

// environment is what a tenant has of its own: values, or, in a rendered file,
// references in their place.
type environment interface {
	// get returns what stands for a variable where the whole of it is wanted.
	get(name string) (value string, ok bool)
	// refer returns what stands for a reference to a variable that is there.
	refer(p Part) string
}

// values are a tenant's variables in clear.
type values map[string]string

func (v values) get(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

func (v values) refer(p Part) string { return Text{p}.Expand(v.get) }

// tenancy is one tenant, as the services' texts see it.
type tenancy struct {
	*Blueprint
	berth.Tenant
	own    environment
	limits map[string]berth.Limits
	labels map[string]string // of the main service
}

func (b *Blueprint) stack(t berth.Tenant, lookup environment, recorded []string, cores int) (berth.Stack, error) {
	limits, err := b.app.share(t.Spec.Limits, t.Spec.Replicas)
	if err != nil {
		return berth.Stack{}, err
	}
	router, err := b.router(t)
	if err != nil {
		return berth.Stack{}, err
	}
	x := tenancy{Blueprint: b, Tenant: t, own: lookup, limits: limits, labels: router}
	s := berth.Stack{
		OrganizationID: t.OrganizationID,
		Name:           t.Name,
		Generation:     t.Generation,
		Project:        berth.ContainerName(t.OrganizationID),
		Run:            t.Want == berth.WantRunning,
		Subnet:         t.Subnet,
		Network:        berth.NetworkName(t.OrganizationID),
	}
	for _, svc := range b.app.Services {
		made, err := x.service(svc)
		if err != nil {
			return berth.Stack{}, err
		}
		made.Limits.CPU = made.Limits.EffectiveCPU(cores)
		s.Services = append(s.Services, made)
	}
	for _, v := range b.app.Volumes {
		name := berth.VolumeName(t.OrganizationID, v.Name)
		s.Volumes = append(s.Volumes, berth.Volume{Name: name, Key: v.Name, Shared: v.Shared, Recorded: slices.Contains(recorded, name)})
	}
	return s, nil
}

func (x tenancy) service(svc Service) (berth.Service, error) {
	main := svc.Name == x.app.Main
	s := berth.Service{
		Name: svc.Name, Main: main, Replicas: svc.Replicas, User: svc.User,
		Environment: x.environment(svc), Limits: x.limits[svc.Name], PidsLimit: svc.PidsLimit,
		Tmpfs: svc.Tmpfs, Labels: x.labelsOf(svc), StopGrace: svc.StopGrace,
		Command: x.expandAll(svc.Command), Entrypoint: x.expandAll(svc.Entrypoint), WorkingDir: svc.WorkingDir,
		StopSignal: svc.StopSignal, Aliases: svc.Aliases, Capabilities: svc.Capabilities,
		NoHealth: svc.NoHealth, ShmMB: svc.ShmMB, DependsOn: svc.DependsOn, Once: svc.Once, Secrets: x.secretsOf(svc),
	}
	reference, err := x.reference(svc)
	if err != nil {
		return s, err
	}
	s.Reference, s.Image = reference, x.Spec.ImageDigest
	if !x.follows(svc) {
		s.Image = x.Spec.Images[svc.Name]
	}
	if main {
		s.Port, s.Health, s.Replicas = x.app.Port, x.app.Health, x.Spec.Replicas
	}
	if svc.Once {
		s.Release, s.Done = x.Spec.Release, x.Released >= x.Spec.Release
	}
	if p := svc.Probe; p != nil {
		s.HealthProbe = &berth.HealthProbe{
			Test: x.expandAll(p.Test), Interval: p.Interval, Timeout: p.Timeout, Retries: p.Retries, StartPeriod: p.StartPeriod,
		}
	}
	for _, m := range svc.Mounts {
		s.Mounts = append(s.Mounts, berth.Mount{Volume: berth.VolumeName(x.OrganizationID, m.Volume), Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return s, nil
}

func (x tenancy) reference(svc Service) (string, error) {
	if x.follows(svc) {
		return x.Image(x.Spec.ImageTag)
	}
	return svc.Image, nil
}

// environment is what a service's containers see, sorted by name. Later ones
// win: what Berth assumes, what the blueprint says, the tenant's own, and what
// tells the tenant who it is, which nothing can override.
func (x tenancy) environment(svc Service) []berth.EnvVar {
	all := map[string]string{}
	if svc.Name == x.app.Main {
		all["NODE_ENV"] = "production"
	}
	for _, e := range svc.Environment {
		if e.Value != nil {
			all[e.Name] = x.expand(*e.Value)
		} else if value, ok := x.value(e.Name); ok {
			all[e.Name] = value
		}
	}
	if svc.TenantEnvironment {
		filed := x.app.filed()
		for name := range x.Spec.Environment {
			if filed[name] {
				continue
			}
			if value, ok := x.own.get(name); ok {
				all[name] = value
			}
		}
	}
	maps.Copy(all, x.identity())
	if svc.Name == x.app.Main {
		all["PORT"] = strconv.Itoa(x.app.Port)
	}
	list := make([]berth.EnvVar, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, berth.EnvVar{Name: name, Value: all[name]})
	}
	return list
}

func (x tenancy) identity() map[string]string {
	return map[string]string{
		"TENANT_ID": x.OrganizationID, "TENANT_NAME": x.Tenant.Name, "TENANT_SLUG": x.Slug, "TENANT_URL": x.URL,
	}
}

// value is what a reference in the blueprint stands for.
func (x tenancy) value(name string) (string, bool) {
	if v, ok := x.identity()[name]; ok {
		return v, true
	}
	switch name {
	case "PORT":
		return strconv.Itoa(x.app.Port), true
	case "EXTERNAL_PORT":
		return strconv.Itoa(x.ExternalPort), true
	case "CPU_LIMIT":
		return strconv.FormatFloat(x.Spec.Limits.CPU, 'f', 2, 64), true
	case "MEMORY_LIMIT_MB":
		return strconv.Itoa(x.Spec.Limits.MemoryMB), true
	case "DISK_LIMIT_MB":
		return strconv.Itoa(x.Spec.Limits.DiskMB), true
	}
	if v, ok := x.own.get(name); ok {
		return v, true
	}
	for _, v := range x.app.Variables {
		if v.Name == name && v.HasDefault {
			return v.Default, true
		}
	}
	return "", false
}

func (x tenancy) expand(t Text) string {
	return t.each(func(p Part) string {
		if _, mine := x.Spec.Environment[p.Name]; mine {
			return x.own.refer(p)
		}
		return Text{p}.Expand(x.value)
	})
}

func (x tenancy) expandAll(list []Text) []string {
	if list == nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, t := range list {
		out = append(out, x.expand(t))
	}
	return out
}

func (x tenancy) labelsOf(svc Service) map[string]string {
	labels := map[string]string{}
	for _, l := range svc.Labels {
		labels[l.Name] = x.expand(l.Value)
	}
	if svc.Name == x.app.Main {
		maps.Copy(labels, x.labels)
	}
	maps.Copy(labels, map[string]string{
		berth.LabelTenantID:          x.OrganizationID,
		berth.LabelTenantName:        x.Tenant.Name,
		"com.docker.compose.project": berth.ContainerName(x.OrganizationID),
		"com.docker.compose.service": svc.Name,
		"com.docker.compose.oneoff":  "False",
		// Compose lists only containers that have one. What it holds matters
		// to compose alone: any other value than its own means "made anew".
		"com.docker.compose.config-hash": "berth",
		// docker-compose 1 fails on a container without one. These are the
		// labels of this version and later ones.
		"com.docker.compose.version": "2.0.0",
	})
	return labels
}

// router is what Traefik needs to know of the main service. The rule names a
// host, never a URL: a URL matches no request.
func (b *Blueprint) router(t berth.Tenant) (map[string]string, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Hostname() == "" {
		return nil, berth.Errorf(berth.CodeInternal, "the tenant's URL %s has no host", berth.Quote(t.URL)).WithOp("make stack", t.OrganizationID)
	}
	project := berth.ContainerName(t.OrganizationID)
	return map[string]string{
		"traefik.enable": "true",
		"traefik.http.routers." + project + ".rule":                      "Host(`" + u.Hostname() + "`)",
		"traefik.http.services." + project + ".loadbalancer.server.port": strconv.Itoa(b.app.Port),
	}, nil
}
