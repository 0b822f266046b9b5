package meter

import (
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

const mb = berth.BytesPerMB

// noon is when the containers of these tests are watched from.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// sample is a container at a moment: seconds of CPU time, megabytes in use, and
// bytes received.
func sample(id string, started, now time.Time, cpu float64, memory, rx int64) berth.Sample {
	return berth.Sample{
		ContainerID: id, At: now, StartedAt: started, CPU: berth.Known(time.Duration(cpu * float64(time.Second))),
		Memory: berth.Known(memory * mb), NetworkRx: berth.Known(rx), OOMKills: berth.Known[int64](0),
	}
}

// close ends a period as if it was stored.
func (a *account) close(now time.Time) (berth.Usage, berth.Mark) {
	u, mark := a.sumUp(now)
	a.begin(u.End, now)
	return u, mark
}

func TestAverageAndMaximumAreOfManySamples(t *testing.T) {
	a := newAccount("org", noon)
	old := noon.Add(-time.Hour)
	for i, s := range []berth.Sample{
		sample("c", old, at(0), 100, 100, 1000),
		sample("c", old, at(15), 101.5, 200, 2000),  // 10 %
		sample("c", old, at(30), 113.5, 300, 2500),  // 80 %
		sample("c", old, at(60), 113.5, 100, 12500), // 0 %
	} {
		a.take([]berth.Sample{s}, s.At)
		if r := a.reading(); i == 2 && (r.CPUPercent != berth.Known(80.0) || r.MemoryBytes.Value != 300*mb || r.NetworkRx.Value != 1500) {
			t.Errorf("now: %+v", r)
		}
	}
	u, mark := a.close(at(60))
	if !u.Start.Equal(noon) || !u.End.Equal(at(60)) {
		t.Errorf("period %v to %v", u.Start, u.End)
	}
	if u.CPUPercentAvg != berth.Known(22.5) || u.CPUPercentMax != berth.Known(80.0) {
		t.Errorf("CPU %v on average, %v at most", u.CPUPercentAvg, u.CPUPercentMax)
	}
	if u.MemoryAvg.Value != 175*mb || u.MemoryMax.Value != 300*mb || u.Samples != 4 {
		t.Errorf("memory %v on average, %v at most, of %d", u.MemoryAvg, u.MemoryMax, u.Samples)
	}
	if u.NetworkRx != berth.Known[int64](11500) || u.NetworkTx.Known || u.Requests.Known || u.DiskRead.Known {
		t.Errorf("counted %+v", u)
	}
	if !mark.End.Equal(u.End) || len(mark.Samples) != 1 {
		t.Errorf("mark %+v", mark)
	}
	if u, _ := a.close(at(120)); u.CPUPercentAvg.Known || u.MemoryAvg.Known || !u.Start.Equal(at(60)) {
		t.Errorf("a period without samples: %+v", u)
	}
}

func TestCountersSurviveRestartsAndResets(t *testing.T) {
	a := newAccount("org", noon)
	old := noon.Add(-time.Hour)
	round := func(second float64, list ...berth.Sample) { a.take(list, at(second)) }
	round(0, sample("c", old, at(0), 50, 1, 700))
	round(15, sample("c", old, at(15), 51, 1, 800))
	round(30, sample("c", at(20), at(30), 0.5, 1, 30)) // started again
	round(45, sample("c", at(20), at(45), 0.2, 1, 5))  // counters fell
	round(60, sample("c", at(20), at(60), 0.2, 1, 5), sample("d", at(50), at(60), 2, 1, 1000))
	u, _ := a.close(at(60))
	if got := u.NetworkRx.Value; got != 100+30+5+1000 {
		t.Errorf("received %d", got)
	}
	if got := u.CPUPercentAvg.Value * 60 / 100; got < 3.69 || got > 3.71 {
		t.Errorf("used %v s of CPU", got)
	}
}

func TestWhatWasUsedWhileBerthWasAwayIsCountedOnce(t *testing.T) {
	before := newAccount("org", noon)
	old := noon.Add(-time.Hour)
	before.take([]berth.Sample{sample("c", old, at(0), 10, 1, 100)}, at(0))
	before.take([]berth.Sample{sample("c", old, at(60), 16, 1, 400)}, at(60))
	first, mark := before.close(at(60))

	after := newAccount("org", at(600))
	after.resume(mark, at(600))
	after.take([]berth.Sample{sample("c", old, at(600), 70, 1, 5000), sample("d", at(300), at(600), 1, 1, 50)}, at(600))
	after.take([]berth.Sample{sample("c", old, at(660), 76, 1, 6000), sample("d", at(300), at(660), 1, 1, 50)}, at(660))
	second, _ := after.close(at(660))
	if !second.Start.Equal(first.End) || !second.End.Equal(at(660)) {
		t.Errorf("periods %v-%v and %v-%v", first.Start, first.End, second.Start, second.End)
	}
	if got := first.NetworkRx.Value + second.NetworkRx.Value; got != 6000-100+50 {
		t.Errorf("received %d in all", got)
	}
	if got := second.CPUPercentAvg.Value; got < 10.16 || got > 10.17 { // 61 s in 600 s
		t.Errorf("CPU %v %%", got)
	}
}

// Fault 8. A time.Time of the tests has no monotonic part, so the jump is put
// into where the period is thought to have begun.
func TestAClockThatJumpsBillsNothingTwice(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		a := newAccount("org", noon)
		old := noon.Add(-2 * time.Hour)
		a.take([]berth.Sample{sample("c", old, at(0), 0, 1, 0)}, at(0))
		a.take([]berth.Sample{sample("c", old, at(60), 30, 1, 60)}, at(60))
		first, _ := a.close(at(60))
		a.mono = a.mono.Add(jump) // the wall clock jumped; 60 s passed all the same
		now := at(120).Add(jump)
		s := sample("c", old, now, 60, 1, 120)
		a.keep(standing(berth.Sample{ContainerID: "c", At: at(60).Add(jump), StartedAt: old, CPU: berth.Known(30 * time.Second), NetworkRx: berth.Known[int64](60)}, at(60).Add(jump)))
		a.take([]berth.Sample{s}, now)
		second, _ := a.close(now)
		if second.Start.Before(first.End) {
			t.Errorf("jump %v: %v begins before %v", jump, second.Start, first.End)
		}
		if got := second.End.Sub(second.Start); got != time.Minute {
			t.Errorf("jump %v: a period of %v", jump, got)
		}
		if first.NetworkRx.Value+second.NetworkRx.Value != 120 || second.CPUPercentAvg != berth.Known(50.0) {
			t.Errorf("jump %v: %+v", jump, second)
		}
	}
}

