package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
	"github.com/unite-hub/berth/internal/store"
)

// rounds bounds how often one pass decides: each round does something, and no
// tenant needs more.
const rounds = 16

// pass brings one tenant a part of the way. It holds nothing between passes
// but what deployments remembers of one.
type pass struct {
	*Loop
	soft context.Context // ends when the tenant is rung
	saw  time.Time       // when the engine last showed what is there
	situation
}

// situation is Decide's, and what the steps need beside it.
type situation struct {
	plan.Situation
	blueprint Blueprint // nil for a tenant that is to go
	secrets   []store.SecretVersion
	volumes   []berth.VolumeRecord
	exclusive []string // volumes that the version before this one shares with nobody
	moved     bool     // the last route led elsewhere than the one before
}

func (l *Loop) pass(ctx, soft context.Context, organizationID string) verdict {
	p := &pass{Loop: l, soft: soft}
	err := p.load(ctx, organizationID)
	switch {
	case berth.Is(err, berth.CodeContainerNotFound), err == nil && (l.elsewhere(p.Tenant) || l.keptElsewhere(p.Tenant, p.volumes)):
		l.routes.drop(organizationID)
		l.histories.forget(organizationID)
		l.lanes.forget(organizationID)
		if err != nil {
			l.passOverStray(ctx, organizationID)
		}
		return verdict{then: plan.Done}
	case err == nil && !p.reachable():
		if err := p.unhold(ctx); err != nil {
			p.Log.Warn("what requests wait for could not be recorded", "tenant", organizationID, "error", err)
		}
		return verdict{then: plan.Retry} // watchEngine looks at every tenant once it answers again
	case err == nil:
		var v verdict
		v, err = p.advance(ctx)
		p.publish(err == nil && v.then == plan.Done)
		if err == nil {
			return p.timed(v)
		}
	}
	return p.timed(p.failed(ctx, organizationID, err))
}

// timed says when the pass looked.
func (p *pass) timed(v verdict) verdict {
	v.saw = p.saw
	return v
}

// reachable reports whether the engine is thought to answer.
func (p *pass) reachable() bool {
	_, up := p.breaker.get()
	return up
}

// advance decides and acts until there is nothing more to do now.
func (p *pass) advance(ctx context.Context) (verdict, error) {
	if err := p.checkEngine(); err != nil {
		return verdict{}, err
	}
	if p.Deployment == nil && (p.Tenant.EngineID == "" || p.Tenant.Status == berth.StatusPending) && p.Tenant.Want != berth.WantGone {
		if err := p.begin(ctx); err != nil { // what would have taken it up was cancelled
			return verdict{}, err
		}
	}
	if err := p.observe(ctx); err != nil {
		return verdict{}, err
	}
	for range rounds {
		if err := p.prepare(ctx); err != nil {
			return verdict{}, err
		}
		v, err := p.act(ctx)
		if err != nil || v.then != plan.Again {
			return v, err
		}
	}
	return verdict{then: plan.Retry}, nil
}

// act decides once and takes the steps.
func (p *pass) act(ctx context.Context) (verdict, error) {
	next := plan.Decide(p.Situation)
	for _, step := range next.Steps {
		if err := p.soft.Err(); err != nil {
			return verdict{}, err // an order came in: what it leaves of this is decided anew
		}
		if err := p.do(ctx, step); err != nil {
			return verdict{}, err
		}
	}
	return verdict{then: next.Then, after: next.After, by: next.By}, nil
}

// load reads the tenant and all that belongs to it in one snapshot.
func (p *pass) load(ctx context.Context, organizationID string) error {
	return p.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		t, err := tx.Tenant(ctx, organizationID)
		if err != nil {
			return err
		}
		d, ok, err := tx.OpenDeployment(ctx, organizationID)
		if err != nil {
			return err
		}
		ids := make([]string, 0, len(t.Spec.Environment))
		for _, id := range t.Spec.Environment {
			ids = append(ids, id)
		}
		secrets, err := tx.Secrets(ctx, organizationID, ids)
		if err != nil {
			return err
		}
		volumes, _, err := tx.ListVolumes(ctx, organizationID, store.Page{Limit: store.Unbounded})
		p.situation = situation{secrets: secrets, volumes: volumes}
		p.Tenant, p.Situation.Patience, p.Situation.Observe, p.Situation.TransitionDrain = t, p.Loop.Patience, p.Loop.Observe, p.Loop.TransitionDrain
		p.Adopted = !ok || !d.Adopt || p.deployments.recall(&d).adopted
		if ok {
			p.Deployment = &d
		}
		p.endedElsewhere(organizationID, d.ID)
		if err != nil || t.Want == berth.WantGone {
			return err
		}
		if p.blueprint, err = p.Catalog.Get(ctx, tx, t.Spec.Blueprint); err != nil {
			return err
		}
		p.exclusive, err = p.exclusiveBefore(ctx, tx)
		return err
	})
}

