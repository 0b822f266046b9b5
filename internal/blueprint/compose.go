package blueprint

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth"
)

// The part of the Compose Specification that a rendered file uses, in the
// order in which it is written. Maps are written in key order, so that the
// same tenant always gives the same bytes. There is no name at the top, which
// docker-compose 1 does not know: the directory and the .env file have it.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]composeVolume  `yaml:"volumes,omitempty"`
	Networks map[string]composeNetwork `yaml:"networks"`
	Secrets  map[string]composeSecret  `yaml:"secrets,omitempty"`
}

// composeService states limits at the service: docker-compose 1 does not know
// a limit of processes below deploy, and later ones refuse to have it in one
// place only.
type composeService struct {
	ContainerName string                      `yaml:"container_name,omitempty"`
	Image         string                      `yaml:"image"`
	Entrypoint    []string                    `yaml:"entrypoint,omitempty"`
	Command       []string                    `yaml:"command,omitempty"`
	WorkingDir    string                      `yaml:"working_dir,omitempty"`
	User          string                      `yaml:"user"`
	ReadOnly      bool                        `yaml:"read_only"`
	Init          bool                        `yaml:"init"`
	CapDrop       []string                    `yaml:"cap_drop"`
	CapAdd        []string                    `yaml:"cap_add,omitempty"`
	SecurityOpt   []string                    `yaml:"security_opt"`
	Tmpfs         []string                    `yaml:"tmpfs,omitempty"`
	ShmSize       string                      `yaml:"shm_size,omitempty"`
	Restart       string                      `yaml:"restart"`
	DependsOn     map[string]composeCondition `yaml:"depends_on,omitempty"`
	Ports         []string                    `yaml:"ports,omitempty"`
	Environment   map[string]string           `yaml:"environment"`
	Healthcheck   *composeHealth              `yaml:"healthcheck,omitempty"`
	CPUs          float64                     `yaml:"cpus"`
	MemLimit      string                      `yaml:"mem_limit"`
	MemswapLimit  string                      `yaml:"memswap_limit"`
	PidsLimit     int64                       `yaml:"pids_limit"`
	Scale         int                         `yaml:"scale,omitempty"`
	Deploy        composeDeploy               `yaml:"deploy"`
	Volumes       []string                    `yaml:"volumes,omitempty"`
	Networks      map[string]composeAliases   `yaml:"networks"`
	Secrets       []composeSecretUse          `yaml:"secrets,omitempty"`
	Labels        map[string]string           `yaml:"labels"`
	Logging       composeLogging              `yaml:"logging"`
	StopSignal    string                      `yaml:"stop_signal,omitempty"`
	StopGrace     string                      `yaml:"stop_grace_period"`
	Ulimits       map[string]int              `yaml:"ulimits"`
}

type composeCondition struct {
	Condition berth.Condition `yaml:"condition"`
}

type composeHealth struct {
	Disable     bool     `yaml:"disable,omitempty"`
	Test        []string `yaml:"test,omitempty"`
	Interval    string   `yaml:"interval,omitempty"`
	Timeout     string   `yaml:"timeout,omitempty"`
	Retries     int      `yaml:"retries,omitempty"`
	StartPeriod string   `yaml:"start_period,omitempty"`
}

type composeDeploy struct {
	Replicas  int              `yaml:"replicas,omitempty"`
	Resources composeResources `yaml:"resources"`
}

type composeResources struct {
	Reservations composeReservations `yaml:"reservations"`
}

type composeReservations struct {
	CPUs   string `yaml:"cpus"`
	Memory string `yaml:"memory"`
}

type composeLogging struct {
	Driver  string            `yaml:"driver"`
	Options map[string]string `yaml:"options"`
}

type composeVolume struct {
	Name string `yaml:"name"`
}

