package client

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Health is what is known of a tenant's health without asking it.
type Health struct {
	OrganizationID    string     `json:"organizationId"`
	HealthStatus      string     `json:"healthStatus"`
	LastChecksStatus  string     `json:"lastChecksStatus"` // of the last 5 checks within 5 minutes
	Healthy           *bool      `json:"healthy"`          // nil if not known
	LastHealthCheckAt *time.Time `json:"lastHealthCheckAt"`
	ResponseTimeMs    *float64   `json:"responseTimeMs"` // of the last check
	Cause             *string    `json:"cause"`

	// Over the whole hours that are over, of the Hours before now.
	Hours              int      `json:"hours"`
	Availability       *float64 `json:"availability"` // share of healthy checks, 0 to 1; nil without a check
	CheckCount         int      `json:"checkCount"`
	ResponseTimeMeanMs *float64 `json:"responseTimeMeanMs"`
	ResponseTimeMaxMs  *float64 `json:"responseTimeMaxMs"`

	Checks     []Probe `json:"checks"`     // newest first
	NextCursor *string `json:"nextCursor"` // of older checks; nil if there are none
}

// Health returns a tenant's health with its newest checks and its availability
// over hours; 0 means 100 checks and 24 hours.
func (c *Client) Health(ctx context.Context, org string, checks, hours int) (out Health, err error) {
	q := page("", checks)
	if hours != 0 {
		q.Set("hours", strconv.Itoa(hours))
	}
	err = c.get(ctx, tenantPath(org, "health"), q, &out)
	return out, err
}

// ProbeList is a page of checks, newest first.
type ProbeList struct {
	Checks     []Probe `json:"checks"`
	NextCursor *string `json:"nextCursor"` // nil after the last page
}

// Probes lists the checks of a tenant.
func (c *Client) Probes(ctx context.Context, org, cursor string, limit int) (out ProbeList, err error) {
	err = c.get(ctx, tenantPath(org, "health"), page(cursor, limit), &out)
	return out, err
}

// CheckHealth probes a tenant now.
func (c *Client) CheckHealth(ctx context.Context, org string) (out Status, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: tenantPath(org, "health-check")}, &out)
	return out, err
}

// Swept is what a sweep found of one tenant.
type Swept struct {
	OrganizationID string `json:"organizationId"`
	Slug           string `json:"slug"`
	TenantName     string `json:"tenantName"`
	Healthy        *bool  `json:"healthy"` // nil if it could not be asked
	Check          *Probe `json:"check"`
}

// Sweep is one look at the fleet.
type Sweep struct {
	CheckedAt  time.Time `json:"checkedAt"`
	DurationMs int64     `json:"durationMs"`
	Checked    int       `json:"checked"`
	Healthy    int       `json:"healthy"`
	Unhealthy  int       `json:"unhealthy"`
	Timeout    int       `json:"timeout"`
	Unknown    int       `json:"unknown"` // run, and could not be asked
	Tenants    []Swept   `json:"tenants"` // those that are not well first
	Omitted    int       `json:"omitted"` // beyond the limit
}

// SweepHealth probes every running tenant once, now, and lists up to limit of
// them; 0 means 100.
func (c *Client) SweepHealth(ctx context.Context, limit int) (out Sweep, err error) {
	err = c.get(ctx, "/api/tenants/health-check", page("", limit), &out)
	return out, err
}
