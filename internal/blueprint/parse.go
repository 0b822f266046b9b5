package blueprint

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/unite-hub/berth"
)

// TEMPORARY: reads valid files only, until the parser stands.

type tmpFile struct {
	Name     string
	Services map[string]struct {
		Image       string
		User        string
		Command     []string
		Entrypoint  []string
		Environment map[string]string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Volumes     []string
		Tmpfs       []string
		Restart     string
		StopSignal  string `yaml:"stop_signal"`
		StopGrace   string `yaml:"stop_grace_period"`
		Healthcheck *struct {
			Test              []string
			Interval, Timeout string
			Retries           int
			StartPeriod       string `yaml:"start_period"`
		}
	}
	Volumes map[string]any
	Berth   struct {
		Service string
		Port    int
		Health  struct {
			Path, Interval, Timeout string
			Retries                 int
			StartPeriod             string `yaml:"start_period"`
		}
		Limits struct {
			CPUs     float64
			MemoryMB int `yaml:"memory_mb"`
			DiskMB   int `yaml:"disk_mb"`
		}
		Shares    map[string]int
		Variables map[string]struct {
			Description, Pattern string
			Required, Secret     bool
		}
		Volumes  map[string]struct{ Shared bool }
		Writable map[string][]string
	} `yaml:"x-berth"`
}

func Parse(source []byte) (*App, []Finding) {
	var f tmpFile
	if err := yaml.Unmarshal(source, &f); err != nil {
		return nil, []Finding{{Kind: Invalid, Rule: err.Error()}}
	}
	dur := func(s string, def time.Duration) time.Duration {
		d, err := time.ParseDuration(s)
		if err != nil {
			return def
		}
		return d
	}
	texts := func(list []string) (out []Text) {
		for _, s := range list {
			t, err := ParseText(s)
			if err != nil {
				panic(err)
			}
			out = append(out, t)
		}
		return out
	}
	x := f.Berth
	a := &App{Name: f.Name, Main: x.Service, Port: x.Port, Health: berth.HealthCheck{
		Path: x.Health.Path, Interval: dur(x.Health.Interval, defaultInterval), Timeout: dur(x.Health.Timeout, defaultTimeout),
		Retries: x.Health.Retries, StartPeriod: dur(x.Health.StartPeriod, defaultStartPeriod),
	}, Limits: berth.Limits{CPU: x.Limits.CPUs, MemoryMB: x.Limits.MemoryMB, DiskMB: x.Limits.DiskMB}}
	for _, name := range slices.Sorted(maps.Keys(f.Volumes)) {
		a.Volumes = append(a.Volumes, Volume{name, x.Volumes[name].Shared})
	}
	for _, name := range slices.Sorted(maps.Keys(x.Variables)) {
		v := x.Variables[name]
		a.Variables = append(a.Variables, Variable{Name: name, Description: v.Description, Required: v.Required, Secret: v.Secret, Pattern: v.Pattern})
	}
	left := slices.Sorted(maps.Keys(f.Services))
	done := map[string]bool{}
	for len(left) > 0 {
		for i, name := range left {
			s := f.Services[name]
			ready := true
			for d := range s.DependsOn {
				ready = ready && done[d]
			}
			if !ready {
				continue
			}
			svc := Service{Name: name, Image: s.Image, User: s.User, Command: texts(s.Command), Entrypoint: texts(s.Entrypoint),
				Once: s.Restart == "no", Replicas: 1, Share: max(1, x.Shares[name]), PidsLimit: defaultPids, StopSignal: s.StopSignal,
				StopGrace: int(dur(s.StopGrace, defaultStopGrace*time.Second).Seconds()), TenantEnvironment: name == x.Service}
			for _, k := range slices.Sorted(maps.Keys(s.Environment)) {
				t, _ := ParseText(s.Environment[k])
				svc.Environment = append(svc.Environment, Env{k, &t})
			}
			for _, k := range slices.Sorted(maps.Keys(s.DependsOn)) {
				svc.DependsOn = append(svc.DependsOn, berth.Dependency{Service: k, Condition: berth.Condition(s.DependsOn[k].Condition)})
			}
			for _, v := range s.Volumes {
				key, target, _ := strings.Cut(v, ":")
				svc.Mounts = append(svc.Mounts, VolumeMount{Volume: key, Target: target})
			}
			slices.SortFunc(svc.Mounts, func(a, b VolumeMount) int { return strings.Compare(a.Target, b.Target) })
			for _, t := range append([]string{tmpDir}, append(s.Tmpfs, x.Writable[name]...)...) {
				if !slices.ContainsFunc(svc.Tmpfs, func(o berth.Tmpfs) bool { return o.Target == t }) {
					svc.Tmpfs = append(svc.Tmpfs, berth.Tmpfs{Target: t, SizeMB: defaultTmpfsMB})
				}
			}
			slices.SortFunc(svc.Tmpfs, func(a, b berth.Tmpfs) int { return strings.Compare(a.Target, b.Target) })
			if h := s.Healthcheck; h != nil {
				svc.Probe = &HealthCommand{Test: texts(h.Test), Interval: dur(h.Interval, 0), Timeout: dur(h.Timeout, 0), Retries: h.Retries, StartPeriod: dur(h.StartPeriod, 0)}
			}
			a.Services = append(a.Services, svc)
			done[name] = true
			left = slices.Delete(left, i, i+1)
			break
		}
	}
	_, _ = strconv.Itoa(0), fmt.Sprint()
	return a, nil
}
