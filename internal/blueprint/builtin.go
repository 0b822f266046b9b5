// Package blueprint turns a tenant into a stack, and a stack into a compose
// file that runs without Berth.
//
// There is one blueprint so far, the built-in one: the seed's template, a
// single service that answers on one port and keeps its data in three volumes.
package blueprint

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/unite-hub/berth"
)

// Blueprint is the app that every tenant gets a copy of.
type Blueprint struct {
	id         string // name@version: stacks of one version never change
	repository string // what a bare image tag selects a version of
	service    string
	port       int
	user       string
	tmpfs      []berth.Tmpfs
	pids       int64
	stopGrace  int // seconds
	health     berth.HealthCheck
	volumes    []volume
}

type volume struct{ name, target string }

// Builtin returns the built-in blueprint, version 1.
func Builtin() *Blueprint {
	return &Blueprint{
		id:         "builtin@1",
		repository: berth.DefaultRepository,
		service:    "app",
		port:       3000,
		user:       "1001:1001", // the seed's nextjs:nodejs
		tmpfs:      []berth.Tmpfs{{Target: "/tmp", SizeMB: 64}},
		pids:       256,
		stopGrace:  10,
		health: berth.HealthCheck{
			Path: "/api/health", Interval: 30 * time.Second, Timeout: 10 * time.Second,
			Retries: 3, StartPeriod: 40 * time.Second,
		},
		volumes: []volume{{"uploads", "/app/public/uploads"}, {"logs", "/app/logs"}, {"cache", "/app/.next/cache"}},
	}
}

// ID is the blueprint's name@version.
func (b *Blueprint) ID() string { return b.id }

// Port is where the service that answers requests listens.
func (b *Blueprint) Port() int { return b.port }

// Health says how the service that answers requests is probed.
func (b *Blueprint) Health() berth.HealthCheck { return b.health }

// Image turns an imageTag into a full reference.
func (b *Blueprint) Image(imageTag string) (string, error) {
	return berth.ImageReference(b.repository, imageTag)
}

// Volumes are the volumes that an organization's tenant has.
func (b *Blueprint) Volumes(organizationID string) []berth.VolumeRecord {
	list := make([]berth.VolumeRecord, 0, len(b.volumes))
	for _, v := range b.volumes {
		list = append(list, berth.VolumeRecord{
			OrganizationID: organizationID, Name: berth.VolumeName(organizationID, v.name), Mount: v.target,
		})
	}
	return list
}

// Stack is what the tenant should run. env holds its own variables in clear,
// recorded the names of volumes that were made before, cores what the engine
// has (0 if not known).
func (b *Blueprint) Stack(t berth.Tenant, env map[string]string, recorded []string, cores int) (berth.Stack, error) {
	if t.Spec.ImageDigest == "" {
		return berth.Stack{}, berth.Errorf(berth.CodeInternal, "the tenant's image is not resolved").WithOp("make stack", t.OrganizationID)
	}
	if t.Spec.Blueprint != b.id {
		return berth.Stack{}, berth.Errorf(berth.CodeInvalidRequest, "the tenant was made from blueprint %s, which this Berth does not have", t.Spec.Blueprint).
			WithOp("make stack", t.OrganizationID).WithHint("deploy the tenant again")
	}
	reference, err := b.Image(t.Spec.ImageTag)
	if err != nil {
		return berth.Stack{}, err
	}
	labels, err := b.labels(t)
	if err != nil {
		return berth.Stack{}, err
	}
	if !t.Subnet.IsValid() || t.Subnet.Bits() > berth.SubnetBits {
		return berth.Stack{}, berth.Errorf(berth.CodeInternal, "the tenant's subnet %s is none", t.Subnet).WithOp("make stack", t.OrganizationID)
	}
	limits := t.Spec.Limits
	limits.CPU = limits.EffectiveCPU(cores)
	s := berth.Stack{
		OrganizationID: t.OrganizationID,
		Name:           t.Name,
		Generation:     t.Generation,
		Project:        berth.ContainerName(t.OrganizationID),
		Run:            t.Want == berth.WantRunning,
		Subnet:         t.Subnet,
		Network:        berth.NetworkName(t.OrganizationID),
		Services: []berth.Service{{
			Name: b.service, Main: true, Image: t.Spec.ImageDigest, Reference: reference,
			Replicas: t.Spec.Replicas, Port: b.port, User: b.user, Environment: b.environment(t, env),
			Limits: limits, PidsLimit: b.pids, Tmpfs: b.tmpfs, Health: b.health,
			Labels: labels, StopGrace: b.stopGrace,
		}},
	}
	for _, v := range b.Volumes(t.OrganizationID) {
		s.Services[0].Mounts = append(s.Services[0].Mounts, berth.Mount{Volume: v.Name, Target: v.Mount})
		s.Volumes = append(s.Volumes, berth.Volume{Name: v.Name, Recorded: slices.Contains(recorded, v.Name)})
	}
	return s, nil
}

// environment is what the tenant's containers see, sorted by name. What tells
// a tenant who it is can't be overridden.
func (b *Blueprint) environment(t berth.Tenant, own map[string]string) []berth.EnvVar {
	all := map[string]string{"NODE_ENV": "production"}
	maps.Copy(all, own)
	maps.Copy(all, b.identity(t))
	list := make([]berth.EnvVar, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, berth.EnvVar{Name: name, Value: all[name]})
	}
	return list
}

func (b *Blueprint) identity(t berth.Tenant) map[string]string {
	return map[string]string{
		"TENANT_ID": t.OrganizationID, "TENANT_NAME": t.Name, "TENANT_SLUG": t.Slug,
		"TENANT_URL": t.URL, "PORT": strconv.Itoa(b.port),
	}
}

// labels are the seed's, Traefik's and compose's. The rule of the router names
// a host, never a URL: a URL matches no request.
func (b *Blueprint) labels(t berth.Tenant) (map[string]string, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Hostname() == "" {
		return nil, berth.Errorf(berth.CodeInternal, "the tenant's URL %s has no host", berth.Quote(t.URL)).WithOp("make stack", t.OrganizationID)
	}
	project := berth.ContainerName(t.OrganizationID)
	return map[string]string{
		berth.LabelTenantID:                         t.OrganizationID,
		berth.LabelTenantName:                       t.Name,
		"traefik.enable":                            "true",
		"traefik.http.routers." + project + ".rule": "Host(`" + u.Hostname() + "`)",
		"traefik.http.services." + project + ".loadbalancer.server.port": strconv.Itoa(b.port),
		"com.docker.compose.project":                                     project,
		"com.docker.compose.service":                                     b.service,
		"com.docker.compose.oneoff":                                      "False",
		// Compose lists only containers that have one. What it holds matters
		// to compose alone: any other value than its own means "made anew".
		"com.docker.compose.config-hash": b.id,
	}, nil
}
