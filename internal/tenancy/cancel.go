package tenancy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// Cancelled is the answer to a cancellation: the order that was taken back, and
// the tenant as it is to be again.
type Cancelled struct {
	Tenant     berth.Tenant
	Deployment berth.Deployment
	// NotUndone says in words what the order did already and that stays so.
	NotUndone []string
}

// Cancel takes the order back that is under way. The tenant goes back to what it
// was before, the same way as after a deployment that failed. Who may deploy may
// cancel what they may order: an operator's stop or limits are not theirs to take back.
// With a deployment's id it is that one or none: a cancel may come late, when another
// order is under way.
func (s *Service) Cancel(ctx context.Context, actor berth.Actor, ref, deploymentID string) (Cancelled, error) {
	var out Cancelled
	err := s.store.InTx(ctx, actor, func(tx store.Tx) error {
		t, err := find(ctx, tx, actor, action.Cancel, ref)
		if err != nil {
			return err
		}
		open, busy, err := tx.OpenDeployment(ctx, t.OrganizationID)
		if err != nil {
			return err
		}
		if err := checkNamed(ctx, tx, t, open, deploymentID); err != nil {
			return err
		}
		if busy {
			if err := s.authoriseTakeBack(ctx, tx, actor, open); err != nil {
				return err
			}
		}
		if err := cancellable(open, busy); err != nil {
			return err
		}
		before := t
		if out.NotUndone, err = s.notUndone(ctx, tx, t, open); err != nil {
			return err
		}
		who := actor.Name
		if who == "" {
			who = actor.ID
		}
		open.Cancel(who, s.now())
		if err := tx.UpdateDeployment(ctx, open); err != nil {
			return err
		}
		takeBack(&t, open)
		if open.Type == berth.DeployDeprovision {
			if t.Status, err = statusBefore(ctx, tx, t); err != nil {
				return err
			}
		}
		t.Cause, t.UpdatedAt = fmt.Sprintf("the %s was cancelled by %s", open.Type, who), s.now()
		if err := tx.UpdateTenant(ctx, &t); err != nil {
			return err
		}
		out.Tenant, out.Deployment = t, open
		return action.Cancel.Record(ctx, tx, actor, s.orderChange(&before, s.receipt(t, open), false))
	})
	if err != nil {
		return Cancelled{}, err
	}
	s.ended(&out.Deployment)
	s.loop.Enqueue(out.Tenant.OrganizationID)
	return out, nil
}

// takeBackReads is what decides who may take an order back.
type takeBackReads interface {
	store.Organizations
	store.Blueprints
}

// authoriseTakeBack refuses to take an order back to whom it would have been
// refused: that decides what the order decided.
func (s *Service) authoriseTakeBack(ctx context.Context, tx takeBackReads, actor berth.Actor, open berth.Deployment) error {
	if err := authorise(ctx, tx, actor, orderedBy(open), open.OrganizationID); err != nil {
		return err
	}
	if open.Type != berth.DeployUpdate || open.Previous == nil || !ofOrganization(actor) {
		return nil
	}
	if err := checkOwnBlueprint(actor, *open.Previous, &open.New.Blueprint); err != nil {
		return notTheirs(err)
	}
	b, err := s.catalog.Get(ctx, tx, open.New.Blueprint)
	if err != nil {
		return err
	}
	return notTheirs(checkOwn(actor, b, *open.Previous, open.New))
}

// authoriseOverride refuses a stop to an organization's own people that would take an
// order back which is not theirs to cancel. What a stop does not undo, it may interrupt.
func (s *Service) authoriseOverride(ctx context.Context, tx takeBackReads, actor berth.Actor, open berth.Deployment, o berth.Order) error {
	if o != berth.OrderStop || !open.Reverts() || !ofOrganization(actor) {
		return nil
	}
	err := s.authoriseTakeBack(ctx, tx, actor, open)
	switch {
	case berth.Is(err, berth.CodeBlueprintNotFound), berth.Is(err, berth.CodeInvalidBlueprint):
		return berth.Errorf(berth.CodeForbidden, "A stop would undo the order under way (%s), whose blueprint can't be read", open.Type).
			WithHint("ask an operator to stop it, or wait until deployment %s is over", open.ID)
	case err != nil && berth.CodeOf(err).Kind() == berth.KindForbidden:
		return berth.Errorf(berth.CodeForbidden, "A stop would undo the order under way (%s), which is not yours to take back", open.Type).
			WithHint("wait until deployment %s is over, or ask who gave that order", open.ID)
	default:
		return err
	}
}

// notTheirs is the refusal of a cancel for what the order itself would be refused
// for.
func notTheirs(err error) error {
	if !berth.Is(err, berth.CodeForbidden) {
		return err
	}
	return berth.Errorf(berth.CodeForbidden, "Only an operator may cancel what only an operator may order").
		WithHint("ask an operator to cancel it, or wait until it is over")
}

