package health_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
)

var born = time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)

// outcome makes a probe: + well, - answered 500, . silent.
func outcome(mark rune, at time.Time) berth.Probe {
	switch mark {
	case '+':
		return berth.Probe{CheckedAt: at, Status: berth.ProbeHealthy, HTTPStatus: 200}
	case '-':
		return berth.Probe{CheckedAt: at, Status: berth.ProbeUnhealthy, HTTPStatus: 500, Cause: "answered 500"}
	}
	return berth.Probe{CheckedAt: at, Status: berth.ProbeTimeout, Cause: "no answer"}
}

// next judges a probe whose clock is right.
func next(s *health.Series, p berth.Probe) berth.Vital { return s.Next(p, p.CheckedAt) }

// judged shows the verdict after each probe: s starting, u unready, r ready,
// d dead.
func judged(check berth.HealthCheck, first time.Duration, marks string) string {
	s := health.NewSeries(check, born)
	var b strings.Builder
	for i, mark := range marks {
		v := next(s, outcome(mark, born.Add(first+time.Duration(i)*check.Interval)))
		switch {
		case v.Dead:
			b.WriteByte('d')
		case v.Ready:
			b.WriteByte('r')
		case v.Started:
			b.WriteByte('u')
		default:
			b.WriteByte('s')
		}
	}
	return b.String()
}

func TestASeriesTellsStartReadinessAndLifeApart(t *testing.T) {
	slow := berth.HealthCheck{Interval: 10 * time.Second, Retries: 3, StartPeriod: 40 * time.Second}
	fast := berth.HealthCheck{Interval: time.Second, Retries: 2, StartPeriod: 5 * time.Second}
	for name, c := range map[string]struct {
		check        berth.HealthCheck
		first        time.Duration // after the start
		probes, want string
	}{
		"well from the first":                         {slow, 0, "+++", "rrr"},
		"failures while it starts do not count":       {slow, 0, "..--+", "ssssr"},
		"the start period ends without success":       {slow, 0, "....-", "ssssu"},
		"its first success makes it ready":            {slow, 0, "......+", "ssssuur"},
		"after a success the start period is over":    {slow, 0, "+---", "rrru"},
		"too few failures change nothing":             {slow, 0, "+--+--+", "rrrrrrr"},
		"one success does not bring it back":          {slow, 0, "+---+-++", "rrruuuur"},
		"two in a row do":                             {slow, 0, "+---++", "rrruur"},
		"silence kills it":                            {slow, 0, "+......", "rrruuud"},
		"a bad answer is life":                        {slow, 0, "+---------", "rrruuuuuuu"},
		"a bad answer within silence begins anew":     {slow, 0, "+.....-.....", "rrruuuuuuuuu"},
		"a dead one that answers lives, unready":      {slow, 0, "+......-++", "rrruuuduur"},
		"silence while it starts is not death":        {slow, 0, "....", "ssss"},
		"silence is counted from the start's end":     {slow, 0, "..........", "ssssuuuuud"},
		"a short interval needs 30 s of silence":      {fast, 0, "+" + strings.Repeat(".", 32), "rr" + strings.Repeat("u", 29) + "dd"},
		"Berth comes late: ready until proven sick":   {slow, time.Hour, "---", "rru"},
		"Berth comes late: well":                      {slow, time.Hour, "+", "r"},
		"Berth comes late: one failure":               {slow, time.Hour, "-+", "rr"},
		"Berth comes late: sick, then back after two": {slow, time.Hour, "---++", "rruur"},
		"no retries given are three":                  {berth.HealthCheck{Interval: time.Second}, 0, "+---", "rrru"},
	} {
		if got := judged(c.check, c.first, c.probes); got != c.want {
			t.Errorf("%s: %s gives %s, want %s", name, c.probes, got, c.want)
		}
	}
}

// Fault 8.
func TestAClockThatJumpsNeitherKillsNorSaves(t *testing.T) {
	check := berth.HealthCheck{Interval: 10 * time.Second, Retries: 1, StartPeriod: 40 * time.Second}
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		s := health.NewSeries(check, born)
		v := s.Next(outcome('.', born.Add(jump)), born.Add(time.Second))
		if v.Started {
			t.Errorf("jump %v: the start period is over after a second", jump)
		}
		for i := range 8 { // from 40 s to 110 s
			at := born.Add(40*time.Second + time.Duration(i)*check.Interval)
			wall := at
			if i > 1 {
				wall = at.Add(jump)
			}
			v = s.Next(outcome('.', wall), at)
			if dead := i >= 3; v.Dead != dead {
				t.Errorf("jump %v: after %d s of silence dead is %v", jump, i*10, v.Dead)
			}
		}
	}
}

func TestASeriesSaysWhyAndWhatWasLast(t *testing.T) {
	s := health.NewSeries(berth.HealthCheck{Retries: 1, StartPeriod: time.Minute}, born)
	if v, ok := s.Vital(); ok || v != (berth.Vital{}) {
		t.Errorf("before the first probe: %+v", v)
	}
	if v := next(s, outcome('-', born)); v.Cause != "answered 500" || v.Started {
		t.Errorf("%+v", v)
	}
	if v := next(s, outcome('+', born.Add(time.Second))); v.Cause != "" || !v.Ready {
		t.Errorf("%+v", v)
	}
	if v := next(s, outcome('.', born.Add(2*time.Second))); v.Cause != "no answer" || v.Ready {
		t.Errorf("%+v", v)
	}
	if v, ok := s.Vital(); !ok || v.Cause != "no answer" {
		t.Errorf("%+v", v)
	}
}

func TestWhatAnswersEverySecondTimeNeverDies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		check := berth.HealthCheck{
			Retries:     rapid.IntRange(1, 20).Draw(t, "retries"),
			Interval:    time.Duration(rapid.IntRange(1, 3600).Draw(t, "interval")) * time.Second,
			StartPeriod: time.Duration(rapid.IntRange(0, 3600).Draw(t, "start")) * time.Second,
		}
		first := time.Duration(rapid.IntRange(0, 7200).Draw(t, "first")) * time.Second
		var marks strings.Builder
		for range rapid.IntRange(1, 60).Draw(t, "pairs") {
			fmt.Fprintf(&marks, ".%c", rapid.SampledFrom([]rune("+-")).Draw(t, "answer"))
		}
		if got := judged(check, first, marks.String()); strings.Contains(got, "d") {
			t.Errorf("%s gives %s", marks.String(), got)
		}
	})
}

func TestWhoIsDeadIsNeverReadyAndWasUnreadyBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		check := berth.HealthCheck{Retries: rapid.IntRange(1, 5).Draw(t, "retries"), StartPeriod: 10 * time.Second}
		s := health.NewSeries(check, born)
		at, before := born, berth.Vital{}
		for i, mark := range rapid.SliceOfN(rapid.SampledFrom([]rune("+-...")), 1, 100).Draw(t, "probes") {
			at = at.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "gap")) * time.Second)
			v := next(s, outcome(mark, at))
			if v.Dead && (v.Ready || i > 0 && before.Ready) || v.Ready && (!v.Started || v.Cause != "") || before.Started && !v.Started {
				t.Fatalf("%+v after %+v", v, before)
			}
			before = v
		}
	})
}
