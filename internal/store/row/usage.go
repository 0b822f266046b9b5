package row

import (
	"time"

	"github.com/unite-hub/berth"
)

// Counter is a container's counters as they are kept. Unknown is left out.
type Counter struct {
	Container string    `json:"container"`
	At        time.Time `json:"at"`
	Started   time.Time `json:"started"`
	CPU       *int64    `json:"cpuNs,omitempty"`
	Throttled *int64    `json:"throttled,omitempty"` // periods
	OOM       *int64    `json:"oom,omitempty"`       // kills
	Rx        *int64    `json:"rx,omitempty"`        // bytes, as are those below
	Tx        *int64    `json:"tx,omitempty"`
	Read      *int64    `json:"read,omitempty"`
	Written   *int64    `json:"written,omitempty"`
}

// NewCounters returns what is kept of a mark's samples, in their order; it is
// never nil.
func NewCounters(samples []berth.Sample) []Counter {
	list := make([]Counter, 0, len(samples))
	for _, s := range samples {
		list = append(list, Counter{
			s.ContainerID, s.At.UTC(), s.StartedAt.UTC(), nanoseconds(s.CPU), s.Throttled.Pointer(), s.OOMKills.Pointer(),
			s.NetworkRx.Pointer(), s.NetworkTx.Pointer(), s.DiskRead.Pointer(), s.DiskWritten.Pointer(),
		})
	}
	return list
}

// ParseCounters reads the JSON of a list of Counters: nil for none. Errors are
// those of encoding/json.
func ParseCounters(text string) ([]berth.Sample, error) {
	in, err := Parse[[]Counter](text)
	if err != nil {
		return nil, err
	}
	var list []berth.Sample
	for _, c := range in {
		s := berth.Sample{
			ContainerID: c.Container, At: c.At, StartedAt: c.Started, Throttled: known(c.Throttled), OOMKills: known(c.OOM),
			NetworkRx: known(c.Rx), NetworkTx: known(c.Tx), DiskRead: known(c.Read), DiskWritten: known(c.Written),
		}
		if c.CPU != nil {
			s.CPU = berth.Known(time.Duration(*c.CPU))
		}
		list = append(list, s)
	}
	return list, nil
}

// ScanUsage reads a period from its columns: begin, end, and what was used in the
// order of berth.Usage. Limits are kept in MB, response times in microseconds.
func ScanUsage(scan func(...any) error, u *berth.Usage) error {
	var limitMB, responseUS berth.Maybe[int64]
	err := scan(Time(&u.Start), Time(&u.End), Maybe(&u.CPUPercentAvg), Maybe(&u.CPUPercentMax), Maybe(&u.Throttled),
		Maybe(&u.MemoryAvg), Maybe(&u.MemoryMax), Maybe(&limitMB), Maybe(&u.OOMKills), Maybe(&u.NetworkRx), Maybe(&u.NetworkTx),
		Maybe(&u.Disk), Maybe(&u.DiskRead), Maybe(&u.DiskWritten), Maybe(&u.Requests), Maybe(&u.Errors), Maybe(&responseUS), &u.Samples)
	u.MemoryLimit = berth.Maybe[int64]{Value: limitMB.Value * berth.BytesPerMB, Known: limitMB.Known}
	u.ResponseTime = berth.Maybe[time.Duration]{Value: time.Duration(responseUS.Value) * time.Microsecond, Known: responseUS.Known}
	return err
}

func nanoseconds(v berth.Maybe[time.Duration]) *int64 {
	if !v.Known {
		return nil
	}
	n := int64(v.Value)
	return &n
}

func known(v *int64) berth.Maybe[int64] {
	if v == nil {
		return berth.Maybe[int64]{}
	}
	return berth.Known(*v)
}
