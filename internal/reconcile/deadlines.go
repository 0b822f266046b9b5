package reconcile

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// graces is how long instances may take to stop, one after the other.
func graces(list []berth.Instance) (sum time.Duration) {
	for _, c := range list {
		sum += c.StopGrace
	}
	return sum
}

// changeDeadline is how long one whole operation of the engine may take that
// may have to stop what was seen: it covers the time that this may take.
func (p *pass) changeDeadline() time.Duration { return p.CallDeadline + graces(p.Seen.Instances) }

// removalDeadline is the same for a tenant that is to go. Its pass did not look;
// what ran was seen by the one before, or is looked at now.
func (p *pass) removalDeadline(ctx context.Context) (time.Duration, error) {
	deadline, known := p.CallDeadline, p.fleet.of(p.Tenant.OrganizationID)
	for _, m := range known {
		deadline += m.StopGrace
	}
	if len(known) > 0 {
		return deadline, nil
	}
	err := p.call(ctx, p.lanes.look, p.LookDeadline, func(ctx context.Context) error {
		seen, err := p.Engine.Observe(ctx, p.Tenant.OrganizationID)
		deadline += graces(seen.Instances)
		return err
	})
	return deadline, err
}
