package berth

import (
	"net/netip"
	"time"
)

// ProbeStatus is the outcome of one probe, in the seed's words.
type ProbeStatus string

const (
	ProbeHealthy   ProbeStatus = "healthy"
	ProbeUnhealthy ProbeStatus = "unhealthy"
	ProbeTimeout   ProbeStatus = "timeout" // only when the deadline passed
)

// ProbeKind is how an instance is asked.
type ProbeKind string

const (
	ProbeHTTP   ProbeKind = "http"
	ProbeTCP    ProbeKind = "tcp"    // a connection is taken
	ProbeEngine ProbeKind = "engine" // the engine's own health check says so
)

// HealthCheck says how a service is probed. What is beyond HTTP's defaults is
// left out of the hash of a service that does not use it.
type HealthCheck struct {
	Path        string // of ProbeHTTP
	Interval    time.Duration
	Timeout     time.Duration // of one probe, from dial to the end of the body
	Retries     int           // probes in a row that must fail before the instance counts as unready
	StartPeriod time.Duration // after a start, in which failures do not count

	Kind      ProbeKind         `json:",omitempty"` // "" is ProbeHTTP
	Method    string            `json:",omitempty"` // "" is GET
	Headers   map[string]string `json:",omitempty"` // Host may be among them
	StatusMin int               `json:",omitempty"` // 0 is 200
	StatusMax int               `json:",omitempty"` // 0 is 299
}

// Probe is the result of one probe: a row of tenant_health.
type Probe struct {
	OrganizationID string
	CheckedAt      time.Time
	Status         ProbeStatus
	ResponseTime   time.Duration
	HTTPStatus     int    // 0 if there was no answer
	Cause          string // "" if healthy
	Type           string // "http", "tcp" or "engine"
	Endpoint       string // path, or address
	Alive          bool   // it gave some answer, though not a good one; not stored

	// The whole tenant's use at that moment.
	CPUPercent Maybe[float64] // 100 is one core
	MemoryMB   Maybe[int]
	DiskMB     Maybe[int]
}

// Answered reports whether whoever was probed gave any answer, good or bad: a
// sign of life.
func (p Probe) Answered() bool { return p.Status == ProbeHealthy || p.HTTPStatus != 0 || p.Alive }

// With returns the probe with what the tenant used at that moment.
func (p Probe) With(r Reading) Probe {
	p.CPUPercent, p.MemoryMB, p.DiskMB = r.CPUPercent, megabytes(r.MemoryBytes), megabytes(r.DiskBytes)
	return p
}

// megabytes rounds up: what is used is never shown as nothing.
func megabytes(bytes Maybe[int64]) Maybe[int] {
	return Maybe[int]{Value: int((bytes.Value + 1<<20 - 1) >> 20), Known: bytes.Known}
}

// Accepts reports whether an HTTP status counts as well.
func (c HealthCheck) Accepts(status int) bool {
	least, most := c.StatusMin, c.StatusMax
	if least == 0 {
		least = 200
	}
	if most == 0 {
		most = max(least, 299)
	}
	return status >= least && status <= most
}

// Vital is how an instance that runs does, as its probes in a row say.
// Start-up, readiness and liveness are three things: an instance is Started
// once a probe succeeded or its start period is over, Ready as long as fewer
// than HealthCheck.Retries probes in a row failed since, and Dead when it gave
// no sign of life at all for twice as many.
type Vital struct {
	Started bool
	Ready   bool
	Dead    bool
	Cause   string // of the last failure; "" if Ready
}

// Member is one running instance of the fleet, as the loop last saw it: what those
// need of it who watch the fleet, and no more, for there is one of each instance.
type Member struct {
	OrganizationID string
	InstanceID     string
	Name           string         // the instance's
	Health         InstanceHealth // as the engine's own check says
	HealthCause    string         // likewise; "" while that is well
	StartedAt      time.Time
	Address        netip.AddrPort
	StopGrace      time.Duration
	Check          *HealthCheck // of a main one; many share it, and nobody changes it
	Main           bool         // takes the tenant's requests
	Steady         bool         // no deployment of the tenant is under way
}

// Instance is as much of the instance as a member knows.
func (m *Member) Instance() Instance {
	return Instance{ID: m.InstanceID, Name: m.Name, State: InstanceRunning, Health: m.Health, HealthCause: m.HealthCause, StartedAt: m.StartedAt,
		Address: m.Address, StopGrace: m.StopGrace}
}

