package meter

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/unite-hub/berth"
)

// account is what one tenant used in the period that is open, and since the
// meter began to watch it. Only the meter's own goroutine changes it. There is one
// of each tenant, so it holds little: a reading is made when it is asked for.
type account struct {
	org   string
	start time.Time     // of the period, as it is recorded
	mono  time.Time     // when the period began, or was taken up, by the monotonic clock
	gap   time.Duration // of the period, from its begin until it was taken up
	away  bool          // it was taken up, and nothing was read since

	containers []container // the newest that is known of each, or the stored mark
	period     totals
	all        totals // since the meter began to watch
	latest     gauges

	killed int64 // kills for want of memory that the engine told of since the last round
	shown  int64 // kills that the kernel showed at the last round, and the engine may tell of yet

	cpuMax      berth.Maybe[float64]
	memorySum   float64
	memoryMax   berth.Maybe[int64]
	memoryLimit berth.Maybe[int64]
	samples     int
}

// gauges are what was read last; they are nothing before the first round.
type gauges struct {
	at                  time.Time
	containers          int
	cpu                 berth.Maybe[float64]
	memory, limit, pids berth.Maybe[int64]
	disk                berth.Maybe[int64]
	underWay, held      int64
}

// container is where the counters of one container stood.
type container struct {
	id                                        string
	at, startedAt                             time.Time
	seen                                      time.Time // when it was last read, or taken up
	cpu                                       counter   // in nanoseconds
	throttled, oom, rx, tx, diskRead, written counter
}

// totals are counters that only rise.
type totals struct {
	cpu, throttled, oom, rx, tx, diskRead, written counter
	requests, errors                               counter
	time                                           time.Duration // of requests
}

// counter is a berth.Maybe of what is never negative, in half of its room: 0 is
// unknown, and any other is one more than what was counted.
type counter int64

func counted[T ~int64](n berth.Maybe[T]) counter {
	if !n.Known {
		return 0
	}
	return counter(max(n.Value, 0)) + 1
}

func (c counter) known() bool { return c != 0 }

// value is 0 if it is unknown.
func (c counter) value() int64 { return max(0, int64(c)-1) }

func (c counter) maybe() berth.Maybe[int64] {
	return berth.Maybe[int64]{Value: c.value(), Known: c.known()}
}

func (c counter) duration() time.Duration { return time.Duration(c.value()) }

func newAccount(org string, now time.Time) *account {
	return &account{org: org, start: now, mono: now}
}

// standing is where a sample's counters stand.
func standing(s berth.Sample, now time.Time) container {
	return container{
		id: s.ContainerID, at: s.At, startedAt: s.StartedAt, seen: now, cpu: counted(s.CPU), throttled: counted(s.Throttled), oom: counted(s.OOMKills),
		rx: counted(s.NetworkRx), tx: counted(s.NetworkTx), diskRead: counted(s.DiskRead), written: counted(s.DiskWritten),
	}
}

// sample is what is stored of a container.
func (c container) sample() berth.Sample {
	return berth.Sample{
		ContainerID: c.id, At: c.at, StartedAt: c.startedAt, CPU: berth.Maybe[time.Duration]{Value: c.cpu.duration(), Known: c.cpu.known()},
		Throttled: c.throttled.maybe(), OOMKills: c.oom.maybe(), NetworkRx: c.rx.maybe(), NetworkTx: c.tx.maybe(),
		DiskRead: c.diskRead.maybe(), DiskWritten: c.written.maybe(),
	}
}

// find returns what is known of a container.
func (a *account) find(id string) (c container, known bool) {
	for _, c := range a.containers {
		if c.id == id {
			return c, true
		}
	}
	return container{}, false
}

// keep takes in what is known of a container now.
func (a *account) keep(c container) {
	for i := range a.containers {
		if a.containers[i].id == c.id {
			a.containers[i] = c
			return
		}
	}
	a.containers = append(a.containers, c)
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
	a.containers = make([]container, 0, len(m.Samples))
	for _, s := range m.Samples {
		a.keep(standing(s, now))
	}
	a.away = true
	a.since(m.End, now)
	if ahead := m.End.Sub(now); ahead > 0 && ahead < longestBack {
		a.start = m.End
	}
}