func TestRequestsAreCountedFromTheEdge(t *testing.T) {
	a := newAccount("org", noon)
	now := berth.Traffic{Requests: 10, Errors: 1, Time: time.Second}
	a.route(rose(berth.Traffic{}, now), now)
	u, _ := a.close(at(60))
	if u.Requests.Value != 10 || u.Errors.Value != 1 || u.ResponseTime != berth.Known(100*time.Millisecond) {
		t.Errorf("first: %+v", u)
	}
	for _, next := range []berth.Traffic{
		{Requests: 14, Errors: 1, Time: 3 * time.Second},
		{Requests: 2, Time: time.Second},                        // the port was opened anew
		{Requests: 22, Errors: 0, Time: 500 * time.Millisecond}, // and again, and is busier
	} {
		a.route(rose(now, next), next)
		now = next
	}
	u, _ = a.close(at(120))
	if u.Requests.Value != 4+2+22 || u.Errors.Value != 0 || u.ResponseTime != berth.Known(125*time.Millisecond) {
		t.Errorf("second: %+v", u)
	}
	a.route(rose(now, now), now)
	if u, _ = a.close(at(180)); u.Requests != berth.Known[int64](0) || u.ResponseTime.Known {
		t.Errorf("no request has no mean time: %+v", u)
	}
}

