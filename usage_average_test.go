package berth_test

import (
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

func period(start, minutes int) berth.Usage {
	from := time.Date(2026, 11, 1, 0, start, 0, 0, time.UTC)
	return berth.Usage{Start: from, End: from.Add(time.Duration(minutes) * time.Minute)}
}

func TestAPeriodWeighsAsMuchAsItLasted(t *testing.T) {
	long, short := period(0, 60), period(60, 1)
	long.CPUPercentAvg, long.CPUPercentMax, long.MemoryAvg = berth.Known(10.0), berth.Known(20.0), berth.Known(int64(100))
	short.CPUPercentAvg, short.CPUPercentMax, short.MemoryAvg = berth.Known(71.0), berth.Known(90.0), berth.Known(int64(710))
	a := berth.AverageUsage([]berth.Usage{short, long})
	if a.CPUPercentAvg != berth.Known(11.0) || a.MemoryAvg != berth.Known(int64(110)) || a.CPUPercentMax != berth.Known(90.0) {
		t.Errorf("%+v", a)
	}
	if a.Covered != 61*time.Minute || !a.From.Equal(long.Start) || !a.To.Equal(short.End) {
		t.Errorf("covers %v from %v to %v", a.Covered, a.From, a.To)
	}
}

func TestWhatIsUnknownCountsNeitherForNorAgainst(t *testing.T) {
	known, unknown := period(0, 60), period(60, 60)
	known.CPUPercentAvg, known.Requests, known.Disk = berth.Known(50.0), berth.Known(int64(7)), berth.Known(int64(5))
	a := berth.AverageUsage([]berth.Usage{known, unknown})
	if a.CPUPercentAvg != berth.Known(50.0) || a.Requests != berth.Known(int64(7)) || a.Disk != berth.Known(int64(5)) {
		t.Errorf("%+v", a)
	}
	if a.MemoryAvg.Known || a.MemoryMax.Known || a.Errors.Known || a.OOMKills.Known || a.ResponseTime.Known {
		t.Errorf("something was made up: %+v", a)
	}
	if none := berth.AverageUsage(nil); none != (berth.UsageAverage{}) {
		t.Errorf("of nothing: %+v", none)
	}
}

func TestResponseTimesWeighByRequests(t *testing.T) {
	busy, quiet := period(0, 1), period(1, 60)
	busy.Requests, busy.ResponseTime = berth.Known(int64(99)), berth.Known(10*time.Millisecond)
	quiet.Requests, quiet.ResponseTime = berth.Known(int64(1)), berth.Known(1010*time.Millisecond)
	if a := berth.AverageUsage([]berth.Usage{busy, quiet}); a.ResponseTime != berth.Known(20*time.Millisecond) {
		t.Errorf("%v", a.ResponseTime)
	}
}

func TestTheSpanPicksTheResolution(t *testing.T) {
	day := 24 * time.Hour
	for span, want := range map[time.Duration]berth.Resolution{
		time.Hour: berth.ByMinute, 6 * time.Hour: berth.ByMinute, 7 * time.Hour: berth.ByHour,
		14 * day: berth.ByHour, 15 * day: berth.ByDay,
	} {
		if got := berth.ResolutionFor(span); got != want {
			t.Errorf("%v: %s, want %s", span, got, want)
		}
	}
}