type composeAliases struct {
	Aliases []string `yaml:"aliases,omitempty"`
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

// network is the key of the tenant's network in a rendered file: the one that
// compose uses where a file names none.
const network = "default"

// openFiles is the limit of open files of one process, as the engine sets it.
const openFiles = 16384

// Compose renders the tenant as a compose file that runs without Berth, on an
// engine with so many cores (0 if not known). Its own variables appear as
// references: no value that may be secret is in the file.
func (b *Blueprint) Compose(t berth.Tenant, cores int) ([]byte, error) {
	s, err := b.stack(t, references{t.Spec.Environment}, nil, cores)
	if err != nil {
		return nil, err
	}
	file := composeFile{
		Services: map[string]composeService{},
		Volumes:  map[string]composeVolume{},
		Networks: map[string]composeNetwork{network: {
			Name: s.Network, Driver: "bridge",
			IPAM: composeIPAM{Config: []composeSubnet{{Subnet: s.Subnet.String()}}},
		}},
	}
	for _, v := range s.Volumes {
		file.Volumes[v.Key] = composeVolume{Name: v.Name}
	}
	for _, svc := range s.Services {
		rendered := renderService(s, svc)
		b.renderSecrets(&file, svc, &rendered)
		if svc.Main && svc.Replicas == 1 {
			rendered.ContainerName = berth.ContainerName(t.OrganizationID)
			rendered.Ports = []string{strconv.Itoa(t.ExternalPort) + ":" + strconv.Itoa(svc.Port)}
		}
		file.Services[svc.Name] = rendered
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(file); err != nil {
		return nil, berth.Errorf(berth.CodeInternal, "encode compose file: %w", err).WithOp("render compose file", t.OrganizationID)
	}
	return out.Bytes(), nil
}

func renderService(s berth.Stack, svc berth.Service) composeService {
	c := composeService{
		Image:        svc.Image,
		Entrypoint:   escapedAll(svc.Entrypoint),
		Command:      escapedAll(svc.Command),
		WorkingDir:   escaped(svc.WorkingDir),
		User:         svc.User,
		ReadOnly:     true,
		Init:         true,
		CapDrop:      []string{"ALL"},
		CapAdd:       svc.Capabilities,
		SecurityOpt:  []string{"no-new-privileges:true"},
		Restart:      "unless-stopped",
		Environment:  map[string]string{},
		Healthcheck:  renderHealth(svc),
		CPUs:         svc.Limits.CPU,
		MemLimit:     megabytes(svc.Limits.MemoryMB),
		MemswapLimit: megabytes(svc.Limits.MemoryMB),
		PidsLimit:    svc.PidsLimit,
		Deploy:       composeDeploy{Resources: resources(svc.Limits)},
		Networks:     map[string]composeAliases{network: {Aliases: svc.Aliases}},
		Labels:       map[string]string{},
		Logging:      composeLogging{Driver: "local", Options: map[string]string{"max-size": "10m", "max-file": "3"}},
		StopSignal:   svc.StopSignal,
		StopGrace:    strconv.Itoa(svc.StopGrace) + "s",
		Ulimits:      map[string]int{"nofile": openFiles},
	}
	if c.Image == "" { // not resolved yet
		c.Image = svc.Reference
	}
	if svc.Once {
		c.Restart = "no"
	}
	if svc.ShmMB > 0 {
		c.ShmSize = megabytes(svc.ShmMB)
	}
	if svc.Replicas > 1 {
		c.Scale, c.Deploy.Replicas = svc.Replicas, svc.Replicas
	}
	for _, e := range svc.Environment {
		c.Environment[e.Name] = escaped(e.Value)
	}
	for name, value := range svc.Labels {
		if !strings.HasPrefix(name, "com.docker.compose.") { // compose sets its own
			c.Labels[escaped(name)] = escaped(value)
		}
	}
	for _, m := range svc.Tmpfs {
		c.Tmpfs = append(c.Tmpfs, fmt.Sprintf("%s:rw,noexec,nosuid,nodev,mode=1777,size=%dm", m.Target, m.SizeMB))
	}
	for _, m := range svc.Mounts {
		mount := keyOf(s, m.Volume) + ":" + m.Target
		if m.ReadOnly {
			mount += ":ro"
		}
		c.Volumes = append(c.Volumes, mount)
	}
	if len(svc.DependsOn) > 0 {
		c.DependsOn = map[string]composeCondition{}
		for _, d := range svc.DependsOn {
			c.DependsOn[d.Service] = composeCondition{d.Condition}
		}
	}
	return c
}

func keyOf(s berth.Stack, volume string) string {
	i := slices.IndexFunc(s.Volumes, func(v berth.Volume) bool { return v.Name == volume })
	return s.Volumes[i].Key // Parse refuses a mount of a volume that is not declared
}

func renderHealth(svc berth.Service) *composeHealth {
	switch p := svc.HealthProbe; {
	case svc.NoHealth:
		return &composeHealth{Disable: true}
	case p == nil:
		return nil
	default:
		return &composeHealth{
			Test: escapedAll(p.Test), Interval: p.Interval.String(), Timeout: p.Timeout.String(),
			Retries: p.Retries, StartPeriod: p.StartPeriod.String(),
		}
	}
}

func megabytes(n int) string { return strconv.Itoa(n) + "M" }

// resources never reserves more than the limit.
func resources(l berth.Limits) composeResources {
	return composeResources{Reservations: composeReservations{
		CPUs: strconv.FormatFloat(min(reservedCPU, l.CPU), 'f', 2, 64), Memory: megabytes(min(reservedMemoryMB, l.MemoryMB)),
	}}
}
