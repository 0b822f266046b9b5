package tenancy

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/store"
)

// lookDeadline bounds how long an order waits for a look at the engine. If the
// engine does not answer by then, what was last seen decides.
const lookDeadline = 3 * time.Second

// change is what an order does to a tenant, inside its transaction. It fills
// in the deployment's type and edits the tenant's desired half.
type change func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error

// ordered is an order, as what it is authorised and recorded, and what it does.
type ordered struct {
	action.Action
	order berth.Order
	do    change
	leave *leaving // nil if the order can leave no data behind
}

// order records one order: the change of the desired state, the deployment
// and the idempotency key, all in one transaction. The order is durable when
// order returns; the loop does the rest.
func (s *Service) order(ctx context.Context, actor berth.Actor, call Call, ref string, what ordered) (Receipt, error) {
	if err := berth.ValidateNotes(call.Notes); err != nil {
		return Receipt{}, err
	}
	o := what.order
	now, err := s.refresh(ctx, actor, ref, what)
	if err != nil {
		return Receipt{}, err
	}
	var r Receipt
	var replaced *berth.Deployment
	repeated := false // nothing is new: what works on it is not interrupted
	try := &trial{store: s.store, dry: call.DryRun}
	if call.DryRun {
		call.Request = idempotency.Request{} // there is nothing that a repetition would do twice
	}
	err = try.inTx(ctx, actor, func(tx store.Tx) error {
		var err error
		if r, err = s.repeated(ctx, tx, actor, call, what.Action); err != nil || r.Earlier {
			repeated = true
			return err
		}
		t, err := find(ctx, tx, actor, what.Action, ref)
		if err != nil {
			return err
		}
		before := t
		try.before = before
		open, busy, err := tx.OpenDeployment(ctx, t.OrganizationID)
		if err != nil {
			return err
		}
		if busy && joins(o, open) {
			r, repeated = s.receipt(t, open), true
			if err := sameVolumes(tx, what, t, open); err != nil {
				return err
			}
			if err := what.Record(ctx, tx, actor, s.orderChange(&before, r, false)); err != nil {
				return err
			}
			return s.requests.Claim(ctx, tx, call.Request, open.ID) // to be answered so when it is gone
		}
		t, down := now.of(t, busy)
		if err := refused(o, t, busy); err != nil {
			return err
		}
		if down && now.drift(before) { // no pass will find it down any more once it was ordered to change
			if err := tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: t.OrganizationID, At: s.now(), Kind: berth.EventDrift, Message: foundDown}); err != nil {
				return err
			}
		}
		if replaced = nil; busy {
			if err := s.override(ctx, tx, actor, &open, o); err != nil {
				return err
			}
			open.TakeBack(&t)
			replaced = &open
		}
		d := s.newDeployment(actor, call, t)
		if err := what.do(tx, &t, &d); err != nil {
			return err
		}
		if r, err = s.record(ctx, tx, call, t, d); err != nil {
			return err
		}
		return what.Record(ctx, tx, actor, s.orderChange(&before, r, what.leave != nil && what.leave.meant))
	})
	if err != nil {
		return Receipt{}, err
	}
	if call.DryRun {
		return s.addForecast(ctx, r, try, what)
	}
	s.link(call, r)
	s.ended(replaced)
	if !repeated {
		s.loop.Enqueue(r.Tenant.OrganizationID)
	}
	return r, nil
}

// joins reports whether an order asks for nothing but what one under way does.
func joins(o berth.Order, open berth.Deployment) bool {
	return o == berth.OrderDeprovision && open.Type == berth.DeployDeprovision || o == berth.OrderStop && open.Type == berth.DeployStop
}

// refused says why a tenant's status rules an order out. A start or a stop under way is
// about to change it: then it does not rule out the opposite.
func refused(o berth.Order, t berth.Tenant, busy bool) error {
	if busy && (o == berth.OrderStop && t.Want == berth.WantRunning || o == berth.OrderStart && t.Want == berth.WantStopped) {
		return nil
	}
	return t.Status.Refusal(o)
}

// sameVolumes refuses a deprovision that says otherwise of the volumes than the
// one under way, as which it would be answered.
func sameVolumes(tx store.Tx, what ordered, t berth.Tenant, open berth.Deployment) error {
	again := open
	if err := what.do(tx, &t, &again); err != nil || again.Volumes == open.Volumes {
		return err
	}
	return berth.Errorf(berth.CodeDeprovisioning, "A deprovision of this tenant is under way, which is to %s its volumes", open.Volumes).
		WithField("volumes").WithHint("take it back (berth cancel), then order what you want; %s was given", berth.Quote(string(again.Volumes)))
}

// link has the caller's trace show the deployment, before the loop gets there.
func (s *Service) link(call Call, r Receipt) {
	if s.traces != nil && call.Traceparent != "" && !r.Earlier {
		s.traces.Link(r.Deployment.ID, call.Traceparent)
	}
}

// ended shows a deployment that an order ended to who follows it. The loop shows
// those that it ends.
func (s *Service) ended(d *berth.Deployment) {
	if s.traces != nil && d != nil {
		s.traces.Record(*d)
	}
}

// refresh asks the engine before an order is refused for what a tenant was
// last seen to be: an instance that died since is not "already running".
func (s *Service) refresh(ctx context.Context, actor berth.Actor, ref string, what ordered) (look, error) {
	var t berth.Tenant
	busy := false
	err := s.store.View(ctx, actor, func(tx store.Tx) (err error) {
		if t, err = find(ctx, tx, actor, what.Action, ref); err == nil {
			_, busy, err = tx.OpenDeployment(ctx, t.OrganizationID)
		}
		return err
	})
	if berth.Is(err, berth.CodeContainerNotFound) {
		return look{}, nil // the transaction decides: the call may repeat an earlier one
	}
	if err != nil || busy || t.Status.Refusal(what.order) == nil { // under way, it is about to change
		return look{}, err
	}
	return s.look(ctx, t.OrganizationID, lookDeadline), ctx.Err()
}

