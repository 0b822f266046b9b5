package row

import (
	"encoding/json"
	"time"

	"github.com/unite-hub/berth"
)

// Spec is a spec as history keeps it. The names are part of the stored format:
// they are added to, never renamed.
type Spec struct {
	ImageTag      string            `json:"imageTag"`
	ImageDigest   string            `json:"imageDigest,omitempty"`
	Images        map[string]string `json:"images,omitempty"` // service to pin
	Blueprint     string            `json:"blueprint"`
	Release       int               `json:"release,omitempty"`
	CPULimit      float64           `json:"cpuLimit"`
	MemoryLimitMB int               `json:"memoryLimitMb"`
	DiskLimitMB   int               `json:"diskLimitMb"`
	Replicas      int               `json:"replicas"`
	InternalPort  int               `json:"internalPort"`
	Environment   map[string]string `json:"environment"` // variable name to secret version id
}

// NewSpec returns what is kept of s.
func NewSpec(s berth.Spec) Spec {
	return Spec{
		ImageTag: s.ImageTag, ImageDigest: s.ImageDigest, Images: s.Images, Blueprint: s.Blueprint, Release: s.Release,
		CPULimit: s.Limits.CPU, MemoryLimitMB: s.Limits.MemoryMB, DiskLimitMB: s.Limits.DiskMB,
		Replicas: s.Replicas, InternalPort: s.InternalPort, Environment: Names(s.Environment),
	}
}

// ParseSpec reads the JSON of a Spec. The maps of what it returns are never nil.
// Errors are those of encoding/json.
func ParseSpec(text string) (berth.Spec, error) {
	s, err := Parse[Spec](text)
	if err != nil {
		return berth.Spec{}, err
	}
	return berth.Spec{
		ImageTag: s.ImageTag, ImageDigest: s.ImageDigest, Images: Names(s.Images), Blueprint: s.Blueprint, Release: s.Release,
		Limits:   berth.Limits{CPU: s.CPULimit, MemoryMB: s.MemoryLimitMB, DiskMB: s.DiskLimitMB},
		Replicas: s.Replicas, InternalPort: s.InternalPort, Environment: Names(s.Environment),
	}, nil
}

// Previous is what a tenant was before a deployment, as history keeps it.
type Previous struct {
	Spec
	TenantName string `json:"tenantName,omitempty"`
}

// previousOf reads the JSON of a Previous into d. A store does not call it for
// NULL, which is none.
func previousOf(d *berth.Deployment) func(text string) (*berth.Spec, error) {
	return func(text string) (*berth.Spec, error) {
		s, err := ParseSpec(text)
		if err != nil {
			return nil, err
		}
		p, err := Parse[Previous](text)
		d.PreviousName = p.TenantName
		return &s, err
	}
}

// Step is a deployment's step as history keeps it.
type Step struct {
	Name      string    `json:"name"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Error     string    `json:"error,omitempty"`
}

// NewSteps returns what is kept of a deployment's steps, in their order.
func NewSteps(list []berth.DeploymentStep) []Step {
	out := make([]Step, 0, len(list))
	for _, s := range list {
		out = append(out, Step(s))
	}
	return out
}

// ParseSteps reads the JSON of a list of Steps. Errors are those of
// encoding/json.
func ParseSteps(text string) ([]berth.DeploymentStep, error) {
	in, err := Parse[[]Step](text)
	if err != nil {
		return nil, err
	}
	list := make([]berth.DeploymentStep, 0, len(in))
	for _, s := range in {
		list = append(list, berth.DeploymentStep(s))
	}
	return list, nil
}

// Names returns m, which maps names to text, as it is kept: never nil.
func Names(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// ParseNames reads the JSON of Names. Errors are those of encoding/json.
func ParseNames(text string) (map[string]string, error) {
	m, err := Parse[map[string]string](text)
	return Names(m), err
}

// Parse reads JSON that a store keeps. Errors are those of encoding/json.
func Parse[T any](text string) (v T, err error) {
	err = json.Unmarshal([]byte(text), &v)
	return v, err
}