// endedElsewhere takes notice of a deployment that an order took back or
// replaced: the way back has its own time for the requests that wait. Who awaits
// it heard by the order's ring.
func (p *pass) endedElsewhere(organizationID, openID string) {
	if was := p.deployments.drop(organizationID, openID); was != "" {
		p.routes.renew(organizationID)
	}
}

// versions is what a tenant ran, and what that was made from.
type versions interface {
	store.Blueprints
	ListDeployments(ctx context.Context, organizationID string, p store.Page) (page []berth.Deployment, next string, err error)
}

// exclusiveBefore returns the volumes that the version which may still run
// shares with nobody: the one before a deployment, or the one that a deployment
// failed with, or had when it was cancelled. One that can't be read any more keeps
// no tenant from what it is to be.
func (p *pass) exclusiveBefore(ctx context.Context, tx versions) ([]string, error) {
	version := ""
	switch d := p.Deployment; {
	case d != nil && d.Previous != nil:
		version = d.Previous.Blueprint
	case d == nil && p.Tenant.Health != berth.HealthHealthy:
		last, _, err := tx.ListDeployments(ctx, p.Tenant.OrganizationID, store.Page{Limit: 5})
		if err != nil {
			return nil, err
		}
		for _, d := range last { // a stop that replaced one may have been taken back itself
			if d.Status == berth.DeploymentCompleted {
				break
			}
			if version = d.New.Blueprint; version != p.Tenant.Spec.Blueprint {
				break
			}
		}
	}
	if version == "" || version == p.Tenant.Spec.Blueprint {
		return nil, nil
	}
	b, err := p.Catalog.Get(ctx, tx, version)
	switch berth.CodeOf(err) {
	case "":
		return b.Defaults().Exclusive, nil
	case berth.CodeBlueprintNotFound, berth.CodeInvalidBlueprint: // this Berth can't read it: it may share none
		var all []string
		for _, m := range p.blueprint.Defaults().Mounts {
			all = append(all, m.Volume)
		}
		return all, nil
	default:
		return nil, err
	}
}

// checkEngine refuses to plan a tenant whose volumes lie elsewhere.
func (p *pass) checkEngine() error {
	info, _ := p.breaker.get()
	engines := []string{p.Tenant.EngineID}
	for _, v := range p.volumes {
		engines = append(engines, v.EngineID)
	}
	for _, id := range engines {
		if id != "" && id != info.ID {
			return berth.Errorf(berth.CodeEngineMismatch, "the tenant's data is on engine %s, not on %s", id, info.ID).
				WithHint("serve with the engine that holds the tenant's volumes")
		}
	}
	return nil
}

// prepare brings the parts of the situation that follow from others up to date.
func (p *pass) prepare(ctx context.Context) error {
	p.recall(ctx)
	if p.Stack.Services != nil || p.Tenant.Want == berth.WantGone || unresolved(p.Tenant.Spec, p.blueprint) {
		return nil
	}
	return p.makeStack()
}

// recall brings what is remembered of the deployment and of the instances into
// the situation.
func (p *pass) recall(ctx context.Context) {
	if p.Deployment != nil {
		r := p.deployments.recall(p.Deployment)
		p.Restarted, p.Relapses, p.Waited, p.Well, p.Arrived = r.restarted, r.relapses, r.waited(p.Loop.Observe), 0, 0
		p.Available = r.available || !p.Deployment.Makes()
		if !r.well.IsZero() {
			p.Well = time.Since(r.well)
		}
		if !r.arrived.IsZero() {
			p.Arrived = max(time.Since(r.arrived), 1) // 0 is for what has not
		}
	}
	if !p.saw.IsZero() || p.neverApplied() { // whom to believe is not decided without a look
		p.Proven = p.histories.recall(p.Tenant, p.Deployment != nil, p.Seen)
	}
	long, _, held := p.routes.held(p.Tenant.OrganizationID)
	p.Holding = held && (p.Deployment != nil || long < p.Loop.Patience)
	p.Unready = p.unready()
	sinceStart := func(c berth.Instance) bool {
		return p.Deployment != nil && p.Deployment.Type != berth.DeployRestart && plan.StartedFor(p.Situation, c)
	}
	p.Histories = p.histories.ofInstances(p.Tenant.OrganizationID, p.Seen, sinceStart)
	if p.readLastLines(ctx) {
		p.Histories = p.histories.ofInstances(p.Tenant.OrganizationID, p.Seen, sinceStart)
	}
}

