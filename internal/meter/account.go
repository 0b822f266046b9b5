package meter

import (
	"maps"
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
	away  bool          // it was taken up, and nothing was read since

	last    map[string]berth.Sample // by container id: the newest that is known, or the stored mark
	seen    map[string]time.Time    // when each of them was last read, or taken up
	period  totals
	all     totals // since the meter began to watch
	reading berth.Reading

	killed int64 // kills for want of memory that the engine told of since the last round
	shown  int64 // kills that the kernel showed at the last round, and the engine may tell of yet

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
	return &account{org: org, start: now, mono: now, last: map[string]berth.Sample{}, seen: map[string]time.Time{}}
}

// since lets the period begin when the first container was started, if nobody
// was there to see it.
func (a *account) since(started, now time.Time) {
	if gap := now.Round(0).Sub(started); gap > 0 {
		a.start, a.gap = started, gap
	}
}

// resume goes on where the last period that was stored ended.
func (a *account) resume(m berth.Mark, now time.Time) {
	for _, s := range m.Samples {
		a.last[s.ContainerID], a.seen[s.ContainerID] = s, now
	}
	a.away = true
	a.since(m.End, now)
	if ahead := m.End.Sub(now); ahead > 0 && ahead < longestBack {
		a.start = m.End
	}
}

// find ends the wait for what was taken up. Where no container ran through, the
// period begins with the first one that was started since: before, nobody
// counted.
func (a *account) find(samples []berth.Sample, now time.Time) {
	switch {
	case len(samples) > 0:
		a.away = false
		first := now.Round(0)
		for _, s := range samples {
			if before, known := a.last[s.ContainerID]; known && before.StartedAt.Equal(s.StartedAt) {
				return
			}
			if s.StartedAt.Before(first) {
				first = s.StartedAt
			}
		}
		if first.After(a.start) {
			a.gap -= first.Sub(a.start)
			a.start = first
		}
	case now.Sub(a.mono) > forgotten:
		a.away, a.start, a.gap = false, a.mono.Round(0), 0
	}
}