func TestWhatCanNotBeReadOnceIsCountedOnceAllTheSame(t *testing.T) {
	old := noon.Add(-time.Hour)
	blind := sample("c", old, at(30), 1, 1, 0)
	blind.NetworkRx = berth.Maybe[int64]{}
	for name, c := range map[string]struct {
		started time.Time
		between []berth.Sample
		want    int64
	}{
		"one counter":                {old, []berth.Sample{blind}, 100},
		"a container":                {old, nil, 100},
		"one of this period's":       {at(5), nil, 1100},
		"a counter of this period's": {at(5), []berth.Sample{func() berth.Sample { b := blind; b.StartedAt = at(5); return b }()}, 1100},
	} {
		a := newAccount("org", noon)
		a.take([]berth.Sample{sample("c", c.started, at(15), 10, 1, 1000)}, at(15))
		a.take(c.between, at(30))
		a.take([]berth.Sample{sample("c", c.started, at(45), 12, 1, 1100)}, at(45))
		if u, _ := a.close(at(60)); u.NetworkRx.Value != c.want {
			t.Errorf("%s unread: received %d, want %d", name, u.NetworkRx.Value, c.want)
		}
	}
}

func TestStoredCountersWaitUntilTheFleetIsKnown(t *testing.T) {
	a := newAccount("org", at(7200))
	old := noon.Add(-time.Hour)
	a.resume(berth.Mark{OrganizationID: "org", End: at(60), Samples: []berth.Sample{sample("c", old, at(60), 16, 1, 400)}}, at(7200))
	a.take(nil, at(7200))
	if a.idle() {
		t.Error("it is given up before its containers were looked for")
	}
	a.take([]berth.Sample{sample("c", old, at(7215), 70, 1, 5000)}, at(7215))
	if u, _ := a.close(at(7260)); u.NetworkRx.Value != 4600 || !u.Start.Equal(at(60)) {
		t.Errorf("received %d since %v, want 4600", u.NetworkRx.Value, u.Start)
	}
}

// Nothing ran while Berth was away, or what ran left nothing to read: then the
// period is not from where Berth ended.
func TestATimeThatNobodyCountedIsAGap(t *testing.T) {
	old := noon.Add(-time.Hour)
	mark := berth.Mark{OrganizationID: "org", End: at(60), Samples: []berth.Sample{sample("c", old, at(60), 16, 1, 400)}}
	for name, c := range map[string]struct {
		found []berth.Sample
		start float64
		rx    int64
	}{
		"the host was off":     {[]berth.Sample{sample("c", at(7190), at(7200), 5, 1, 30)}, 7190, 30},
		"another one runs now": {[]berth.Sample{sample("d", at(7100), at(7200), 5, 1, 30)}, 7100, 30},
		"one of two runs on":   {[]berth.Sample{sample("c", old, at(7200), 20, 1, 500), sample("d", at(7100), at(7200), 5, 1, 30)}, 60, 130},
	} {
		a := newAccount("org", at(7200))
		a.resume(mark, at(7200))
		a.take(c.found, at(7200))
		u, _ := a.close(at(7215))
		if !u.Start.Equal(at(c.start)) || !u.End.Equal(at(7215)) || u.NetworkRx.Value != c.rx {
			t.Errorf("%s: received %d from %v to %v", name, u.NetworkRx.Value, u.Start, u.End)
		}
	}
}

// The loop tells of a restart a little after the kernel shows it.
func TestARestartThatIsToldLateCountsOnce(t *testing.T) {
	a := newAccount("org", noon)
	old := noon.Add(-time.Hour)
	a.take([]berth.Sample{sample("c", old, at(0), 50, 1, 700)}, at(0))
	a.take([]berth.Sample{sample("c", old, at(15), 1, 1, 100)}, at(15))    // fell: it was started at 10
	a.take([]berth.Sample{sample("c", at(10), at(30), 2, 1, 250)}, at(30)) // now it is told
	if u, _ := a.close(at(60)); u.NetworkRx.Value != 250 || u.CPUPercentAvg.Value*60/100 != 2 {
		t.Errorf("received %d, used %v s", u.NetworkRx.Value, u.CPUPercentAvg.Value*60/100)
	}
}

