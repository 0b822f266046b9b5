package blueprint

import (
	"math"

	"github.com/unite-hub/berth"
)

// leastMemoryMB is the least that any container can do something with; Docker
// refuses less than 6 MB.
const leastMemoryMB = 16

// share parts a tenant's limits among its services and returns what one
// container of each gets. The sum over all containers never exceeds the
// tenant's limit.
//
// A service that states what it needs demands that; one that states nothing
// demands its share of the whole. If the demands exceed the limit, all are
// scaled down alike. The replicas of a service part what the service gets.
func (a *App) share(limits berth.Limits, replicas int) (map[string]berth.Limits, error) {
	shares := 0
	for _, s := range a.Services {
		shares += s.Share
	}
	// Whole hundredths of a core and whole megabytes: fractions of them are
	// given to no one.
	cpu := parts(a.Services, math.Round(limits.CPU*100), shares, func(s Service) float64 { return math.Round(s.CPU * 100) })
	memory := parts(a.Services, float64(limits.MemoryMB), shares, func(s Service) float64 { return float64(s.MemoryMB) })
	out := make(map[string]berth.Limits, len(a.Services))
	for i, s := range a.Services {
		n := s.Replicas
		if s.Name == a.Main {
			n = replicas
		}
		l := berth.Limits{CPU: math.Floor(cpu[i]/float64(n)) / 100, MemoryMB: int(memory[i] / float64(n)), DiskMB: limits.DiskMB}
		if l.MemoryMB < leastMemoryMB {
			return nil, berth.Errorf(berth.CodeInvalidMemory, "Memory limit is too small: a container of service %s would get %d MB, less than %d", s.Name, l.MemoryMB, leastMemoryMB).
				WithField("memoryLimitMb").WithHint("raise the tenant's memory limit, or lower its replicas")
		}
		if l.CPU < berth.MinCPU {
			return nil, berth.Errorf(berth.CodeInvalidCPU, "CPU limit is too small: a container of service %s would get less than %.2f cores", s.Name, berth.MinCPU).
				WithField("cpuLimit").WithHint("raise the tenant's CPU limit, or lower its replicas")
		}
		out[s.Name] = l
	}
	return out, nil
}

// parts returns what each service gets of whole, in whole units.
func parts(services []Service, whole float64, shares int, stated func(Service) float64) []float64 {
	list := make([]float64, len(services))
	sum := 0.0
	for i, s := range services {
		if list[i] = stated(s); list[i] == 0 {
			list[i] = math.Floor(whole * float64(s.Share) / float64(shares))
		}
		sum += list[i]
	}
	if sum > whole {
		for i := range list {
			list[i] = math.Floor(list[i] * whole / sum)
		}
	}
	return list
}
