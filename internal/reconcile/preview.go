package reconcile

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
	"github.com/unite-hub/berth/internal/store"
)

// Previewer tells what an order would do, from what is recorded and what the
// engine shows now. It needs no term, for it only reads: a control plane that
// does not lead can tell as well.
type Previewer struct {
	config Config
	parts  Parts
	places chan struct{} // of all

	mu       sync.Mutex
	underWay map[string]chan struct{} // by organization id; each is closed when it is over
}

// Dry runs come by none of the engine's lanes.
const (
	mostPreviews = 4           // look at the engine at a time
	previewPlace = time.Second // after which one goes on without its place: its tenant may hang
)

// NewPreviewer returns a Previewer. Of the parts it takes Store, Engine, Catalog
// and Secrets, and of the config what bounds the loop that will take the order.
func NewPreviewer(c Config, p Parts) *Previewer {
	return &Previewer{config: c.withDefaults(), parts: p, places: make(chan struct{}, mostPreviews), underWay: map[string]chan struct{}{}}
}

// begin waits for a place, of which a tenant has one. Whoever calls must call end.
func (v *Previewer) begin(ctx context.Context, organizationID string) (end func(), err error) {
	over := make(chan struct{})
	for {
		v.mu.Lock()
		before, busy := v.underWay[organizationID]
		if !busy {
			v.underWay[organizationID] = over
		}
		v.mu.Unlock()
		if !busy {
			break
		}
		select {
		case <-before:
		case <-ctx.Done(): // who asked has gone
			return nil, ctx.Err()
		}
	}
	leave := func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.underWay, organizationID)
		close(over)
	}
	select {
	case v.places <- struct{}{}:
		give := sync.OnceFunc(func() { <-v.places })
		timer := time.AfterFunc(previewPlace, give)
		return func() { timer.Stop(); give(); leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// Preview follows the plan for a tenant and a deployment as an order would have
// recorded them, to its end. secrets are those that are recorded nowhere yet.
func (v *Previewer) Preview(ctx context.Context, t berth.Tenant, d berth.Deployment, secrets []store.SecretVersion) (berth.Forecast, error) {
	end, err := v.begin(ctx, t.OrganizationID)
	if err != nil {
		return berth.Forecast{}, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, v.config.LookDeadline)
	defer cancel()
	p := &pass{Loop: &Loop{Config: v.config, Parts: v.parts}, soft: ctx}
	info, err := v.parts.Engine.Info(ctx)
	if err != nil {
		return berth.Forecast{}, err
	}
	if t.EngineID != "" && t.EngineID != info.ID {
		return berth.Forecast{}, berth.OtherEngine(t.EngineID).WithOp("preview order", t.OrganizationID)
	}
	p.breaker.set(info)
	p.Tenant, p.Deployment = t, &d
	p.Situation.Patience, p.Situation.Observe, p.Situation.TransitionDrain = v.config.Patience, v.config.Observe, v.config.TransitionDrain
	if err := p.loadAsRecorded(ctx, secrets); err != nil {
		return berth.Forecast{}, err
	}
	if err := p.checkEngine(); err != nil {
		return berth.Forecast{}, err
	}
	if p.Seen, err = v.parts.Engine.Observe(ctx, t.OrganizationID); err != nil {
		return berth.Forecast{}, err
	}
	p.Proven = map[string]bool{}
	for _, c := range p.Seen.Instances {
		gone := t.Want == berth.WantGone && d.PreviousWant == berth.WantRunning // its status says nothing any more
		p.Proven[c.ID] = c.State == berth.InstanceRunning && (gone || believed(t, true, c))
	}
	o := plan.Outlook{Look: v.config.LookDeadline, Pull: v.config.PullDeadline, Call: v.config.CallDeadline, HoldDrain: v.config.HoldDrain}
	if t.Want != berth.WantGone {
		if err := p.foresee(ctx, &o); err != nil {
			return berth.Forecast{}, err
		}
	}
	return plan.Forecast(p.Situation, o), nil
}

// loadAsRecorded reads what a pass would load beside the tenant and the
// deployment, which are not in the database.
func (p *pass) loadAsRecorded(ctx context.Context, secrets []store.SecretVersion) error {
	unrecorded := map[string]bool{}
	for _, v := range secrets {
		unrecorded[v.ID] = true
	}
	return p.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		org := p.Tenant.OrganizationID
		if p.volumes, _, err = tx.ListVolumes(ctx, org, store.Page{Limit: store.Unbounded}); err != nil || p.Tenant.Want == berth.WantGone {
			return err
		}
		ids := make([]string, 0, len(p.Tenant.Spec.Environment))
		for _, id := range p.Tenant.Spec.Environment {
			if !unrecorded[id] {
				ids = append(ids, id)
			}
		}
		recorded, err := tx.Secrets(ctx, org, ids)
		if err != nil {
			return err
		}
		p.secrets = append(recorded, secrets...)
		if p.blueprint, err = p.Catalog.Get(ctx, tx, p.Tenant.Spec.Blueprint); err != nil {
			return err
		}
		p.exclusive, err = p.exclusiveBefore(ctx, tx)
		return err
	})
}

// foresee makes the stack as it will be once the images are pinned. An image
// that the engine does not have is taken for another one than what runs: only
// its registry could tell.
func (p *pass) foresee(ctx context.Context, o *plan.Outlook) (err error) {
	p.Adopted = !p.Deployment.Adopt
	p.Available = !p.Deployment.Makes() && !unresolved(p.Tenant.Spec, p.blueprint)
	if p.Available {
		return p.makeStack()
	}
	spec := p.Tenant.Spec
	main, err := p.blueprint.Image(spec.ImageTag)
	if err == nil {
		spec.ImageDigest, err = p.lookFor(ctx, main, spec.ImageDigest, o)
	}
	others := p.blueprint.Images()
	spec.Images = make(map[string]string, len(others))
	for _, service := range slices.Sorted(maps.Keys(others)) {
		if err == nil {
			spec.Images[service], err = p.lookFor(ctx, others[service], p.Tenant.Spec.Images[service], o)
		}
	}
	switch berth.CodeOf(err) {
	case berth.CodeImageNotFound, berth.CodeInvalidImage, berth.CodeEngineRefused:
		o.NoImage = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	p.Tenant.Spec = spec
	return p.makeStack()
}

// lookFor asks the engine for an image as resolve does, and ends it before a
// pull begins.
func (p *pass) lookFor(ctx context.Context, reference, pinned string, o *plan.Outlook) (pin string, err error) {
	asked := reference
	if pinned != "" {
		asked = pinned
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	pulls := false
	pin, err = p.Engine.Resolve(ctx, asked, nil, func(berth.Progress) {
		pulls = true
		end()
	})
	if !pulls {
		return pin, err
	}
	o.Missing = append(o.Missing, reference)
	if pinned != "" {
		return pinned, nil
	}
	return "not pulled yet: " + reference, nil
}