func TestAClockThatWentBackWhileBerthWasAwayCoversNoPeriodAgain(t *testing.T) {
	old := noon.Add(-time.Hour)
	a := newAccount("org", at(60))
	a.resume(berth.Mark{OrganizationID: "org", End: at(3600), Samples: []berth.Sample{sample("c", old, at(3600), 16, 1, 400)}}, at(60))
	a.take([]berth.Sample{sample("c", old, at(60), 17, 1, 500)}, at(60))
	if u, _ := a.close(at(120)); !u.Start.Equal(at(3600)) || !u.End.Equal(at(3660)) || u.NetworkRx.Value != 100 {
		t.Errorf("%v to %v: %d received", u.Start, u.End, u.NetworkRx.Value)
	}
}

// One that went back further was wrong before: nobody waits for it to get there
// again.
func TestAClockThatWasFarAheadIsFollowedBack(t *testing.T) {
	a := newAccount("org", noon)
	a.mono = a.mono.Add(-30 * 24 * time.Hour)
	now := at(60).Add(-30 * 24 * time.Hour)
	u, _ := a.close(now)
	if !u.End.Equal(now) || u.End.Sub(u.Start) != time.Minute {
		t.Errorf("%v to %v", u.Start, u.End)
	}
}

// What is killed takes its counter along; then the engine's word counts. Where
// the kernel shows the kill too, it is one.
func TestAKillIsCountedThoughItsContainerIsGone(t *testing.T) {
	old := noon.Add(-time.Hour)
	kills := func(seconds float64, started time.Time, n int64) []berth.Sample {
		s := sample("c", started, at(seconds), 1, 1, 1)
		s.OOMKills = berth.Known(n)
		return []berth.Sample{s}
	}
	for name, c := range map[string]struct {
		heard   [4]int64
		samples [4][]berth.Sample
		want    int64
	}{
		"the container is started again": {[4]int64{0, 1}, [4][]berth.Sample{kills(0, old, 0), kills(15, at(10), 0), kills(30, at(10), 0), kills(45, at(10), 0)}, 1},
		"the container is gone":          {[4]int64{0, 1}, [4][]berth.Sample{kills(0, old, 0)}, 1},
		"one of its processes":           {[4]int64{0, 1}, [4][]berth.Sample{kills(0, old, 0), kills(15, old, 1), kills(30, old, 1), kills(45, old, 1)}, 1},
		"the engine tells late":          {[4]int64{0, 0, 1}, [4][]berth.Sample{kills(0, old, 0), kills(15, old, 1), kills(30, old, 1), kills(45, old, 1)}, 1},
		"several at once":                {[4]int64{0, 1}, [4][]berth.Sample{kills(0, old, 0), kills(15, old, 3), kills(30, old, 3), kills(45, old, 3)}, 3},
		"one after the other":            {[4]int64{0, 1, 0, 1}, [4][]berth.Sample{kills(0, old, 0), kills(15, old, 1), kills(30, old, 1), kills(45, at(40), 0)}, 2},
		"nobody heard of it":             {[4]int64{}, [4][]berth.Sample{kills(0, old, 0), kills(15, old, 2), kills(30, old, 2), kills(45, old, 2)}, 2},
	} {
		a := newAccount("org", noon)
		for i, samples := range c.samples {
			a.killed += c.heard[i]
			a.take(samples, at(float64(15*i)))
		}
		if u, _ := a.close(at(60)); u.OOMKills != berth.Known(c.want) || a.reading().OOMKills != u.OOMKills {
			t.Errorf("%s: %v kills of %d, %v in all", name, u.OOMKills, c.want, a.reading().OOMKills)
		}
	}
}
