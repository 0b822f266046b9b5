package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// scanRetries is the pause after a scan that failed.
const scanRetries = 3 * time.Second

// scanAll runs the full scan at an interval.
func (l *Loop) scanAll(ctx context.Context) error {
	for {
		pause := l.ScanInterval
		if !l.scan(ctx) {
			pause = min(pause, scanRetries)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.rescan:
		case <-time.After(pause):
		}
	}
}

// snapshot is one look at everything: what is recorded and what the engine holds.
type snapshot struct {
	tenants   []berth.Tenant
	volumes   map[string][]berth.VolumeRecord // by organization id
	open      map[string]string               // deployments under way, by organization id
	seen      map[string]berth.Observed       // by organization id
	stacks    map[string]berth.Stack          // by organization id, without environment; none for one that can't be made
	inventory berth.Inventory
}

func newSnapshot() snapshot {
	return snapshot{stacks: map[string]berth.Stack{}, volumes: map[string][]berth.VolumeRecord{}, open: map[string]string{}, seen: map[string]berth.Observed{}}
}

// takeSnapshot lists the engine first and the store second: a tenant that appears in
// between is missing in the list and gets looked at; one that is tombstoned in
// between has its remains in the list and is safe by sweepDelay.
func (l *Loop) takeSnapshot(ctx context.Context) (snapshot, error) {
	f := newSnapshot()
	var err error
	if f.inventory, err = l.listEngine(ctx); err != nil {
		return f, err
	}
	for _, o := range f.inventory.Tenants {
		f.seen[o.OrganizationID] = o
	}
	return f, l.readStore(ctx, &f, true)
}

func (l *Loop) listEngine(ctx context.Context) (berth.Inventory, error) {
	ctx, cancel := context.WithTimeout(ctx, l.LookDeadline)
	defer cancel()
	return l.Engine.List(ctx)
}

// readStore fills in what the store holds of our tenants, and their stacks if
// they are wanted.
func (l *Loop) readStore(ctx context.Context, f *snapshot, stacks bool) error {
	return l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		for _, engine := range l.engines() {
			for cursor := ""; ; {
				page, next, err := tx.ListTenants(ctx, store.TenantFilter{Engine: engine, Page: store.Page{Cursor: cursor, Limit: 1000}})
				if err != nil {
					return err
				}
				f.tenants = append(f.tenants, page...)
				if cursor = next; cursor == "" {
					break
				}
			}
			open, err := tx.OpenDeployments(ctx, engine)
			if err != nil {
				return err
			}
			maps.Copy(f.open, open)
		}
		if stacks {
			l.renderStacks(ctx, tx, f)
		}
		volumes, _, err := tx.ListVolumes(ctx, "", store.Page{Limit: store.Unbounded})
		if err != nil {
			return err
		}
		for _, v := range volumes {
			f.volumes[v.OrganizationID] = append(f.volumes[v.OrganizationID], v)
		}
		return nil
	})
}

// engines are those whose tenants this control plane reads: that of the tenants
// it runs, and none, of those that no engine has yet.
func (l *Loop) engines() []berth.Maybe[string] {
	if l.EngineID == "" {
		return []berth.Maybe[string]{{}}
	}
	return []berth.Maybe[string]{berth.Known(l.EngineID), berth.Known("")}
}

// rendered is a tenant's stack, and the tenant's revision that it was made of.
type rendered struct {
	revision int64
	stack    berth.Stack
}

// renderStacks makes the stacks of tenants, without the secrets that their hashes
// need: enough to see whether everything is there. Those of tenants that did not
// change are kept. A stack that can't be made is left to a pass, which says why.
func (l *Loop) renderStacks(ctx context.Context, tx store.Blueprints, f *snapshot) {
	before := l.rendered
	l.rendered = make(map[string]rendered, len(f.tenants))
	for _, t := range f.tenants {
		it, ok := before[t.OrganizationID]
		if !ok || it.revision != t.Revision {
			b, err := l.Catalog.Get(ctx, tx, t.Spec.Blueprint)
			if err != nil {
				continue
			}
			stack, err := b.Stack(t, nil, nil, 0)
			if err != nil {
				continue
			}
			it = rendered{t.Revision, stack}
		}
		l.rendered[t.OrganizationID] = it
		f.stacks[t.OrganizationID] = it.stack
	}
}

