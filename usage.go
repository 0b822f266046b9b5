package berth

import (
	"math"
	"time"
)

// Sample is what the kernel had counted for one container at one moment.
// Counters begin at zero when the container starts.
type Sample struct {
	ContainerID string // the engine's
	At          time.Time
	StartedAt   time.Time // of the container: another start means other counters

	CPU         Maybe[time.Duration] // time used, of all cores together
	Throttled   Maybe[int64]         // periods in which it wanted more than its limit
	Memory      Maybe[int64]         // bytes in use, without page cache that the kernel can take back
	MemoryLimit Maybe[int64]         // bytes
	OOMKills    Maybe[int64]
	Pids        Maybe[int64]
	NetworkRx   Maybe[int64] // bytes
	NetworkTx   Maybe[int64] // bytes
	DiskRead    Maybe[int64] // bytes
	DiskWritten Maybe[int64] // bytes
}

// Traffic is what the edge has counted for one tenant since it started.
type Traffic struct {
	Requests int64
	Errors   int64         // answers of 500 and above, and requests that got none
	Time     time.Duration // of all requests together, until the end of their answers' headers
	UnderWay int64         // now; upgraded connections among them
	Held     int64         // of those, kept waiting now
}

// Reading is how a tenant does now: the sum over its containers, from the two
// newest samples of each.
type Reading struct {
	OrganizationID string
	At             time.Time
	Containers     int            // that were read
	CPUPercent     Maybe[float64] // 100 is one core
	MemoryBytes    Maybe[int64]
	MemoryLimit    Maybe[int64] // bytes
	Pids           Maybe[int64]
	DiskBytes      Maybe[int64] // of volumes and writable layers, as last measured

	// Counters since Berth began to watch the tenant; they survive restarts of
	// its containers, and begin anew with Berth.
	CPUSeconds  Maybe[float64]
	Throttled   Maybe[int64]
	OOMKills    Maybe[int64]
	NetworkRx   Maybe[int64]
	NetworkTx   Maybe[int64]
	DiskRead    Maybe[int64]
	DiskWritten Maybe[int64]
	Traffic     Traffic
}

// Resolution is the length of a usage period.
type Resolution string

const (
	ByMinute Resolution = "minute"
	ByHour   Resolution = "hour"
	ByDay    Resolution = "day"
)

// Usage is what a tenant used in one period: a row of tenant_resource_usage.
type Usage struct {
	OrganizationID string
	Resolution     Resolution
	Start, End     time.Time // the true period: what was counted was counted in it

	CPUPercentAvg Maybe[float64] // 100 is one core; of the whole period
	CPUPercentMax Maybe[float64] // the highest between two samples
	Throttled     Maybe[int64]
	MemoryAvg     Maybe[int64] // bytes, mean of the samples
	MemoryMax     Maybe[int64] // bytes, highest of the samples
	MemoryLimit   Maybe[int64] // bytes
	OOMKills      Maybe[int64]
	NetworkRx     Maybe[int64] // bytes
	NetworkTx     Maybe[int64] // bytes
	Disk          Maybe[int64] // bytes, as last measured
	DiskRead      Maybe[int64] // bytes
	DiskWritten   Maybe[int64] // bytes
	Requests      Maybe[int64]
	Errors        Maybe[int64]
	ResponseTime  Maybe[time.Duration] // mean
	Samples       int                  // that MemoryAvg is the mean of
}

// Mark is where a tenant's counters stood when its last period ended. It is
// stored with that period, so that the next one begins exactly there, whatever
// happens to Berth in between.
type Mark struct {
	OrganizationID string
	End            time.Time
	Samples        []Sample // the last of each container; gauges are left out
}

// RollUp sums periods of one tenant up to one. Counts are added, means are
// weighted by time, and what no period knows stays unknown. periods are by
// start and must not be empty.
func RollUp(resolution Resolution, periods []Usage) Usage {
	sum := Usage{OrganizationID: periods[0].OrganizationID, Resolution: resolution, Start: periods[0].Start}
	var cpu, memory, response mean
	for _, p := range periods {
		if p.End.After(sum.End) {
			sum.End = p.End
		}
		weight := p.End.Sub(p.Start).Seconds()
		cpu.add(p.CPUPercentAvg, weight)
		memory.add(float(p.MemoryAvg), weight)
		response.add(float(p.ResponseTime), float64(p.Requests.Value))
		most(&sum.CPUPercentMax, p.CPUPercentMax)
		most(&sum.MemoryMax, p.MemoryMax)
		latest(&sum.MemoryLimit, p.MemoryLimit)
		latest(&sum.Disk, p.Disk)
		for _, c := range []struct {
			to   *Maybe[int64]
			from Maybe[int64]
		}{
			{&sum.Throttled, p.Throttled}, {&sum.OOMKills, p.OOMKills}, {&sum.NetworkRx, p.NetworkRx}, {&sum.NetworkTx, p.NetworkTx},
			{&sum.DiskRead, p.DiskRead}, {&sum.DiskWritten, p.DiskWritten}, {&sum.Requests, p.Requests}, {&sum.Errors, p.Errors},
		} {
			add(c.to, c.from)
		}
		sum.Samples += p.Samples
	}
	sum.CPUPercentAvg = cpu.value()
	if m := memory.value(); m.Known {
		sum.MemoryAvg = Known(int64(math.Round(m.Value)))
	}
	if r := response.value(); r.Known {
		sum.ResponseTime = Known(time.Duration(math.Round(r.Value)))
	}
	return sum
}

// mean is weighted; what is unknown or weighs nothing does not count.
type mean struct{ sum, weight float64 }

func (m *mean) add(v Maybe[float64], weight float64) {
	if v.Known && weight > 0 {
		m.sum += v.Value * weight
		m.weight += weight
	}
}

func (m *mean) value() Maybe[float64] {
	if m.weight == 0 {
		return Maybe[float64]{}
	}
	return Known(m.sum / m.weight)
}

func float[T ~int64](v Maybe[T]) Maybe[float64] {
	return Maybe[float64]{float64(v.Value), v.Known}
}

func add(to *Maybe[int64], v Maybe[int64]) {
	if v.Known {
		to.Value, to.Known = to.Value+v.Value, true
	}
}

func most[T int64 | float64](to *Maybe[T], v Maybe[T]) {
	if v.Known && (!to.Known || v.Value > to.Value) {
		*to = v
	}
}

func latest[T any](to *Maybe[T], v Maybe[T]) {
	if v.Known {
		*to = v
	}
}
