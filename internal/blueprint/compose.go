package blueprint

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth"
)

// The part of the Compose Specification that a rendered file uses, in the
// order in which it is written. Maps are written in key order, so that the
// same tenant always gives the same bytes.
type composeFile struct {
	Name     string                    `yaml:"name"`
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]composeVolume  `yaml:"volumes"`
	Networks map[string]composeNetwork `yaml:"networks"`
}

type composeService struct {
	ContainerName string            `yaml:"container_name,omitempty"`
	Image         string            `yaml:"image"`
	User          string            `yaml:"user"`
	ReadOnly      bool              `yaml:"read_only"`
	CapDrop       []string          `yaml:"cap_drop"`
	SecurityOpt   []string          `yaml:"security_opt"`
	Tmpfs         []string          `yaml:"tmpfs"`
	Restart       string            `yaml:"restart"`
	Ports         []string          `yaml:"ports,omitempty"`
	Environment   map[string]string `yaml:"environment"`
	Deploy        composeDeploy     `yaml:"deploy"`
	Volumes       []string          `yaml:"volumes"`
	Networks      []string          `yaml:"networks"`
	Labels        map[string]string `yaml:"labels"`
	Logging       composeLogging    `yaml:"logging"`
	StopGrace     string            `yaml:"stop_grace_period"`
}

type composeDeploy struct {
	Replicas  int              `yaml:"replicas,omitempty"`
	Resources composeResources `yaml:"resources"`
}

type composeResources struct {
	Limits       composeLimits `yaml:"limits"`
	Reservations composeLimits `yaml:"reservations"`
}

type composeLimits struct {
	CPUs   string `yaml:"cpus"`
	Memory string `yaml:"memory"`
	Pids   int64  `yaml:"pids,omitempty"`
}

type composeLogging struct {
	Driver  string            `yaml:"driver"`
	Options map[string]string `yaml:"options"`
}

type composeVolume struct {
	Name string `yaml:"name"`
}

type composeNetwork struct {
	Name   string      `yaml:"name"`
	Driver string      `yaml:"driver"`
	IPAM   composeIPAM `yaml:"ipam"`
}

type composeIPAM struct {
	Config []composeSubnet `yaml:"config"`
}

type composeSubnet struct {
	Subnet string `yaml:"subnet"`
}

// The seed's reservations, where the limits leave room for them.
const (
	reservedCPU      = 0.25
	reservedMemoryMB = 256
)

// Compose renders the tenant as a compose file. Its own variables appear as
// references: no value that may be secret is in the file.
//
// The file has no health check: no command is known to exist in the image
// (the seed's curl does not), and Berth probes over HTTP from outside.
func (b *Blueprint) Compose(t berth.Tenant) ([]byte, error) {
	labels, err := b.labels(t)
	if err != nil {
		return nil, err
	}
	for name := range labels { // compose sets its own
		if strings.HasPrefix(name, "com.docker.compose.") {
			delete(labels, name)
		}
	}
	image, err := b.pinned(t)
	if err != nil {
		return nil, err
	}
	service := composeService{
		ContainerName: berth.ContainerName(t.OrganizationID),
		Image:         image,
		User:          b.user,
		ReadOnly:      true,
		CapDrop:       []string{"ALL"},
		SecurityOpt:   []string{"no-new-privileges:true"},
		Restart:       "unless-stopped",
		Ports:         []string{strconv.Itoa(t.ExternalPort) + ":" + strconv.Itoa(b.port)},
		Environment:   b.composeEnvironment(t),
		Deploy:        composeDeploy{Resources: resources(t.Spec.Limits, b.pids)},
		Networks:      []string{"tenant"},
		Labels:        escaped(labels),
		Logging:       composeLogging{Driver: "local", Options: map[string]string{"max-size": "10m", "max-file": "3"}},
		StopGrace:     strconv.Itoa(b.stopGrace) + "s",
	}
	if t.Spec.Replicas > 1 {
		// Compose can neither name nor publish several containers of one service alike.
		service.ContainerName, service.Ports, service.Deploy.Replicas = "", nil, t.Spec.Replicas
	}
	for _, m := range b.tmpfs {
		service.Tmpfs = append(service.Tmpfs, fmt.Sprintf("%s:size=%dm", m.Target, m.SizeMB))
	}
	file := composeFile{
		Name:     berth.ContainerName(t.OrganizationID),
		Services: map[string]composeService{},
		Volumes:  map[string]composeVolume{},
		Networks: map[string]composeNetwork{"tenant": {
			Name: berth.NetworkName(t.OrganizationID), Driver: "bridge",
			IPAM: composeIPAM{Config: []composeSubnet{{Subnet: t.Subnet.String()}}},
		}},
	}
	for _, v := range b.volumes {
		service.Volumes = append(service.Volumes, v.name+":"+v.target)
		file.Volumes[v.name] = composeVolume{Name: berth.VolumeName(t.OrganizationID, v.name)}
	}
	file.Services[b.service] = service
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(file); err != nil {
		return nil, berth.Errorf(berth.CodeInternal, "encode compose file: %w", err).WithOp("render compose file", t.OrganizationID)
	}
	return out.Bytes(), nil
}

// pinned is the image as exactly as it is known: by digest once resolved.
func (b *Blueprint) pinned(t berth.Tenant) (string, error) {
	if t.Spec.ImageDigest != "" {
		return t.Spec.ImageDigest, nil
	}
	return b.Image(t.Spec.ImageTag)
}

// composeEnvironment has the identity in clear and the tenant's own variables
// as references, which compose reads from the .env file beside.
func (b *Blueprint) composeEnvironment(t berth.Tenant) map[string]string {
	env := map[string]string{"NODE_ENV": "production"}
	for name := range t.Spec.Environment {
		env[name] = "${" + name + "}"
	}
	maps.Copy(env, escaped(b.identity(t)))
	return env
}

// escaped doubles the dollar signs of values, so that compose takes them as
// they are.
func escaped(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		out[name] = strings.ReplaceAll(value, "$", "$$")
	}
	return out
}

// resources never reserves more than the limit.
func resources(l berth.Limits, pids int64) composeResources {
	cpus := func(cores float64) string { return strconv.FormatFloat(cores, 'f', 2, 64) }
	memory := func(mb int) string { return strconv.Itoa(mb) + "M" }
	return composeResources{
		Limits:       composeLimits{CPUs: cpus(l.CPU), Memory: memory(l.MemoryMB), Pids: pids},
		Reservations: composeLimits{CPUs: cpus(min(reservedCPU, l.CPU)), Memory: memory(min(reservedMemoryMB, l.MemoryMB))},
	}
}
