package meter

import (
	"math"
	"time"

	"github.com/unite-hub/berth"
)

// account is what one tenant used in the period that is open, and since the
// meter began to watch it. Only the meter's own goroutine changes it.
type account struct {
	org   string
	start time.Time     // of the period, as it is recorded
	mono  time.Time     // when the period began, or was taken up, by the monotonic clock
	gap   time.Duration // of the period, from its begin until it was taken up

	last    map[string]berth.Sample // by container id: the newest, or the stored mark
	period  totals
	all     totals // since the meter began to watch
	reading berth.Reading
	traffic berth.Traffic // as last seen

	cpuMax      berth.Maybe[float64]
	memorySum   float64
	memoryMax   berth.Maybe[int64]
	memoryLimit berth.Maybe[int64]
	samples     int
}

// totals are counters that only rise.
type totals struct {
	cpu                                  berth.Maybe[time.Duration]
	throttled, oom, rx, tx, read, writes berth.Maybe[int64]
	requests, errors                     berth.Maybe[int64]
	time                                 time.Duration // of requests
}

func newAccount(org string, now time.Time) *account {
	return &account{org: org, start: now, mono: now, last: map[string]berth.Sample{}}
}

// resume goes on where the last period that was stored ended.
func (a *account) resume(m berth.Mark, now time.Time) {
	for _, s := range m.Samples {
		a.last[s.ContainerID] = s
	}
	if gap := now.Round(0).Sub(m.End); gap > 0 {
		a.start, a.gap = m.End, gap
	}
}

// sweep takes in one sample of each of the tenant's containers.
func (a *account) sweep(samples []berth.Sample, now time.Time) {
	r := berth.Reading{OrganizationID: a.org, At: now, Containers: len(samples), DiskBytes: a.reading.DiskBytes}
	var cpu berth.Maybe[float64]
	seen := make(map[string]berth.Sample, len(samples))
	for _, s := range samples {
		before, known := a.last[s.ContainerID]
		used := difference(before, s, known, a.start)
		a.period.add(used)
		a.all.add(used)
		if elapsed := s.At.Sub(before.At); used.cpu.Known && known && elapsed > 0 {
			cpu = berth.Known(cpu.Value + 100*used.cpu.Value.Seconds()/elapsed.Seconds())
		}
		sum(&r.MemoryBytes, s.Memory)
		sum(&r.MemoryLimit, s.MemoryLimit)
		sum(&r.Pids, s.Pids)
		seen[s.ContainerID] = s
	}
	a.last = seen
	r.CPUPercent = cpu
	if cpu.Known && (!a.cpuMax.Known || cpu.Value > a.cpuMax.Value) {
		a.cpuMax = cpu
	}
	if r.MemoryBytes.Known {
		a.memorySum += float64(r.MemoryBytes.Value)
		a.samples++
		if !a.memoryMax.Known || r.MemoryBytes.Value > a.memoryMax.Value {
			a.memoryMax = r.MemoryBytes
		}
	}
	if r.MemoryLimit.Known {
		a.memoryLimit = r.MemoryLimit
	}
	a.reading = r
	a.show()
}

// difference is what a container counted since the sample before. A container
// that was started again counts from zero; so does one whose counters fell.
// One that is met for the first time counts if it was started in this period:
// what an older one used before belongs to nobody's period.
func difference(before, now berth.Sample, known bool, since time.Time) totals {
	if !known && now.StartedAt.Before(since) {
		before, known = now, true
	}
	if known && !before.StartedAt.Equal(now.StartedAt) {
		known = false
	}
	return totals{
		cpu: rise(before.CPU, now.CPU, known), throttled: rise(before.Throttled, now.Throttled, known), oom: rise(before.OOMKills, now.OOMKills, known),
		rx: rise(before.NetworkRx, now.NetworkRx, known), tx: rise(before.NetworkTx, now.NetworkTx, known),
		read: rise(before.DiskRead, now.DiskRead, known), writes: rise(before.DiskWritten, now.DiskWritten, known),
	}
}

func rise[T ~int64](before, now berth.Maybe[T], known bool) berth.Maybe[T] {
	if known && before.Known && now.Known && now.Value >= before.Value {
		now.Value -= before.Value
	}
	return now
}