// orderedBy is the action that a deployment was ordered by.
func orderedBy(d berth.Deployment) action.Action {
	switch d.Type {
	case berth.DeployStop:
		return action.Stop
	case berth.DeployRestart:
		if d.Adopt {
			return action.Adopt
		}
		return action.Start // a restart takes the same
	case berth.DeployScale:
		return action.Scale
	case berth.DeployConfig:
		return action.Configure
	case berth.DeployDeprovision:
		return action.Deprovision
	case berth.DeployRollback:
		if d.Previous != nil && (d.New.Limits != d.Previous.Limits || d.New.Replicas != d.Previous.Replicas) {
			return action.Rollback.Also(action.Scale.Scope)
		}
		return action.Rollback
	}
	if d.Previous != nil && len(d.EnvironmentChanged()) > 0 {
		return action.Deploy.Also(action.Configure.Scope)
	}
	return action.Deploy
}

// checkNamed refuses a cancel of another deployment than the one under way; "" means
// that one.
func checkNamed(ctx context.Context, tx store.Deployments, t berth.Tenant, open berth.Deployment, id string) error {
	if id == "" || id == open.ID {
		return nil
	}
	d, err := tx.Deployment(ctx, id)
	if err != nil && !berth.Is(err, berth.CodeDeploymentNotFound) {
		return err
	}
	if err != nil || d.OrganizationID != t.OrganizationID {
		return berth.Errorf(berth.CodeDeploymentNotFound, "Deployment not found").WithField("deploymentId").
			WithHint("choose one from the tenant's deployments; %s was given", berth.Quote(id))
	}
	return berth.Errorf(berth.CodeNothingUnderWay, "Deployment %s is not under way any more: it is %s", d.ID, d.Status).
		WithField("deploymentId").WithHint("nothing was cancelled; the tenant's deployments show what became of it")
}

// cancellable refuses what can't be taken back.
func cancellable(open berth.Deployment, busy bool) error {
	switch {
	case !busy:
		return berth.Errorf(berth.CodeNothingUnderWay, "No order of this tenant is under way").
			WithHint("what is over is undone by another order, such as a rollback")
	case open.Type == berth.DeployProvision:
		return berth.Errorf(berth.CodeNothingUnderWay, "A provision can't be cancelled: there is nothing to go back to").
			WithHint("deprovision the tenant, which does not wait for it")
	case open.Type == berth.DeployDeprovision && !open.StartedAt.IsZero():
		return berth.Errorf(berth.CodeDeprovisioning, "The tenant is being removed: that can't be taken back any more").
			WithHint("wait until it is gone, then provision it again; volumes that are kept come back with it")
	}
	return nil
}

// takeBack makes a tenant what it was to be before a deployment. A next
// generation tells the loop that what was made for it is not wanted any more.
func takeBack(t *berth.Tenant, open berth.Deployment) {
	open.TakeBack(t)
	t.Want = open.PreviousWant
	t.Generation++
	t.Health = berth.HealthUnknown
}

// statusBefore is what a tenant is shown as whose removal was taken back, until the
// loop has looked. One that no deployment brought up is begun anew.
func statusBefore(ctx context.Context, tx store.Deployments, t berth.Tenant) (berth.Status, error) {
	history, _, err := tx.ListDeployments(ctx, t.OrganizationID, store.Page{Limit: rollbackDepth})
	if err != nil {
		return t.Status, err
	}
	switch {
	case !slices.ContainsFunc(history, func(d berth.Deployment) bool { return d.TenantID == t.ID && d.Status == berth.DeploymentCompleted }):
		return berth.StatusPending, nil
	case t.Want == berth.WantRunning:
		return berth.StatusRunning, nil
	default:
		return berth.StatusStopped, nil
	}
}

// notUndone says which services that run once per release ran for a deployment.
func (s *Service) notUndone(ctx context.Context, tx store.Blueprints, t berth.Tenant, open berth.Deployment) ([]string, error) {
	list := []string{}
	if open.StartedAt.IsZero() || open.Type == berth.DeployDeprovision || open.Previous == nil || open.New.Release == open.Previous.Release {
		return list, nil
	}
	how := "may have begun, and what it did is not undone"
	b, err := s.catalog.Get(ctx, tx, open.New.Blueprint)
	switch berth.CodeOf(err) {
	case "":
	case berth.CodeBlueprintNotFound, berth.CodeInvalidBlueprint: // this Berth can't read it, and can leave it all the same
		return append(list, "what runs once per release "+how), nil
	default:
		return nil, err
	}
	once := b.Defaults().Once
	if len(once) == 0 {
		return list, nil
	}
	if t.Released >= open.New.Release {
		how = "ran to its end, and is not undone"
	}
	return append(list, fmt.Sprintf("what runs once per release (%s) %s", strings.Join(once, ", "), how)), nil
}
