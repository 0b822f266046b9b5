package berth

import "time"

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

	Disk Maybe[int64] // of the last period that is stored; PutMarks leaves it out
}
