package store

import (
	"context"
	"time"
)

// Surplus says which deployments of an organization are too many. docs/retention.md
// has the rule and its reasons.
type Surplus struct {
	OrganizationID string
	Keep           int      // the newest so many stay, and what they rolled back to
	Spare          []string // ids that stay, however old
	Among          []string // only of these ids, each found by its key; nil: of all
	Limit          int      // most that are returned
}

// Histories are the deployments of organizations and the secret versions that they
// refer to, as something that grows. System only.
type Histories interface {
	// LongHistories returns the organizations that have more deployments than keep.
	LongHistories(ctx context.Context, keep int) ([]string, error)
	// SurplusDeployments returns the ids of what is over and may go, the newest first:
	// what still waits for an idempotency key to be forgotten is not among them.
	SurplusDeployments(ctx context.Context, s Surplus) ([]string, error)
	// DropDeployments drops them. A deployment that stays forgets that it rolled back
	// to one of them; one that is open is not dropped.
	DropDeployments(ctx context.Context, ids []string) error
	// UnusedSecrets returns up to limit ids of an organization's versions that neither
	// a tenant of its, living or not, nor a deployment refers to. No order can come to
	// use one again.
	UnusedSecrets(ctx context.Context, organizationID string, limit int) ([]string, error)
	DropSecrets(ctx context.Context, ids []string) error
}

// Removed is a tenant that was deprovisioned.
type Removed struct{ TenantID, OrganizationID string }

// Tombstones are what stays of tenants that were deprovisioned. System only.
type Tombstones interface {
	// OldTombstones returns those from before a time that may go, the oldest first. One
	// whose organization has a volume that was kept is not among them.
	OldTombstones(ctx context.Context, before time.Time) ([]Removed, error)
	// EmptyTombstone drops up to limit rows of what was recorded and measured of one
	// that may go, and returns how many.
	EmptyTombstone(ctx context.Context, r Removed, before time.Time, limit int) (int, error)
	// DropTombstone drops one that may go and is empty; otherwise it does nothing.
	DropTombstone(ctx context.Context, r Removed, before time.Time) error
}
