package storetest_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/storetest"
)

func maybeInt(t *rapid.T, name string) berth.Maybe[int64] {
	if rapid.Bool().Draw(t, name+" known") {
		return berth.Known(rapid.Int64Range(0, 1<<40).Draw(t, name))
	}
	return berth.Maybe[int64]{}
}

func TestSumsOfPeriodsAreSumsAndMeansAreMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		var periods []berth.Usage
		for range rapid.IntRange(1, 20).Draw(t, "periods") {
			length := time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second
			u := berth.Usage{OrganizationID: "org", Resolution: berth.ByMinute, Start: at, End: at.Add(length), Requests: maybeInt(t, "requests"),
				NetworkRx: maybeInt(t, "rx"), MemoryAvg: maybeInt(t, "memory"), Disk: maybeInt(t, "disk"), Samples: 4}
			u.MemoryMax = u.MemoryAvg
			if rapid.Bool().Draw(t, "cpu known") {
				u.CPUPercentAvg = berth.Known(rapid.Float64Range(0, 400).Draw(t, "cpu"))
				u.CPUPercentMax = u.CPUPercentAvg
			}
			periods = append(periods, u)
			at = at.Add(length)
		}
		sum := storetest.RollUp(berth.ByHour, periods)
		var requests, most int64
		known := false
		low, high := math.Inf(1), math.Inf(-1)
		for _, u := range periods {
			requests, known = requests+u.Requests.Value, known || u.Requests.Known
			most = max(most, u.MemoryMax.Value)
			if u.CPUPercentAvg.Known {
				low, high = min(low, u.CPUPercentAvg.Value), max(high, u.CPUPercentAvg.Value)
			}
		}
		if sum.Requests.Value != requests || sum.Requests.Known != known {
			t.Errorf("requests %+v, want %d, known %t", sum.Requests, requests, known)
		}
		if sum.MemoryMax.Value != most || !sum.Start.Equal(periods[0].Start) || !sum.End.Equal(at) || sum.Samples != 4*len(periods) {
			t.Errorf("%+v of %+v", sum, periods)
		}
		if c := sum.CPUPercentAvg; c.Known != !math.IsInf(low, 1) || c.Known && (c.Value < low-1e-6 || c.Value > high+1e-6) || sum.CPUPercentMax.Known && sum.CPUPercentMax.Value != high {
			t.Errorf("CPU %+v of %v to %v", c, low, high)
		}
		// Summing in two steps gives the same counts.
		half := len(periods) / 2
		if half > 0 {
			twice := storetest.RollUp(berth.ByDay, []berth.Usage{storetest.RollUp(berth.ByHour, periods[:half]), storetest.RollUp(berth.ByHour, periods[half:])})
			if twice.Requests != sum.Requests || twice.NetworkRx != sum.NetworkRx || twice.Disk != sum.Disk || !twice.End.Equal(sum.End) {
				t.Errorf("in two steps %+v, in one %+v", twice, sum)
			}
		}
	})
}