// rejoin ends the wait for what was taken up. Where no container ran through, the
// period begins with the first one that was started since: before, nobody
// counted.
func (a *account) rejoin(samples []berth.Sample, now time.Time) {
	switch {
	case len(samples) > 0:
		a.away = false
		first := now.Round(0)
		for _, s := range samples {
			if before, known := a.find(s.ContainerID); known && before.startedAt.Equal(s.StartedAt) {
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
	r := gauges{at: now, containers: len(samples), disk: a.latest.disk, underWay: a.latest.underWay, held: a.latest.held}
	var kills int64
	if a.away {
		a.rejoin(samples, now)
	}
	for _, s := range samples {
		before, known := a.find(s.ContainerID)
		next := standing(s, now)
		used := difference(before, next, known, a.start)
		a.period.add(used)
		a.all.add(used)
		kills += used.oom.value()
		if elapsed := s.At.Sub(before.at); used.cpu.known() && known && before.cpu.known() && elapsed >= leastElapsed {
			r.cpu = berth.Known(r.cpu.Value + 100*used.cpu.duration().Seconds()/elapsed.Seconds())
		}
		sum(&r.memory, s.Memory)
		sum(&r.limit, s.MemoryLimit)
		sum(&r.pids, s.Pids)
		a.keep(carry(before, next))
	}
	a.kills(kills)
	// One that was not read this time may be next time, and goes on from where
	// it stood; what is gone for long is gone.
	a.containers = slices.DeleteFunc(a.containers, func(c container) bool { return now.Sub(c.seen) > forgotten })
	if r.cpu.Known && (!a.cpuMax.Known || r.cpu.Value > a.cpuMax.Value) {
		a.cpuMax = r.cpu
	}
	if r.memory.Known {
		a.memorySum += float64(r.memory.Value)
		a.samples++
		if !a.memoryMax.Known || r.memory.Value > a.memoryMax.Value {
			a.memoryMax = r.memory
		}
	}
	if r.limit.Known {
		a.memoryLimit = r.limit
	}
	a.latest = r
}

// reading is how the tenant does now.
func (a *account) reading() berth.Reading {
	r, t := a.latest, a.all
	reading := berth.Reading{
		OrganizationID: a.org, At: r.at, Containers: r.containers, CPUPercent: r.cpu, MemoryBytes: r.memory, MemoryLimit: r.limit,
		Pids: r.pids, DiskBytes: r.disk, Throttled: t.throttled.maybe(), OOMKills: t.oom.maybe(), NetworkRx: t.rx.maybe(), NetworkTx: t.tx.maybe(),
		DiskRead: t.diskRead.maybe(), DiskWritten: t.written.maybe(),
		Traffic: berth.Traffic{Requests: t.requests.value(), Errors: t.errors.value(), Time: t.time, UnderWay: r.underWay, Held: r.held},
	}
	if t.cpu.known() {
		reading.CPUSeconds = berth.Known(t.cpu.duration().Seconds())
	}
	return reading
}

// kills counts what the engine told of and the kernel, which showed some, did
// not: the counter went with the container. The kernel is never later.
func (a *account) kills(shown int64) {
	told := max(0, a.killed-a.shown)
	a.killed, a.shown = 0, max(0, shown-told)
	if missed := told - shown; missed > 0 {
		a.period.add(totals{oom: counted(berth.Known(missed))})
		a.all.add(totals{oom: counted(berth.Known(missed))})
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
func sameRun(before, now container) bool {
	return before.startedAt.Equal(now.startedAt) || before.at.After(now.startedAt)
}

// carry keeps what was known of a counter that could not be read this time.
func carry(before, now container) container {
	if !sameRun(before, now) {
		return now
	}
	now.cpu = cmp.Or(now.cpu, before.cpu)
	now.throttled = cmp.Or(now.throttled, before.throttled)
	now.oom = cmp.Or(now.oom, before.oom)
	now.rx = cmp.Or(now.rx, before.rx)
	now.tx = cmp.Or(now.tx, before.tx)
	now.diskRead = cmp.Or(now.diskRead, before.diskRead)
	now.written = cmp.Or(now.written, before.written)
	return now
}

// difference is what a container counted since the sample before. A container
// that was started again counts from zero; so does one whose counters fell.
// One that is met for the first time counts if it was started in this period:
// what an older one used before belongs to nobody's period.
func difference(before, now container, known bool, since time.Time) totals {
	if !known && now.startedAt.Before(since) {
		before, known = now, true
	}
	known = known && sameRun(before, now)
	return totals{
		cpu: rise(before.cpu, now.cpu, known), throttled: rise(before.throttled, now.throttled, known), oom: rise(before.oom, now.oom, known),
		rx: rise(before.rx, now.rx, known), tx: rise(before.tx, now.tx, known),
		diskRead: rise(before.diskRead, now.diskRead, known), written: rise(before.written, now.written, known),
	}
}

func rise(before, now counter, known bool) counter {
	if known && before.known() && now >= before {
		return now - before + 1
	}
	return now
}

func (t *totals) add(more totals) {
	t.cpu.add(more.cpu)
	t.throttled.add(more.throttled)
	t.oom.add(more.oom)
	t.rx.add(more.rx)
	t.tx.add(more.tx)
	t.diskRead.add(more.diskRead)
	t.written.add(more.written)
	t.requests.add(more.requests)
	t.errors.add(more.errors)
	t.time += more.time
}

func (c *counter) add(more counter) {
	if more.known() {
		*c = counter(c.value()+more.value()) + 1
	}
}

func sum(to *berth.Maybe[int64], v berth.Maybe[int64]) {
	if v.Known {
		to.Value, to.Known = to.Value+v.Value, true
	}
}

// route takes in what the edge has counted since the last time.
func (a *account) route(used, now berth.Traffic) {
	more := totals{requests: counted(berth.Known(used.Requests)), errors: counted(berth.Known(used.Errors)), time: used.Time}
	a.period.add(more)
	a.all.add(more)
	a.latest.underWay, a.latest.held = now.UnderWay, now.Held
}

// rose is what the edge has counted between two looks. A count that fell means
// that the tenant's port was opened anew.
func rose(before, now berth.Traffic) berth.Traffic {
	if now.Requests < before.Requests || now.Errors < before.Errors || now.Time < before.Time {
		before = berth.Traffic{}
	}
	return berth.Traffic{Requests: now.Requests - before.Requests, Errors: now.Errors - before.Errors, Time: now.Time - before.Time}
}

// span is the period that is open, up to now. Its length is measured with the
// monotonic clock; its place in time follows the wall clock, but does not go
// back: when that jumps an hour, nothing is counted twice and no period covers
// another. A clock that goes back further was wrong before, and is followed.
func (a *account) span(now time.Time) (start, end time.Time) {
	length := now.Sub(a.mono) + a.gap
	start = a.start
	begin := now.Round(0).Add(-length)
	if ahead := begin.Sub(start); ahead > time.Second || ahead < -longestBack {
		start = begin
	}
	return start, start.Add(length)
}

// sumUp is what was used in the period that is open, up to now, and where the
// counters stand.
func (a *account) sumUp(now time.Time) (berth.Usage, berth.Mark) {
	start, end := a.span(now)
	length := end.Sub(start)
	u := berth.Usage{
		OrganizationID: a.org, Resolution: berth.ByMinute, Start: start, End: end,
		CPUPercentMax: a.cpuMax, Throttled: a.period.throttled.maybe(), MemoryMax: a.memoryMax, MemoryLimit: a.memoryLimit,
		OOMKills: a.period.oom.maybe(), NetworkRx: a.period.rx.maybe(), NetworkTx: a.period.tx.maybe(), Disk: a.latest.disk,
		DiskRead: a.period.diskRead.maybe(), DiskWritten: a.period.written.maybe(),
		Requests: a.period.requests.maybe(), Errors: a.period.errors.maybe(), Samples: a.samples,
	}
	if a.period.cpu.known() && length > 0 {
		u.CPUPercentAvg = berth.Known(100 * a.period.cpu.duration().Seconds() / length.Seconds())
		// A mean can't be above the most; between the first two samples of a
		// container nothing is measured.
		if !u.CPUPercentMax.Known || u.CPUPercentMax.Value < u.CPUPercentAvg.Value {
			u.CPUPercentMax = u.CPUPercentAvg
		}
	}
	if a.samples > 0 {
		u.MemoryAvg = berth.Known(int64(math.Round(a.memorySum / float64(a.samples))))
	}
	if n := a.period.requests.value(); n > 0 {
		u.ResponseTime = berth.Known(a.period.time / time.Duration(n))
	}
	mark := berth.Mark{OrganizationID: a.org, End: end}
	for _, c := range a.containers {
		mark.Samples = append(mark.Samples, c.sample())
	}
	return u, mark
}

// idle reports whether the period that is open has nothing to tell: nothing
// ran, and nobody asked. One that was taken up is not, until its containers were
// found.
func (a *account) idle() bool {
	return a.samples == 0 && a.period.requests.value() == 0 && !a.period.cpu.known() && !a.away
}

// begin begins the next period, where the one that was stored ended.
func (a *account) begin(end, now time.Time) {
	a.start, a.mono, a.gap, a.period = end, now, 0, totals{}
	a.cpuMax, a.memorySum, a.memoryMax, a.samples = berth.Maybe[float64]{}, 0, berth.Maybe[int64]{}, 0
}