// override ends a deployment that another order replaces and takes back, or refuses the
// order.
func (s *Service) override(ctx context.Context, tx store.Tx, actor berth.Actor, open *berth.Deployment, o berth.Order) error {
	if !o.Overrides() {
		return berth.Errorf(berth.CodeDeploymentInProgress, "A deployment (%s) of this tenant is under way", open.Type).
			WithHint("wait until deployment %s is over, or take it back (berth cancel); an operator's stop or deprovision doesn't wait", open.ID)
	}
	if err := s.authoriseOverride(ctx, tx, actor, *open, o); err != nil {
		return err
	}
	open.Status = berth.DeploymentSuperseded
	open.Error = "replaced by an order to " + string(o) + " before it was over"
	open.CompletedAt = s.now()
	return tx.UpdateDeployment(ctx, *open)
}

func (s *Service) newDeployment(actor berth.Actor, call Call, t berth.Tenant) berth.Deployment {
	previous := t.Spec
	return berth.Deployment{
		ID:             berth.NewID(),
		TenantID:       t.ID,
		OrganizationID: t.OrganizationID,
		Status:         berth.DeploymentPending,
		Previous:       &previous,
		PreviousName:   t.Name,
		PreviousWant:   t.Want,
		CanRollback:    true,
		Volumes:        berth.VolumesKeep,
		By:             actor.ID,
		Notes:          call.Notes,
		CreatedAt:      s.now(),
	}
}

// record stores the tenant's next generation, the deployment that leads there
// and the call's idempotency key.
func (s *Service) record(ctx context.Context, tx store.Tx, call Call, t berth.Tenant, d berth.Deployment) (Receipt, error) {
	t.Generation++
	t.UpdatedAt = d.CreatedAt
	d.Generation, d.New, d.Want = t.Generation, t.Spec, t.Want
	if err := tx.UpdateTenant(ctx, &t); err != nil {
		return Receipt{}, err
	}
	if err := tx.InsertDeployment(ctx, d); err != nil {
		return Receipt{}, err
	}
	return s.receipt(t, d), s.requests.Claim(ctx, tx, call.Request, d.ID)
}

func (s *Service) receipt(t berth.Tenant, d berth.Deployment) Receipt {
	return Receipt{Tenant: t, Deployment: d, ComposePath: s.config.ComposePath(t.OrganizationID)}
}

// earlier returns the receipt of the call that used the same idempotency key
// before, if any.
func (s *Service) earlier(ctx context.Context, tx store.Tx, actor berth.Actor, call Call) (Receipt, error) {
	first, err := s.requests.First(ctx, tx, actor, call.Request)
	if err != nil || first == nil {
		return Receipt{}, err
	}
	r, err := s.revisit(ctx, tx, first.DeploymentID)
	r.Earlier, r.Answer = true, first.Answer
	return r, err
}

// repeated is earlier for an order: to repeat its answer takes what the order took.
func (s *Service) repeated(ctx context.Context, tx store.Tx, actor berth.Actor, call Call, what action.Action) (Receipt, error) {
	r, err := s.earlier(ctx, tx, actor, call)
	if err == nil && r.Earlier {
		err = authorise(ctx, tx, actor, what, r.Tenant.OrganizationID)
	}
	return r, err
}

// receipts is what a receipt is made of.
type receipts interface {
	Deployment(ctx context.Context, id string) (berth.Deployment, error)
	Tenant(ctx context.Context, ref string) (berth.Tenant, error)
	Tombstone(ctx context.Context, organizationID string) (berth.Tenant, error)
}

// revisit makes the receipt of a deployment as it stands now.
func (s *Service) revisit(ctx context.Context, tx receipts, deploymentID string) (Receipt, error) {
	d, err := tx.Deployment(ctx, deploymentID)
	if err != nil {
		return Receipt{}, err
	}
	t, err := tx.Tenant(ctx, d.OrganizationID)
	if err != nil || t.ID != d.TenantID {
		if t, err = tx.Tombstone(ctx, d.OrganizationID); err != nil {
			return Receipt{}, err
		}
	}
	return s.receipt(t, d), nil
}

// Once has run do a mutation unless it was done before under its idempotency key,
// and returns the answer: see idempotency.Requests.
func (s *Service) Once(ctx context.Context, actor berth.Actor, q idempotency.Request, run func() (idempotency.Answer, idempotency.End)) (*idempotency.Answer, error) {
	return s.requests.Do(ctx, actor, q, run)
}

// Await returns when the deployment of r is over or ctx ends, whichever comes
// first, with a receipt that is current. That ctx ended is not an error.
func (s *Service) Await(ctx context.Context, actor berth.Actor, r Receipt) (Receipt, error) {
	if !r.Deployment.Over() {
		if err := s.loop.Await(ctx, r.Deployment.ID); err != nil && ctx.Err() == nil {
			return r, err
		}
	}
	// The answer is due even if the time to wait for it is over.
	ctx = context.WithoutCancel(ctx)
	next := r
	err := s.store.View(ctx, actor, func(tx store.Tx) error {
		var err error
		next, err = s.revisit(ctx, tx, r.Deployment.ID)
		return err
	})
	next.Earlier, next.Answer = r.Earlier, r.Answer
	return next, err
}
