package berth_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

func TestHealthIsWhatMostOfTheLastFiveChecksSay(t *testing.T) {
	now := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		checks string // newest first: + well, - not, . timed out
		every  time.Duration
		want   berth.Health
	}{
		"none":                                {"", time.Second, berth.HealthUnknown},
		"none within five minutes":            {"+++", 301 * time.Second, berth.HealthUnknown},
		"one":                                 {"+", time.Second, berth.HealthHealthy},
		"one bad one":                         {"-", time.Second, berth.HealthUnhealthy},
		"a time-out":                          {".", time.Second, berth.HealthUnhealthy},
		"one failure among five":              {"-++++", time.Second, berth.HealthHealthy},
		"most failed":                         {"--+-+", time.Second, berth.HealthUnhealthy},
		"most failed, the newest did not":     {"+-.-+", time.Second, berth.HealthStarting},
		"half, the newest failed":             {"-+", time.Second, berth.HealthUnhealthy},
		"half, the newest did not":            {"+-", time.Second, berth.HealthStarting},
		"the sixth does not count":            {"+-+-+---", time.Second, berth.HealthHealthy},
		"what is older does not count":        {"++---", 100 * time.Second, berth.HealthHealthy},
		"exactly five minutes old does count": {"+", 300 * time.Second, berth.HealthHealthy},
	} {
		var list []berth.Probe
		for i, mark := range c.checks {
			status := map[rune]berth.ProbeStatus{'+': berth.ProbeHealthy, '-': berth.ProbeUnhealthy, '.': berth.ProbeTimeout}[mark]
			list = append(list, berth.Probe{Status: status, CheckedAt: now.Add(-time.Duration(i+1) * c.every)})
		}
		if got := berth.HealthOf(list, now); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhatIsNotTimedHasNoResponseTime(t *testing.T) {
	if h := (berth.HealthPeriod{Healthy: 5}); h.ResponseMean().Known || !h.Availability().Known {
		t.Errorf("the engine's checks took %v", h.ResponseMean())
	}
}

func TestAvailabilityIsNotKnownWithoutAProbe(t *testing.T) {
	var h berth.HealthPeriod
	if h.Availability().Known || h.ResponseMean().Known {
		t.Errorf("%+v of nothing", h.Availability())
	}
	h = h.Plus(berth.HealthPeriod{Healthy: 3, Unhealthy: 1, ResponseTotal: 8 * time.Second, ResponseMax: 5 * time.Second}).Plus(berth.HealthPeriod{Timeouts: 4, ResponseMax: time.Second})
	if h.Availability() != berth.Known(0.375) || h.ResponseMean() != berth.Known(time.Second) || h.ResponseMax != 5*time.Second {
		t.Errorf("%+v", h)
	}
}

func TestAMemberGivesAllThatItKnowsOfItsInstance(t *testing.T) {
	m := berth.Member{Name: "web", Health: berth.InstanceUnhealthy, HealthCause: "exit code 1", StartedAt: time.Unix(1, 0),
		Address: netip.MustParseAddrPort("10.0.0.2:80"), StopGrace: time.Second}
	from, to := reflect.ValueOf(m), reflect.ValueOf(m.Instance())
	for i := range from.NumField() {
		name := from.Type().Field(i).Name
		if f := to.FieldByName(name); f.IsValid() && !reflect.DeepEqual(f.Interface(), from.Field(i).Interface()) {
			t.Errorf("%s is %v, want %v", name, f, from.Field(i))
		}
	}
	probe, _ := berth.HealthCheck{Kind: berth.ProbeEngine}.Ask(m.Instance(), time.Now(), nil)
	if want := "the engine's health check fails"; !strings.HasPrefix(probe.Cause, want) || !strings.Contains(probe.Cause, m.HealthCause) {
		t.Errorf("the cause is %q", probe.Cause)
	}
}
