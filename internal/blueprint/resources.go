package blueprint

import (
	"math"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/unite-hub/berth"
)

// resources is what the service asks for, 0 where it states nothing.
func (s serviceParser) resources() (cpu float64, memoryMB int, pids int64) {
	cpu, memory, pids := float64(s.from.CPUS), int64(s.from.MemLimit), s.from.PidsLimit
	var reservedCPU float64
	reserved := int64(s.from.MemReservation)
	if d := s.from.Deploy; d != nil {
		if l := d.Resources.Limits; l != nil {
			cpu, memory, pids = max(cpu, float64(l.NanoCPUs)), max(memory, int64(l.MemoryBytes)), max(pids, l.Pids)
		}
		if r := d.Resources.Reservations; r != nil {
			reservedCPU, reserved = float64(r.NanoCPUs), max(reserved, int64(r.MemoryBytes))
		}
	}
	s.contradictions()
	cpuFits := cpu == 0 || cpu >= berth.MinCPU && cpu <= berth.MaxCPU // false for NaN too
	if !cpuFits {
		s.wrong(cpuKey(s.from), "give cores such as 0.5", "%v is not from %v to %v", cpu, berth.MinCPU, berth.MaxCPU)
	}
	memoryFits := memory == 0 || memory >= leastMemoryMB*berth.BytesPerMB && memory <= berth.MaxMemoryMB*berth.BytesPerMB
	if !memoryFits {
		s.wrong(memoryKey(s.from), "give a size such as 256M", "%d bytes are not from %d MB to %d MB", memory, leastMemoryMB, berth.MaxMemoryMB)
	}
	if math.IsNaN(reservedCPU) || cpu > 0 && reservedCPU > cpu || memory > 0 && reserved > memory {
		s.wrong("deploy.resources.reservations", "reserve no more than the limit", "more is reserved than the limit allows")
	}
	if pids == 0 {
		pids = defaultPids
	}
	if pids < 1 || pids > 4096 {
		key := "pids_limit"
		if s.from.PidsLimit != pids {
			key = "deploy.resources.limits.pids"
		}
		s.wrong(key, "give a number from 1 to 4096", "%d is not from 1 to 4096", pids)
	}
	if !cpuFits {
		cpu = 0 // what the services ask for together says nothing more
	}
	if !memoryFits {
		memory = 0
	}
	return math.Round(cpu*100) / 100, int(memory / berth.BytesPerMB), pids
}

// cpuKey and memoryKey are the attributes that a service's limits come from: the larger
// of two.
func cpuKey(from types.ServiceConfig) string {
	d := from.Deploy // a limit that is no number is larger than none
	if from.CPUS == 0 || d != nil && d.Resources.Limits != nil && !(d.Resources.Limits.NanoCPUs.Value() <= from.CPUS) {
		return "deploy.resources.limits.cpus"
	}
	return "cpus"
}

func memoryKey(from types.ServiceConfig) string {
	d := from.Deploy
	if from.MemLimit == 0 || d != nil && d.Resources.Limits != nil && d.Resources.Limits.MemoryBytes > from.MemLimit {
		return "deploy.resources.limits.memory"
	}
	return "mem_limit"
}

// contradictions refuses an attribute that is there twice, with two values, and
// one that takes a limit away.
func (s serviceParser) contradictions() {
	var limits, reservations types.Resource
	limited := false
	if d := s.from.Deploy; d != nil {
		limits, reservations = or(d.Resources.Limits), or(d.Resources.Reservations)
		limited = d.Resources.Limits != nil
	}
	for _, c := range []struct {
		key, deploy     string
		value, deployed float64
	}{
		{"cpus", "limits.cpus", float64(s.from.CPUS), float64(limits.NanoCPUs)},
		{"mem_limit", "limits.memory", float64(s.from.MemLimit), float64(limits.MemoryBytes)},
		{"pids_limit", "limits.pids", float64(s.from.PidsLimit), float64(limits.Pids)},
		{"mem_reservation", "reservations.memory", float64(s.from.MemReservation), float64(reservations.MemoryBytes)},
	} {
		deploy := "deploy.resources." + c.deploy
		here, there := s.node.at(c.key) != nil, s.node.at(deploy) != nil
		for key, none := range map[string]bool{
			c.key:  here && (c.value == 0 || c.value < 0 && limited), // below 0 and alone it is out of bounds
			deploy: there && c.deployed <= 0,
		} {
			if none && c.key != "mem_reservation" {
				s.addNew(s.node, s.path+"."+key, NotSupported, "takes the limit away, and every service has one", "state one, or leave it out")
			}
		}
		if here && there && c.value != c.deployed {
			s.addNew(s.node, s.path+"."+c.key, Invalid, c.key+" and "+deploy+" differ", "leave one of the two out")
		}
	}
}

func or(r *types.Resource) types.Resource {
	if r == nil {
		return types.Resource{}
	}
	return *r
}
