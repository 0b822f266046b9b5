package reconcile

import (
	"context"
	"slices"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// outline is what a scan knows of a tenant's stack: enough to see whether
// everything is there, and little, for there is one of each tenant.
type outline struct {
	revision int64 // of the tenant, when the outline was made
	run      bool
	services []serviceOutline // none if the stack can't be made: a pass says why
	volumes  []string         // that were made, and are to be there
}

type serviceOutline struct {
	name       string
	replicas   int
	once, done bool
}

// outlined is what an outline is drawn from.
type outlined interface {
	store.Blueprints
	ListVolumes(ctx context.Context, organizationID string, p store.Page) (page []berth.VolumeRecord, next string, err error)
}

// outline returns a tenant's outline. It is made anew only if the tenant's
// revision changed since the last scan. Volumes are recorded in transactions that
// change the tenant too, and so raise it.
func (c *comparison) outline(ctx context.Context, tx outlined, t berth.Tenant) (outline, error) {
	it, ok := c.outlines[t.OrganizationID]
	drawn := !ok || it.revision != t.Revision
	if drawn {
		it = outline{revision: t.Revision}
		volumes := c.volumes[t.OrganizationID]
		if c.volumes == nil {
			var err error
			if volumes, _, err = tx.ListVolumes(ctx, t.OrganizationID, store.Page{Limit: store.Unbounded}); err != nil {
				return it, err
			}
		}
		for _, v := range volumes {
			if !v.CreatedAt.IsZero() {
				it.volumes = append(it.volumes, v.Name)
			}
		}
		if b, err := c.Catalog.Get(ctx, tx, t.Spec.Blueprint); err == nil {
			if stack, err := b.Stack(t, nil, nil, 0); err == nil {
				it.draw(stack)
			}
		}
	}
	if it.services == nil {
		delete(c.outlines, t.OrganizationID)
	} else if drawn {
		c.outlines[t.OrganizationID] = it
	}
	return it, nil
}

func (o *outline) draw(stack berth.Stack) {
	o.run = stack.Run
	o.services = make([]serviceOutline, 0, len(stack.Services))
	for _, svc := range stack.Services {
		o.services = append(o.services, serviceOutline{svc.Name, svc.Replicas, svc.Once, svc.Done})
	}
}

// complete reports whether seen has every instance that is called for, in its
// state, and no other. What it was made from is not looked at.
func (o outline) complete(seen berth.Observed) bool {
	have := make(map[berth.Slot]berth.InstanceState, len(seen.Instances))
	for _, c := range seen.Instances {
		if _, twice := have[c.Slot()]; twice || c.Beside || c.State == berth.InstanceRunning && len(c.Differs) > 0 {
			return false
		}
		have[c.Slot()] = c.State
	}
	for _, svc := range o.services {
		for n := 1; !svc.done && n <= svc.replicas; n++ {
			slot := berth.Slot{Name: svc.name, Replica: n}
			state, ok := have[slot]
			running := state == berth.InstanceRunning || svc.once && state == berth.InstanceExited
			if !ok || o.run && !running || !o.run && state == berth.InstanceRunning {
				return false
			}
			delete(have, slot)
		}
	}
	for slot := range have { // what ran once may stand
		if !slices.ContainsFunc(o.services, func(svc serviceOutline) bool { return svc.name == slot.Name && svc.done }) {
			return false
		}
	}
	return len(o.services) > 0
}