// makeStack makes what should be out of the tenant and its blueprint.
func (p *pass) makeStack() error {
	env := make(map[string]string, len(p.secrets))
	for _, v := range p.secrets {
		value, err := p.Secrets.Open(v.Ciphertext, berth.SecretContext(v.OrganizationID, v.Name))
		if err != nil {
			return err
		}
		env[v.Name] = string(value)
	}
	var recorded []string
	for _, v := range p.volumes {
		if !v.CreatedAt.IsZero() {
			recorded = append(recorded, v.Name)
		}
	}
	info, _ := p.breaker.get()
	stack, err := p.blueprint.Stack(p.Tenant, env, recorded, info.Cores)
	for i, v := range stack.Volumes {
		stack.Volumes[i].Shared = v.Shared && !slices.Contains(p.exclusive, v.Key)
	}
	for _, name := range recorded { // the engine knows which of these the image calls for
		if target, ok := berth.ImageVolumeTarget(name); ok {
			stack.Volumes = append(stack.Volumes, berth.Volume{Name: name, Key: target, Recorded: true})
		}
	}
	p.Stack = stack.Hashed() // which is compared again and again
	return err
}

// observe looks at the tenant, unless it was never applied and so is expected
// to be absent: Apply looks for itself.
func (p *pass) observe(ctx context.Context) error {
	first, listed := p.listed.take(p.Tenant.OrganizationID) // which is out of date after this pass in any case
	if p.neverApplied() || p.Tenant.Want == berth.WantGone {
		p.Seen = berth.Observed{OrganizationID: p.Tenant.OrganizationID}
		return nil
	}
	closer, able := p.Engine.(Inspector)
	return p.call(ctx, p.lanes.look, p.LookDeadline, func(ctx context.Context) error {
		if listed && able && p.Deployment == nil {
			seen, err := closer.Inspect(ctx, first.seen)
			if err == nil {
				p.look(seen, first.at)
			}
			return err
		}
		began := time.Now()
		seen, err := p.Engine.Observe(ctx, p.Tenant.OrganizationID)
		if err != nil {
			return err
		}
		p.look(seen, began)
		return nil
	})
}

// neverApplied reports whether the tenant was never applied.
func (p *pass) neverApplied() bool {
	return p.Tenant.EngineID == "" || p.Deployment != nil && p.Deployment.Type == berth.DeployProvision && p.Deployment.StartedAt.IsZero()
}

// look takes in what an engine showed that was asked then.
func (p *pass) look(seen berth.Observed, asked time.Time) {
	p.Seen, p.saw = seen, asked
	p.fleet.lookSucceeded(p.Tenant.OrganizationID)
	if saidUnseen(p.Tenant) {
		p.Tenant.Cause = "" // what is found now has its own
	}
	p.queue.looked(p.Tenant.OrganizationID)
	p.histories.forgetGone(seen, false)
}

// changed takes in what a change showed that was begun then. It may hold some of
// what was found at first: what is heard of from then on is looked at again.
func (p *pass) changed(seen berth.Observed, begun time.Time) {
	p.Seen, p.saw = seen, begun
	p.histories.forgetGone(seen, true)
}

// urgency is the pass's in every lane.
func (p *pass) urgency() urgency {
	well := p.Tenant.Status == berth.StatusRunning && (p.Tenant.Health == berth.HealthHealthy || p.Tenant.Health == berth.HealthUnknown)
	switch {
	case p.Deployment != nil && (well || p.Tenant.Want != berth.WantRunning):
		return urgent
	case p.Deployment != nil:
		return ordered
	case len(p.fleet.of(p.Tenant.OrganizationID)) > 0: // it ran when it was last looked at
		return urgent
	default:
		return background
	}
}

// unready asks how the instances did since the last pass.
func (p *pass) unready() map[string]string {
	if p.Vitals == nil {
		return nil
	}
	causes := map[string]string{}
	for _, c := range p.Seen.Instances {
		v, ok := p.Vitals.Vital(c.ID, c.StartedAt)
		if ok && v.Started && !v.Ready {
			causes[c.ID] = v.Cause
		}
		if ok && v.Dead {
			p.histories.died(p.Tenant.OrganizationID, c, v.Cause)
		}
	}
	return causes
}

// call does one engine operation in its lane, with a deadline. Waiting for a
// place in the lane ends when the tenant is rung; the operation does not.
func (p *pass) call(ctx context.Context, lane *lane, deadline time.Duration, f func(context.Context) error) error {
	place, err := lane.acquire(p.soft, p.Tenant.OrganizationID, p.urgency())
	if err != nil {
		return err
	}
	defer place.leave()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return f(ctx)
}
