package store

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// Health is the record of probes: each one for a time, then their sums.
type Health interface {
	// RecordProbes stores rows of living tenants and when each was last
	// checked. It leaves a tenant's Revision as it is: a check is no change.
	// Probes of organizations without a living tenant are left out.
	RecordProbes(ctx context.Context, probes []berth.Probe) error
	// SumHealth sums the probes of [from, to) per tenant, by organization: of
	// single probes ByHour, of hours ByDay. Resolution and Start are set from r
	// and from.
	SumHealth(ctx context.Context, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error)
	// PutHealth inserts or replaces by tenant, resolution and start. A period that
	// counts fewer probes than the one there replaces nothing: rows that it was made
	// of are dropped already.
	PutHealth(ctx context.Context, periods []berth.HealthPeriod) error
	// ListHealth returns an organization's periods that began in [from, to), oldest first.
	ListHealth(ctx context.Context, organizationID string, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error)
	// HealthSpan returns when the oldest and the newest row of a resolution
	// begin, of those before a time; of single probes for "". Zero times if there
	// is none.
	HealthSpan(ctx context.Context, r berth.Resolution, before time.Time) (oldest, newest time.Time, err error)
	// ForgetHealth drops up to limit rows of a resolution that began before a
	// time, the oldest first, and returns how many.
	ForgetHealth(ctx context.Context, r berth.Resolution, before time.Time, limit int) (int, error)
}
