package berth

import "time"

// ProbeStatus is the outcome of one probe, in the seed's words.
type ProbeStatus string

const (
	ProbeHealthy   ProbeStatus = "healthy"
	ProbeUnhealthy ProbeStatus = "unhealthy"
	ProbeTimeout   ProbeStatus = "timeout" // only when the deadline passed
)

// HealthCheck says how a service is probed over HTTP.
type HealthCheck struct {
	Path        string
	Interval    time.Duration
	Timeout     time.Duration // of one probe, from dial to the end of the body
	Retries     int
	StartPeriod time.Duration
}

// Probe is the result of one probe: a row of tenant_health.
type Probe struct {
	OrganizationID string
	CheckedAt      time.Time
	Status         ProbeStatus
	ResponseTime   time.Duration
	HTTPStatus     int    // 0 if there was no answer
	Cause          string // "" if healthy
	Type           string // "http"
	Endpoint       string // path
}
