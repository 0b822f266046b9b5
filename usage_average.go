package berth

import "time"

// UsageAverage is what a list of periods comes to: the seed's
// get_container_avg_resource_usage, and the rest of the columns.
type UsageAverage struct {
	// From and To are where the first period begins and the last one ends;
	// Covered is how much of that the periods fill. Zero without any.
	From, To time.Time
	Covered  time.Duration

	CPUPercentAvg Maybe[float64] // 100 is one core; each period weighs as much as it lasted
	CPUPercentMax Maybe[float64]
	MemoryAvg     Maybe[int64] // bytes; each period weighs as much as it lasted
	MemoryMax     Maybe[int64] // bytes
	Disk          Maybe[int64] // bytes, the newest that is known
	Throttled     Maybe[int64]
	OOMKills      Maybe[int64]
	NetworkRx     Maybe[int64] // bytes
	NetworkTx     Maybe[int64] // bytes
	DiskRead      Maybe[int64] // bytes
	DiskWritten   Maybe[int64] // bytes
	Requests      Maybe[int64]
	Errors        Maybe[int64]
	ResponseTime  Maybe[time.Duration] // mean over the requests
}

// AverageUsage sums counters up and weighs levels by the length of their
// periods. A period in which a figure is not known counts neither for nor
// against it; a figure that no period knows stays unknown. The periods must not
// overlap; their order does not matter, nor that they differ in length.
func AverageUsage(list []Usage) UsageAverage {
	var a UsageAverage
	var cpu, memory, response mean
	var diskAt time.Time
	for _, u := range list {
		length := u.End.Sub(u.Start)
		if length <= 0 {
			continue
		}
		if a.From.IsZero() || u.Start.Before(a.From) {
			a.From = u.Start
		}
		if u.End.After(a.To) {
			a.To = u.End
		}
		a.Covered += length
		if u.CPUPercentAvg.Known {
			cpu.add(u.CPUPercentAvg.Value, length.Seconds())
		}
		if u.MemoryAvg.Known {
			memory.add(float64(u.MemoryAvg.Value), length.Seconds())
		}
		if u.ResponseTime.Known && u.Requests.Known {
			response.add(float64(u.ResponseTime.Value), float64(u.Requests.Value))
		}
		if u.Disk.Known && u.End.After(diskAt) {
			a.Disk, diskAt = u.Disk, u.End
		}
		highest(&a.CPUPercentMax, u.CPUPercentMax)
		highest(&a.MemoryMax, u.MemoryMax)
		sum(&a.Throttled, u.Throttled)
		sum(&a.OOMKills, u.OOMKills)
		sum(&a.NetworkRx, u.NetworkRx)
		sum(&a.NetworkTx, u.NetworkTx)
		sum(&a.DiskRead, u.DiskRead)
		sum(&a.DiskWritten, u.DiskWritten)
		sum(&a.Requests, u.Requests)
		sum(&a.Errors, u.Errors)
	}
	a.CPUPercentAvg = cpu.value()
	if m := memory.value(); m.Known {
		a.MemoryAvg = Known(int64(m.Value + 0.5))
	}
	if m := response.value(); m.Known {
		a.ResponseTime = Known(time.Duration(m.Value + 0.5))
	}
	return a
}

// mean is a weighted one; unknown without any weight.
type mean struct{ sum, weight float64 }

func (m *mean) add(v, weight float64) { m.sum, m.weight = m.sum+v*weight, m.weight+weight }

func (m *mean) value() Maybe[float64] {
	if m.weight <= 0 {
		return Maybe[float64]{}
	}
	return Known(m.sum / m.weight)
}

func sum(total *Maybe[int64], v Maybe[int64]) {
	if v.Known {
		*total = Known(total.Value + v.Value)
	}
}

func highest[T int64 | float64](top *Maybe[T], v Maybe[T]) {
	if v.Known && (!top.Known || v.Value > top.Value) {
		*top = v
	}
}

// Length is how long a whole period of r lasts; 0 for what is no resolution.
func (r Resolution) Length() time.Duration {
	switch r {
	case ByMinute:
		return time.Minute
	case ByHour:
		return time.Hour
	case ByDay:
		return 24 * time.Hour
	default:
		return 0
	}
}

// ResolutionFor picks the resolution in which a span is shown.
func ResolutionFor(span time.Duration) Resolution {
	switch {
	case span <= 6*time.Hour:
		return ByMinute
	case span <= 14*24*time.Hour:
		return ByHour
	default:
		return ByDay
	}
}