// HealthPeriod is what the probes of one tenant came to in one hour or day, in
// UTC: a row of tenant_health_rollups.
type HealthPeriod struct {
	TenantID       string // record id
	OrganizationID string
	Resolution     Resolution // ByHour or ByDay
	Start          time.Time

	Healthy   int
	Unhealthy int
	Timeouts  int

	ResponseTotal time.Duration // of all its probes, in whole milliseconds
	ResponseMax   time.Duration
}

// Checks is how many probes there were.
func (h HealthPeriod) Checks() int { return h.Healthy + h.Unhealthy + h.Timeouts }

// ResponseMean is how long a probe took on average; time-outs count in full. Not
// known where none was timed, as the engine's own checks are not.
func (h HealthPeriod) ResponseMean() Maybe[time.Duration] {
	if h.Checks() == 0 || h.ResponseMax == 0 {
		return Maybe[time.Duration]{}
	}
	return Known(h.ResponseTotal / time.Duration(h.Checks()))
}

// Plus returns both periods' probes together, under h's name and start.
func (h HealthPeriod) Plus(other HealthPeriod) HealthPeriod {
	h.Healthy += other.Healthy
	h.Unhealthy += other.Unhealthy
	h.Timeouts += other.Timeouts
	h.ResponseTotal += other.ResponseTotal
	h.ResponseMax = max(h.ResponseMax, other.ResponseMax)
	return h
}

// Availability is the share of probes that found the tenant well, from 0 to 1;
// not known without any.
func (h HealthPeriod) Availability() Maybe[float64] {
	if h.Checks() == 0 {
		return Maybe[float64]{}
	}
	return Known(float64(h.Healthy) / float64(h.Checks()))
}

const (
	// LastChecks and LastChecksWithin are what HealthOf looks at, as the seed's
	// get_container_health_status did.
	LastChecks       = 5
	LastChecksWithin = 5 * time.Minute
)

// HealthOf is the seed's get_container_health_status: the health that the
// last five checks within five minutes show. The seed states its inputs and
// its four answers, no rule; this one is ours: what more than half of the
// checks say. Where the newest found it well and most did not, it is starting.
// Without a check it is unknown. newest is in descending order of time.
func HealthOf(newest []Probe, now time.Time) Health {
	checks, well, wellNow := 0, 0, false
	for _, p := range newest {
		if checks == LastChecks || now.Sub(p.CheckedAt) > LastChecksWithin {
			break
		}
		if p.Status == ProbeHealthy {
			well++
			wellNow = wellNow || checks == 0
		}
		checks++
	}
	switch {
	case checks == 0:
		return HealthUnknown
	case 2*well > checks:
		return HealthHealthy
	case wellNow:
		return HealthStarting
	}
	return HealthUnhealthy
}

// Ask asks an instance in the way that c names: by probe, or by what the engine
// says of it. ok is false if there is no answer to be had yet. This is the one
// place where that is chosen.
func (c HealthCheck) Ask(i Instance, at time.Time, probe func(netip.AddrPort) Probe) (p Probe, ok bool) {
	switch {
	case c.Kind == ProbeEngine:
		return engineProbe(i, at)
	case !i.Address.IsValid():
		return Probe{}, false
	}
	return probe(i.Address), true
}

func because(cause string) string {
	if cause == "" {
		return ""
	}
	return ": " + cause
}

// engineProbe turns what the engine's own health check of an instance says into a
// probe. ok is false while that check has not come to a result: there is
// nothing to judge.
//
// An engine says "unhealthy" of a program that answers badly and of one that
// hangs alike, so it is no sign of life. An instance without a check of its
// own is unready, never dead: a restart would not bring it one.
func engineProbe(c Instance, at time.Time) (p Probe, ok bool) {
	p = Probe{
		CheckedAt: at.UTC().Truncate(time.Microsecond), Status: ProbeUnhealthy,
		Type: string(ProbeEngine), Endpoint: c.Name,
	}
	switch c.Health {
	case InstanceHealthy:
		p.Status = ProbeHealthy
	case InstanceUnhealthy:
		p.Cause = "the engine's health check fails" + because(c.HealthCause)
	case InstanceUnchecked:
		p.Alive = true
		p.Cause = "the container has no health check that the engine runs"
	default:
		return Probe{}, false
	}
	return p, true
}