// take takes in one sample of each of the tenant's containers.
func (a *account) take(samples []berth.Sample, now time.Time) {
	r := berth.Reading{OrganizationID: a.org, At: now, Containers: len(samples), DiskBytes: a.reading.DiskBytes, Traffic: a.reading.Traffic}
	var cpu berth.Maybe[float64]
	var kills int64
	if a.away {
		a.find(samples, now)
	}
	for _, s := range samples {
		before, known := a.last[s.ContainerID]
		used := difference(before, s, known, a.start)
		a.period.add(used)
		a.all.add(used)
		kills += used.oom.Value
		if elapsed := s.At.Sub(before.At); used.cpu.Known && known && before.CPU.Known && elapsed >= leastElapsed {
			cpu = berth.Known(cpu.Value + 100*used.cpu.Value.Seconds()/elapsed.Seconds())
		}
		sum(&r.MemoryBytes, s.Memory)
		sum(&r.MemoryLimit, s.MemoryLimit)
		sum(&r.Pids, s.Pids)
		a.last[s.ContainerID], a.seen[s.ContainerID] = carry(before, s), now
	}
	a.kills(kills)
	// One that was not read this time may be next time, and goes on from where
	// it stood; what is gone for long is gone.
	maps.DeleteFunc(a.seen, func(_ string, at time.Time) bool { return now.Sub(at) > forgotten })
	maps.DeleteFunc(a.last, func(id string, _ berth.Sample) bool { return a.seen[id].IsZero() })
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

// kills counts what the engine told of and the kernel, which showed some, did
// not: the counter went with the container. The kernel is never later.
func (a *account) kills(shown int64) {
	told := max(0, a.killed-a.shown)
	a.killed, a.shown = 0, max(0, shown-told)
	if missed := told - shown; missed > 0 {
		a.period.add(totals{oom: berth.Known(missed)})
		a.all.add(totals{oom: berth.Known(missed)})
	}
}

// leastElapsed is the shortest time between two samples that CPU use is told of:
// the kernel counts in steps.
const leastElapsed = time.Second

// longestBack is how far the clock may go back without taking periods with it.
const longestBack = 2 * time.Hour

// forgotten is how long the counters of a container that is not read are kept.
const forgotten = time.Hour

// sameRun reports whether both samples are of one run of a container. That it
// was started again is told a little after the kernel shows it: what was read
// after the start is of the new run, whatever it was told to be.
func sameRun(before, now berth.Sample) bool {
	return before.StartedAt.Equal(now.StartedAt) || before.At.After(now.StartedAt)
}

// carry keeps what was known of a counter that could not be read this time.
func carry(before, now berth.Sample) berth.Sample {
	if !sameRun(before, now) {
		return now
	}
	keep(&now.CPU, before.CPU)
	keep(&now.Throttled, before.Throttled)
	keep(&now.OOMKills, before.OOMKills)
	keep(&now.NetworkRx, before.NetworkRx)
	keep(&now.NetworkTx, before.NetworkTx)
	keep(&now.DiskRead, before.DiskRead)
	keep(&now.DiskWritten, before.DiskWritten)
	return now
}

func keep[T any](now *berth.Maybe[T], before berth.Maybe[T]) {
	if !now.Known {
		*now = before
	}
}

// difference is what a container counted since the sample before. A container
// that was started again counts from zero; so does one whose counters fell.
// One that is met for the first time counts if it was started in this period:
// what an older one used before belongs to nobody's period.
func difference(before, now berth.Sample, known bool, since time.Time) totals {
	if !known && now.StartedAt.Before(since) {
		before, known = now, true
	}
	known = known && sameRun(before, now)
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

// route takes in what the edge has counted since the last time.
func (a *account) route(used, now berth.Traffic) {
	counted := totals{requests: berth.Known(used.Requests), errors: berth.Known(used.Errors), time: used.Time}
	a.period.add(counted)
	a.all.add(counted)
	a.show()
	a.reading.Traffic.UnderWay, a.reading.Traffic.Held = now.UnderWay, now.Held
}

// rose is what the edge has counted between two looks. A count that fell means
// that the tenant's port was opened anew.
func rose(before, now berth.Traffic) berth.Traffic {
	if now.Requests < before.Requests || now.Errors < before.Errors || now.Time < before.Time {
		before = berth.Traffic{}
	}
	return berth.Traffic{Requests: now.Requests - before.Requests, Errors: now.Errors - before.Errors, Time: now.Time - before.Time}
}

// show brings the reading's counters up to date.
func (a *account) show() {
	r, t := &a.reading, a.all
	if t.cpu.Known {
		r.CPUSeconds = berth.Known(t.cpu.Value.Seconds())
	}
	r.Throttled, r.OOMKills, r.NetworkRx, r.NetworkTx, r.DiskRead, r.DiskWritten = t.throttled, t.oom, t.rx, t.tx, t.read, t.writes
	r.Traffic.Requests, r.Traffic.Errors, r.Traffic.Time = t.requests.Value, t.errors.Value, t.time
}

// sumUp is the period that is open, up to now. Its length is measured with the
// monotonic clock; its place in time follows the wall clock, but does not go
// back: when that jumps an hour, nothing is counted twice and no period covers
// another. A clock that goes back further was wrong before, and is followed.
func (a *account) sumUp(now time.Time) (berth.Usage, berth.Mark) {
	length := now.Sub(a.mono) + a.gap
	start := a.start
	begin := now.Round(0).Add(-length)
	if ahead := begin.Sub(start); ahead > time.Second || ahead < -longestBack {
		start = begin
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

// idle reports whether the period that is open has nothing to tell: nothing
// ran, and nobody asked. One that was taken up is not, until its containers were
// found.
func (a *account) idle() bool {
	return a.samples == 0 && a.period.requests.Value == 0 && !a.period.cpu.Known && !a.away
}

// begin begins the next period, where the one that was stored ended.
func (a *account) begin(end, now time.Time) {
	a.start, a.mono, a.gap, a.period = end, now, 0, totals{}
	a.cpuMax, a.memorySum, a.memoryMax, a.samples = berth.Maybe[float64]{}, 0, berth.Maybe[int64]{}, 0
}