// scan looks at everything once, reminds the queue of each tenant that may not
// be as it should, and sweeps. It reports whether the look succeeded.
func (l *Loop) scan(ctx context.Context) bool {
	if _, up := l.breaker.get(); !up {
		return false
	}
	f, err := l.takeSnapshot(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("scan failed", "error", err)
			if berth.Is(err, berth.CodeEngineUnavailable) {
				l.verifyEngine(ctx)
			}
		}
		return false
	}
	for _, org := range l.routes.retry() {
		l.queue.addAfter(org, 0)
	}
	l.fleet.keep(f.tenants)
	for _, t := range f.tenants {
		if reason := l.reasonToLook(f, t); reason != "" {
			l.Log.Debug("tenant needs a look", "tenant", t.OrganizationID, "reason", reason)
			if l.fleet.differs(t.OrganizationID, f.seen[t.OrganizationID]) {
				l.queue.addAfter(t.OrganizationID, 0)
			} else {
				l.queue.addRateLimited(t.OrganizationID)
			}
		}
	}
	l.sweep(ctx, f)
	return true
}

// reasonToLook says why a tenant may not be as it should, "" if it seems to be. It
// is cheap and may err on the side of looking.
func (l *Loop) reasonToLook(f snapshot, t berth.Tenant) string {
	seen := f.seen[t.OrganizationID]
	up := upstreams(seen)
	switch {
	case f.open[t.OrganizationID] != "":
		return "deployment under way"
	case t.Want == berth.WantGone:
		return "to be removed"
	case !seen.Network:
		return "network missing"
	case !l.complete(f.stacks[t.OrganizationID], seen):
		return "containers missing, too many, or not in their state"
	case t.Want == berth.WantRunning && (t.Status != berth.StatusRunning || t.Health != berth.HealthHealthy):
		return "not known to be well"
	case t.Want == berth.WantStopped && (t.Status != berth.StatusStopped || len(up) > 0):
		return "not known to be stopped"
	case t.Want == berth.WantRunning && !l.routes.leadsTo(t.OrganizationID, up):
		return "addresses changed"
	case t.Want == berth.WantRunning && !l.fleet.knows(t.OrganizationID):
		return "not looked at since the start"
	case t.Want == berth.WantRunning && l.routedUnready(t.OrganizationID):
		return "not ready, or without a sign of life"
	}
	have := make(map[string]bool, len(seen.Volumes))
	for _, name := range seen.Volumes {
		have[name] = true
	}
	for _, v := range f.volumes[t.OrganizationID] {
		if !v.CreatedAt.IsZero() && !have[v.Name] {
			return "volume missing"
		}
	}
	return ""
}

// routedUnready reports whether the route of a tenant that counts as healthy leads to
// a container that is not ready: a reminder may have been lost.
func (l *Loop) routedUnready(organizationID string) bool {
	if l.Vitals == nil {
		return false
	}
	return slices.ContainsFunc(l.fleet.of(organizationID), func(m berth.Member) bool {
		v, ok := l.Vitals.Vital(m.Instance.ID, m.Instance.StartedAt)
		return ok && m.Main && (v.Started && !v.Ready || v.Dead)
	})
}

// complete reports whether seen has every container that a stack calls for, in
// its state, and no other. What it was made from is not looked at.
func (l *Loop) complete(stack berth.Stack, seen berth.Observed) bool {
	have := make(map[berth.Slot]berth.Instance, len(seen.Instances))
	for _, c := range seen.Instances {
		if _, twice := have[c.Slot()]; twice || c.Beside || c.State == berth.InstanceRunning && len(c.Differs) > 0 {
			return false
		}
		have[c.Slot()] = c
	}
	for _, want := range stack.Instances() {
		c, ok := have[want.Slot]
		running := c.State == berth.InstanceRunning || want.Service.Once && c.State == berth.InstanceExited
		if !ok || stack.Run && !running || !stack.Run && c.State == berth.InstanceRunning {
			return false
		}
		delete(have, want.Slot)
	}
	for slot := range have { // what ran once may stand
		if !slices.ContainsFunc(stack.Services, func(svc berth.Service) bool { return svc.Name == slot.Name && svc.Done }) {
			return false
		}
	}
	return len(stack.Services) > 0
}
