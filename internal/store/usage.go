package store

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// Usages are what tenants used, by period. They outlive the tenant.
type Usages interface {
	// PutUsage stores periods of an organization's living tenant, else of its
	// latest; one with the same resolution and start is replaced. Those of
	// organizations that never had one are left out.
	PutUsage(ctx context.Context, list []berth.Usage) error
	// ListUsage returns periods by start.
	ListUsage(ctx context.Context, q UsageQuery) ([]berth.Usage, error)
	// SumUsage sums finer periods up to coarser ones, by start: what is counted is
	// added, means are weighted by how long each period is, or by its requests.
	SumUsage(ctx context.Context, s UsageSum) ([]berth.Usage, error)
	// OrganizationsToSum returns the organizations, sorted, whose newest finer period of
	// those that begin before a time ends otherwise than their newest coarser one.
	OrganizationsToSum(ctx context.Context, finer, coarser berth.Resolution, before time.Time) ([]string, error)
	// DropUsage drops the periods that begin in [from, to), to be made anew.
	DropUsage(ctx context.Context, organizationID string, resolution berth.Resolution, from, to time.Time) error
	// ForgetUsage drops at most that many periods that begin before a time,
	// oldest first, and returns how many.
	ForgetUsage(ctx context.Context, resolution berth.Resolution, before time.Time, most int) (int, error)
}

// UsageQuery is which periods are listed: those that begin in [From, To), at most
// Limit.
type UsageQuery struct {
	OrganizationID string
	Resolution     berth.Resolution
	From, To       time.Time
	Limit          int
}

// UsageSum is which periods are summed up to which.
type UsageSum struct {
	OrganizationID string
	From, To       berth.Resolution
	Begin, End     time.Time // those of From that begin in [Begin, End)
	And            time.Time // where a period of To begins that is added to them; zero for none
}

// UsageMarks are where the counters of each tenant stood when its last period
// ended.
type UsageMarks interface {
	// PutMarks replaces those of the organizations named.
	PutMarks(ctx context.Context, list []berth.Mark) error
	Marks(ctx context.Context) ([]berth.Mark, error)
	// ForgetMarks drops those of organizations without a living tenant.
	ForgetMarks(ctx context.Context) error
}
