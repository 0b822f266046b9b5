package reconcile

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
	"github.com/unite-hub/berth/internal/store"
)

// How a failure is taken: an error of a pass becomes a part of the situation
// (failed), the plan decides what follows from it (plan/failure.go), and a
// deployment that goes back is recorded here (fail). The next pass then brings the
// tenant to its former spec as to any other.

// failed turns an error into what comes next, and records it where it is the
// tenant's.
func (p *pass) failed(ctx context.Context, organizationID string, err error) verdict {
	switch {
	case ctx.Err() != nil || p.soft.Err() != nil && errors.Is(err, context.Canceled):
		return verdict{then: plan.Retry} // ending, or rung: another pass follows
	case berth.Is(err, berth.CodeStale):
		return verdict{then: plan.Wait} // an order came in between
	case berth.Is(err, berth.CodeNotLeading), berth.Is(err, berth.CodeOutcomeUnknown):
		return verdict{then: plan.Retry} // the database's trouble: what is recorded stands
	case berth.Is(err, berth.CodeSubnetTaken):
		p.deployments.impatient(p.Deployment)
		if p.Deployment == nil || p.deployments.recall(p.Deployment).waited(p.Loop.Observe) < p.Loop.Patience {
			err = p.changeSubnet(ctx, err)
		}
	}
	if err == nil {
		return verdict{then: plan.Retry} // not at once: another one may clash as well
	}
	p.Log.Warn("tenant could not be reconciled", "tenant", organizationID, "error", err, "code", berth.CodeOf(err))
	code := berth.CodeOf(err)
	if code == berth.CodeEngineUnavailable {
		p.verifyEngine(ctx)
		switch {
		case !p.reachable():
			return verdict{then: plan.Retry}
		case p.Deployment == nil && p.saw.IsZero():
			p.lookFailed(ctx, err)
			return verdict{then: plan.Retry}
		case p.Deployment == nil && !plan.Lacks(p.Situation): // it only has too much
			return verdict{then: plan.Retry}
		}
		// The engine fails for this tenant alone: a deployment ends with patience, and a
		// repair that does not succeed is told.
	}
	if p.Tenant.OrganizationID == "" || code == berth.CodeStorageUnavailable {
		return verdict{then: plan.Retry}
	}
	if p.Deployment != nil && p.Tenant.Want != berth.WantGone {
		p.deployments.impatient(p.Deployment)
		p.lookAgain(ctx)
	}
	p.recall(ctx)
	p.Failure = &plan.Failure{Code: code, Reason: err.Error()}
	again, err := p.act(ctx)
	if err != nil {
		if ctx.Err() == nil && p.soft.Err() == nil {
			p.Log.Warn("failure could not be recorded", "tenant", organizationID, "error", err)
		}
		return verdict{then: plan.Retry}
	}
	return again
}

const (
	unseenCause  = "the engine answers, but not what is there of this tenant: "
	unknownAfter = 2 // failed looks on end
)

// saidUnseen reports whether it was told that a tenant can't be seen. Its cause keeps
// that, so that a restart of Berth does not have it told again.
func saidUnseen(t berth.Tenant) bool { return strings.HasPrefix(t.Cause, unseenCause) }

// unseenHealth is a running tenant's health while nobody can tell. One that was not well
// stays so: that it is again is told only then.
func unseenHealth(t berth.Tenant) berth.Health {
	if t.Health == berth.HealthUnhealthy {
		return t.Health
	}
	return berth.HealthUnknown
}

// lookFailed takes notice of a look that failed for this tenant alone. What can't be seen is
// not said to have failed, nor is it claimed to be well for ever: from the second look on
// end its health is unknown, which is told once.
func (p *pass) lookFailed(ctx context.Context, cause error) {
	org := p.Tenant.OrganizationID
	if p.fleet.lookFailed(org) < unknownAfter || p.Tenant.Status != berth.StatusRunning || saidUnseen(p.Tenant) {
		return
	}
	err := p.commit(ctx, func(tx store.Tx, t *berth.Tenant, _ *berth.Deployment) error {
		t.Health, t.Cause = unseenHealth(*t), unseenCause+cause.Error()
		return tx.InsertEvent(ctx, event(org, berth.EventEngine, t.Cause))
	})
	if err != nil && ctx.Err() == nil {
		p.Log.Warn("health could not be marked unknown", "tenant", org, "error", err)
	}
}

// lookAgain sees what became of the instances, so that an error of the engine
// does not hide that one ended. What can't be seen now is left as it was.
func (p *pass) lookAgain(ctx context.Context) {
	if p.blueprint == nil || p.neverApplied() {
		return
	}
	_ = p.call(ctx, p.lanes.look, lineWait, func(ctx context.Context) error {
		began := time.Now()
		seen, err := p.Engine.Observe(ctx, p.Tenant.OrganizationID)
		if err == nil {
			p.look(seen, began)
		}
		return err
	})
}

// fail records that the deployment failed. A change of what runs leaves the
// tenant as it was: its former spec becomes the next generation.
func (p *pass) fail(ctx context.Context, cause string) error {
	if p.Deployment == nil {
		return p.mark(ctx, plan.Step{Reason: cause})
	}
	running := len(upstreams(p.Seen)) > 0
	p.routes.renew(p.Tenant.OrganizationID) // the way back has its own time
	return p.commit(ctx, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Status, d.Error, d.CompletedAt, d.CanRollback = berth.DeploymentFailed, cause, store.Now(), false
		failed := event(t.OrganizationID, berth.EventDeploymentFailed, string(d.Type)+" failed: "+cause)
		failed.DeploymentID = d.ID
		if err := tx.InsertEvent(ctx, failed); err != nil {
			return err
		}
		t.Cause = cause
		if d.Reverts() {
			d.TakeBack(t)
			t.Want = d.PreviousWant
			t.Generation++
			t.Health = berth.HealthUnknown
			return nil
		}
		t.ContainerID = p.mainInstance()
		t.Status, t.Health = berth.StatusFailed, berth.HealthUnhealthy
		if running && t.Want == berth.WantRunning {
			*t = p.stamped(withStatus(*t, berth.StatusRunning))
		}
		return nil
	})
}

func withStatus(t berth.Tenant, s berth.Status) berth.Tenant {
	t.Status = s
	return t
}

// mark records why a tenant is not as it should be, outside a deployment's end. One
// of which that was told is unhealthy from then on: it is told again once it is well.
func (p *pass) mark(ctx context.Context, s plan.Step) error {
	told := p.Tenant.Health == berth.HealthUnhealthy
	if p.Tenant.Cause == s.Reason && (told || s.Event == "") {
		return nil
	}
	return p.commit(ctx, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		t.Cause = s.Reason
		if d != nil || t.Status == berth.StatusDeprovisioning {
			return nil
		}
		t.Status = berth.StatusFailed
		switch {
		case told:
			return nil
		case s.Event == "":
			t.Health = berth.HealthUnknown
			return nil
		default:
			t.Health = berth.HealthUnhealthy
			return tx.InsertEvent(ctx, event(t.OrganizationID, s.Event, s.Reason))
		}
	})
}
