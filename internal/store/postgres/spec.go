package postgres

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/unite-hub/berth"
)

// specJSON is a spec as history keeps it. The names are part of the stored
// format: they are added to, never renamed.
type specJSON struct {
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

func encodeSpec(s berth.Spec) (string, error) {
	return encodeJSON(specJSON{
		ImageTag: s.ImageTag, ImageDigest: s.ImageDigest, Images: s.Images, Blueprint: s.Blueprint, Release: s.Release,
		CPULimit: s.Limits.CPU, MemoryLimitMB: s.Limits.MemoryMB, DiskLimitMB: s.Limits.DiskMB,
		Replicas: s.Replicas, InternalPort: s.InternalPort, Environment: orEmpty(s.Environment),
	})
}

// spec reads a spec column.
func spec(dst *berth.Spec) any {
	return column[string, berth.Spec]{dst, decodeSpec}
}

// specOrNil reads a spec column that may be NULL.
func specOrNil(dst **berth.Spec) any {
	return column[string, *berth.Spec]{dst, func(v string) (*berth.Spec, error) {
		s, err := decodeSpec(v)
		return &s, err
	}}
}

func decodeSpec(v string) (berth.Spec, error) {
	var j specJSON
	if err := decodeJSON(v, &j); err != nil {
		return berth.Spec{}, err
	}
	return berth.Spec{
		ImageTag: j.ImageTag, ImageDigest: j.ImageDigest, Images: orEmpty(j.Images), Blueprint: j.Blueprint, Release: j.Release,
		Limits:   berth.Limits{CPU: j.CPULimit, MemoryMB: j.MemoryLimitMB, DiskMB: j.DiskLimitMB},
		Replicas: j.Replicas, InternalPort: j.InternalPort, Environment: orEmpty(j.Environment),
	}, nil
}

// stepJSON is a step as history keeps it.
type stepJSON struct {
	Name      string    `json:"name"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Error     string    `json:"error,omitempty"`
}

// encodeSteps gives nil, which is NULL, for none.
func encodeSteps(list []berth.DeploymentStep) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]stepJSON, 0, len(list))
	for _, s := range list {
		out = append(out, stepJSON(s))
	}
	return encodeJSON(out)
}

// steps reads a steps column.
func steps(dst *[]berth.DeploymentStep) any {
	return column[string, []berth.DeploymentStep]{dst, func(v string) ([]berth.DeploymentStep, error) {
		var in []stepJSON
		if err := decodeJSON(v, &in); err != nil {
			return nil, err
		}
		list := make([]berth.DeploymentStep, 0, len(in))
		for _, s := range in {
			list = append(list, berth.DeploymentStep(s))
		}
		return list, nil
	}}
}

// names reads a column that maps names to text. The map is never nil.
func names(dst *map[string]string) any {
	return column[string, map[string]string]{dst, func(v string) (map[string]string, error) {
		var m map[string]string
		err := decodeJSON(v, &m)
		return orEmpty(m), err
	}}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// encodeJSON encodes maps in key order. A NUL, which JSON can escape and jsonb
// can't hold, becomes the replacement character, as in text.
func encodeJSON(v any) (string, error) {
	data, err := json.Marshal(v)
	if !bytes.Contains(data, []byte(`\u0000`)) {
		return string(data), err
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(data[i:], []byte(`\u0000`)) {
			copy(data[i:], `\ufffd`)
		}
		i++ // what a backslash escapes begins nothing
	}
	return string(data), err
}

func decodeJSON(v string, dst any) error { return json.Unmarshal([]byte(v), dst) }