func (t *totals) add(more totals) {
	sum(&t.cpu, more.cpu)
	sum(&t.throttled, more.throttled)
	sum(&t.oom, more.oom)
	sum(&t.rx, more.rx)
	sum(&t.tx, more.tx)
	sum(&t.read, more.read)
	sum(&t.writes, more.writes)
	sum(&t.requests, more.requests)
	sum(&t.errors, more.errors)
	t.time += more.time
}

func sum[T ~int64](to *berth.Maybe[T], v berth.Maybe[T]) {
	if v.Known {
		to.Value, to.Known = to.Value+v.Value, true
	}
}

// route takes in what the edge has counted since it opened the tenant's port.
// A count that fell means that the port was opened anew.
func (a *account) route(now berth.Traffic) {
	before := a.traffic
	if now.Requests < before.Requests {
		before = berth.Traffic{}
	}
	used := totals{
		requests: berth.Known(now.Requests - before.Requests), errors: berth.Known(now.Errors - before.Errors), time: now.Time - before.Time,
	}
	a.period.add(used)
	a.all.add(used)
	a.traffic = now
	a.show()
}

// show brings the reading's counters up to date.
func (a *account) show() {
	r, t := &a.reading, a.all
	if t.cpu.Known {
		r.CPUSeconds = berth.Known(t.cpu.Value.Seconds())
	}
	r.Throttled, r.OOMKills, r.NetworkRx, r.NetworkTx, r.DiskRead, r.DiskWritten = t.throttled, t.oom, t.rx, t.tx, t.read, t.writes
	r.Traffic = berth.Traffic{
		Requests: t.requests.Value, Errors: t.errors.Value, Time: t.time, UnderWay: a.traffic.UnderWay, Held: a.traffic.Held,
	}
}

// sumUp is the period that is open, up to now. Its length is measured with the
// monotonic clock; its place in time follows the wall clock, but never goes
// back: when that jumps, nothing is counted twice and no period covers another.
func (a *account) sumUp(now time.Time) (berth.Usage, berth.Mark) {
	length := now.Sub(a.mono) + a.gap
	start := a.start
	if begin := now.Round(0).Add(-length); begin.Sub(start) > time.Second {
		start = begin // the wall clock went ahead
	}
	end := start.Add(length)
	u := berth.Usage{
		OrganizationID: a.org, Resolution: berth.ByMinute, Start: start, End: end,
		CPUPercentMax: a.cpuMax, Throttled: a.period.throttled, MemoryMax: a.memoryMax, MemoryLimit: a.memoryLimit,
		OOMKills: a.period.oom, NetworkRx: a.period.rx, NetworkTx: a.period.tx, Disk: a.reading.DiskBytes,
		DiskRead: a.period.read, DiskWritten: a.period.writes, Requests: a.period.requests, Errors: a.period.errors, Samples: a.samples,
	}
	if a.period.cpu.Known && length > 0 {
		u.CPUPercentAvg = berth.Known(100 * a.period.cpu.Value.Seconds() / length.Seconds())
		// A mean can't be above the most; between the first two samples of a
		// container nothing is measured.
		if !u.CPUPercentMax.Known || u.CPUPercentMax.Value < u.CPUPercentAvg.Value {
			u.CPUPercentMax = u.CPUPercentAvg
		}
	}
	if a.samples > 0 {
		u.MemoryAvg = berth.Known(int64(math.Round(a.memorySum / float64(a.samples))))
	}
	if n := a.period.requests; n.Known && n.Value > 0 {
		u.ResponseTime = berth.Known(a.period.time / time.Duration(n.Value))
	}
	mark := berth.Mark{OrganizationID: a.org, End: end}
	for _, s := range a.last {
		mark.Samples = append(mark.Samples, s)
	}
	return u, mark
}

// begin begins the next period, where the one that was stored ended.
func (a *account) begin(end, now time.Time) {
	a.start, a.mono, a.gap, a.period = end, now, 0, totals{}
	a.cpuMax, a.memorySum, a.memoryMax, a.samples = berth.Maybe[float64]{}, 0, berth.Maybe[int64]{}, 0
}
