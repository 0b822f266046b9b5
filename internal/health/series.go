package health

import (
	"time"

	"github.com/unite-hub/berth"
)

const (
	// DefaultRetries are those of a check that names none.
	DefaultRetries = 3

	// backAgain is how many probes in a row must succeed until an instance that
	// had become unready is ready again, so that one lucky answer does not move
	// it in and out of the routes.
	backAgain = 2

	// silence is how long an instance must give no sign of life before it is
	// dead, however short its interval is.
	silence = 30 * time.Second
)

// Series judges the probes of one start of one instance, in order. The zero
// value is not usable: NewSeries makes one.
type Series struct {
	retries     int
	startPeriod time.Duration
	started     time.Time // of the instance; it and quietAt by the caller's steady clock
	vital       berth.Vital

	begun   bool // a probe was judged
	was     bool // it was ready once
	well    int  // probes in a row that succeeded
	failed  int  // that failed, and counted
	silent  int  // that got no sign of life, and counted
	quietAt time.Time
}

// NewSeries begins with an instance that started at a time. One that Berth
// first sees after its start period is taken for ready until probes say
// otherwise: Berth's own restart takes no tenant out of its routes. startedAt and
// the times given to Next are compared with each other only: where they carry
// the monotonic clock, no jump of the wall clock counts.
func NewSeries(check berth.HealthCheck, startedAt time.Time) *Series {
	s := &Series{started: startedAt}
	s.follow(check)
	return s
}

// follow judges by another check from now on.
func (s *Series) follow(check berth.HealthCheck) {
	s.retries, s.startPeriod = check.Retries, check.StartPeriod
	if s.retries <= 0 {
		s.retries = DefaultRetries
	}
}

// Vital is the judgement so far; ok is false before the first probe.
func (s *Series) Vital() (v berth.Vital, ok bool) { return s.vital, s.begun }

// Next judges one more probe, which began at a time. Probes that Berth cut short
// ("cancelled") must not be given.
func (s *Series) Next(p berth.Probe, at time.Time) berth.Vital {
	over := at.Sub(s.started) >= s.startPeriod
	if !s.begun {
		s.begun = true
		s.vital.Ready, s.was = over, over
	}
	s.vital.Started = s.vital.Started || over || p.Status == berth.ProbeHealthy
	if p.Status == berth.ProbeHealthy {
		s.success()
		return s.vital
	}
	s.well = 0
	s.vital.Cause = p.Cause
	if !s.vital.Started {
		return s.vital // it is still starting: that does not count
	}
	s.failed++
	if s.failed >= s.retries {
		s.vital.Ready = false
	}
	s.liveness(p, at)
	if s.vital.Ready {
		s.vital.Cause = ""
	}
	return s.vital
}

func (s *Series) success() {
	s.well++
	s.failed, s.silent = 0, 0
	s.vital.Dead = false
	if s.well >= backAgain || !s.was {
		s.vital.Ready = true
	}
	s.was = s.was || s.vital.Ready
	if s.vital.Ready {
		s.vital.Cause = ""
	}
}

// liveness judges a failure: a bad answer is one.
func (s *Series) liveness(p berth.Probe, at time.Time) {
	if p.Answered() {
		s.silent, s.vital.Dead = 0, false
		return
	}
	if s.silent == 0 {
		s.quietAt = at
	}
	s.silent++
	s.vital.Dead = s.vital.Dead || s.silent >= 2*s.retries && at.Sub(s.quietAt) >= silence
}
