package tenancy

import (
	"context"
	"slices"
	"time"

	"github.com/unite-hub/berth"
)

// foundDown is the cause of a tenant that is said to run and does not.
const foundDown = "found not running; being repaired"

// look is one look at a tenant's instances. Its zero value saw nothing.
type look struct {
	seen berth.Observed
	ok   bool      // the engine answered
	at   time.Time // before it was asked
}

// look asks the engine. What can't be seen now leaves what is recorded in force.
func (s *Service) look(ctx context.Context, organizationID string, patience time.Duration) look {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := look{at: s.now()}
	var err error
	l.seen, err = s.loop.Look(ctx, organizationID)
	l.ok = err == nil
	return l
}

// of is a tenant as it was seen: one that is recorded to run, with no deployment
// at work on it, has failed if nothing of it does. changed says so. What was
// recorded after the look knows better, and the loop, which was told, records
// this soon.
func (l look) of(t berth.Tenant, busy bool) (now berth.Tenant, changed bool) {
	if !l.ok || busy || t.Status != berth.StatusRunning || t.UpdatedAt.After(l.at) || slices.ContainsFunc(l.seen.Instances, answers) {
		return t, false
	}
	t.Status, t.Health = berth.StatusFailed, berth.HealthUnhealthy
	if t.Cause != "" { // it is on its way back from an order that failed or was cancelled
		t.Cause += "; "
	}
	t.Cause += foundDown
	return t, true
}

// drift reports whether a tenant that is down was put down by other means: it was as
// it should be, and nothing of it crashed, which the loop tells as such.
func (l look) drift(t berth.Tenant) bool {
	crashed := func(c berth.Instance) bool {
		return c.State == berth.InstanceRestarting || c.State == berth.InstanceExited && c.Unattended
	}
	return t.Cause == "" && !slices.ContainsFunc(l.seen.Instances, crashed)
}

func answers(c berth.Instance) bool { return c.State == berth.InstanceRunning && c.Address.IsValid() }
