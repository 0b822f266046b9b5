package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	hintDelay   = 300 * time.Millisecond // gathers the events of one change
	watchPause  = time.Second            // before the engine's event stream is opened again
	sweepDelay  = 2                      // scans that a stray must be seen in before it is removed
	scanRetries = 3 * time.Second        // pause after a scan that failed
	tidyPause   = time.Hour              // between looks for idempotency keys to forget
	keyLife     = 24 * time.Hour         // of an idempotency key
)

// scanAll runs the full scan at an interval.
func (l *Loop) scanAll(ctx context.Context) error {
	var tidied time.Time
	for {
		if time.Since(tidied) >= tidyPause {
			l.tidy(ctx)
			l.collect(ctx)
			tidied = time.Now()
		}
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

// tidy forgets idempotency keys that nobody will repeat any more.
func (l *Loop) tidy(ctx context.Context) {
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.ForgetRequests(ctx, now().Add(-keyLife)) })
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("old idempotency keys could not be forgotten", "error", err)
	}
}

// follow turns the engine's events into hints.
func (l *Loop) follow(ctx context.Context) error {
	for {
		if _, up := l.engine.get(); up {
			err := l.Engine.Watch(ctx, func(h berth.Hint) { l.hinted(ctx, h) })
			if ctx.Err() == nil {
				l.Log.Debug("engine events broke off", "error", err)
				l.doubt(ctx)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// hinted looks at a tenant soon. That the kernel killed for want of memory is
// known from the hint alone: the next look may find everything running again.
func (l *Loop) hinted(ctx context.Context, h berth.Hint) {
	l.queue.remind(h.OrganizationID, hintDelay)
	if !h.OOM || !l.stands.oom(h.OrganizationID) {
		return
	}
	what := "service " + h.Service
	if h.Service == "" {
		what = "a process"
	}
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if _, err := tx.Tenant(ctx, h.OrganizationID); err != nil {
			return err
		}
		return tx.InsertEvent(ctx, event(h.OrganizationID, berth.EventOOM, what+" was killed for using more than its limit of memory; raise it, or find the leak"))
	})
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("out of memory could not be recorded", "tenant", h.OrganizationID, "error", err)
	}
}

// fleet is one look at everything: what is recorded and what the engine holds.
type fleet struct {
	tenants   []berth.Tenant
	volumes   map[string][]berth.VolumeRecord // by organization id
	open      map[string]bool                 // organizations with a deployment under way
	seen      map[string]berth.Observed       // by organization id
	stacks    map[string]berth.Stack          // by organization id, without environment; none for one that can't be made
	inventory berth.Inventory
}

func newFleet() fleet {
	return fleet{stacks: map[string]berth.Stack{}, volumes: map[string][]berth.VolumeRecord{}, open: map[string]bool{}, seen: map[string]berth.Observed{}}
}

// survey lists the engine first and the store second: a tenant that appears in
// between is missing in the list and gets looked at; one that is buried in
// between has its remains in the list and is safe by sweepDelay.
func (l *Loop) survey(ctx context.Context) (fleet, error) {
	f := newFleet()
	var err error
	if f.inventory, err = l.list(ctx); err != nil {
		return f, err
	}
	for _, o := range f.inventory.Tenants {
		f.seen[o.OrganizationID] = o
	}
	return f, l.recorded(ctx, &f)
}

func (l *Loop) list(ctx context.Context) (berth.Inventory, error) {
	ctx, cancel := context.WithTimeout(ctx, l.LookDeadline)
	defer cancel()
	return l.Engine.List(ctx)
}

// recorded fills in what the store holds.
func (l *Loop) recorded(ctx context.Context, f *fleet) error {
	return l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		for cursor := ""; ; {
			page, next, err := tx.ListTenants(ctx, store.TenantFilter{Page: store.Page{Cursor: cursor, Limit: 1000}})
			if err != nil {
				return err
			}
			f.tenants = append(f.tenants, page...)
			l.sketch(ctx, tx, f, page)
			if cursor = next; cursor == "" {
				break
			}
		}
		volumes, _, err := tx.ListVolumes(ctx, "", store.Page{Limit: store.Unbounded})
		if err != nil {
			return err
		}
		for _, v := range volumes {
			f.volumes[v.OrganizationID] = append(f.volumes[v.OrganizationID], v)
		}
		open, err := tx.OpenDeployments(ctx)
		for _, org := range open {
			f.open[org] = true
		}
		return err
	})
}

// sketch makes the stacks of tenants, without the secrets that their hashes
// need: enough to see whether everything is there. A stack that can't be made
// is left to a pass, which says why.
func (l *Loop) sketch(ctx context.Context, tx store.Tx, f *fleet, tenants []berth.Tenant) {
	for _, t := range tenants {
		if b, err := l.Catalog.Get(ctx, tx, t.Spec.Blueprint); err == nil {
			if stack, err := b.Stack(t, nil, nil, 0); err == nil {
				f.stacks[t.OrganizationID] = stack
			}
		}
	}
}

// scan looks at everything once, reminds the queue of each tenant that may not
// be as it should, and sweeps. It reports whether the look succeeded.
func (l *Loop) scan(ctx context.Context) bool {
	if _, up := l.engine.get(); !up {
		return false
	}
	f, err := l.survey(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("scan failed", "error", err)
			if berth.Is(err, berth.CodeEngineUnavailable) {
				l.doubt(ctx)
			}
		}
		return false
	}
	for _, org := range l.routes.retry() {
		l.queue.remind(org, 0)
	}
	l.fleet.keep(f.tenants)
	for _, t := range f.tenants {
		if reason := l.suspect(f, t); reason != "" {
			l.Log.Debug("tenant needs a look", "tenant", t.OrganizationID, "reason", reason)
			l.queue.remind(t.OrganizationID, 0)
		}
	}
	l.sweep(ctx, f)
	return true
}

// suspect says why a tenant may not be as it should, "" if it seems to be. It
// is cheap and may err on the side of looking.
func (l *Loop) suspect(f fleet, t berth.Tenant) string {
	seen := f.seen[t.OrganizationID]
	up := upstreams(seen)
	switch {
	case f.open[t.OrganizationID]:
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
	case t.Want == berth.WantRunning && l.unheard(t.OrganizationID):
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

// unheard reports whether the route of a tenant that counts as healthy leads to
// a container that is not ready: a reminder may have been lost.
func (l *Loop) unheard(organizationID string) bool {
	if l.Vitals == nil {
		return false
	}
	return slices.ContainsFunc(l.fleet.of(organizationID), func(m berth.Member) bool {
		v, ok := l.Vitals.Vital(m.Container.ID, m.Container.StartedAt)
		return ok && m.Main && (v.Started && !v.Ready || v.Dead)
	})
}

// complete reports whether seen has every container that a stack calls for, in
// its state, and no other. What it was made from is not looked at.
func (l *Loop) complete(stack berth.Stack, seen berth.Observed) bool {
	have := make(map[string]berth.Container, len(seen.Containers))
	for _, c := range seen.Containers {
		have[c.Name] = c
	}
	for _, want := range stack.Containers() {
		c, ok := have[want.Name]
		running := c.State == berth.ContainerRunning || want.Service.Once && c.State == berth.ContainerExited
		if !ok || stack.Run && !running || !stack.Run && c.State == berth.ContainerRunning {
			return false
		}
		delete(have, want.Name)
	}
	for _, c := range have {
		if !stack.Leaves(c.Service) {
			return false
		}
	}
	return len(stack.Services) > 0
}

// restore puts the routes of all tenants in force before the first pass, so
// that requests flow while the loop catches up. If the engine does not answer,
// ports answer that their tenant is not ready.
func (l *Loop) restore(ctx context.Context) {
	f, err := l.survey(ctx)
	if err != nil {
		l.Log.Warn("routes are restored without the engine", "error", err)
		if err := l.recorded(context.WithoutCancel(ctx), &f); err != nil {
			l.Log.Error("routes could not be restored", "error", err)
			return
		}
	}
	all := make([]berth.Route, 0, len(f.tenants))
	for _, t := range f.tenants {
		r := berth.Route{
			OrganizationID: t.OrganizationID, Name: t.Name, Port: t.ExternalPort,
			State: berth.RouteStopped, Generation: t.Generation, Subnet: t.Subnet,
		}
		switch t.Want {
		case berth.WantGone:
			continue
		case berth.WantRunning:
			changing := f.open[t.OrganizationID]
			seen := f.seen[t.OrganizationID]
			seen.Containers = slices.DeleteFunc(slices.Clone(seen.Containers), func(c berth.Container) bool { return !believed(t, changing, c) })
			r.Upstreams = upstreams(seen)
			switch {
			case len(r.Upstreams) > 0:
				r.State = berth.RouteServing
			case changing && t.Status == berth.StatusRunning:
				r.State = berth.RouteHolding // as before the end
			default:
				r.State = berth.RouteStarting
			}
		}
		all = append(all, r)
	}
	l.routes.replace(all)
}

// sweep removes what a tenant left behind after its end, and reports what is
// not ours to touch. Nothing goes on the word of a database that is older than
// what it would delete: without a tombstone that is at least as new as the
// object, the object stays and is reported. Volumes are never swept.
func (l *Loop) sweep(ctx context.Context, f fleet) {
	living := make(map[string]bool, len(f.tenants))
	for _, t := range f.tenants {
		living[t.OrganizationID] = true
	}
	before := l.strays
	l.strays = make(map[string]int)
	for _, o := range f.inventory.Tenants {
		for _, x := range o.Foreign {
			l.report(ctx, before, x)
		}
		if living[o.OrganizationID] || len(o.Containers) == 0 && !o.Network {
			continue
		}
		key := "stray " + o.OrganizationID
		l.strays[key] = before[key] + 1
		if l.strays[key] < sweepDelay {
			continue
		}
		if !l.buried(ctx, o) {
			l.report(ctx, before, berth.Foreign{
				Kind: "stack", Name: berth.ContainerName(o.OrganizationID), OrganizationID: o.OrganizationID,
				Reason: "this Berth made it, but its database does not know that it is to go: quarantined",
			})
			continue
		}
		l.Log.Info("sweeping", "tenant", o.OrganizationID, "containers", len(o.Containers))
		if err := l.removeStray(ctx, o.OrganizationID); err != nil {
			l.Log.Warn("sweep failed", "tenant", o.OrganizationID, "error", err)
		}
	}
	for _, x := range f.inventory.Foreign {
		l.report(ctx, before, x)
	}
}

// buried reports whether a tombstone proves that all of o is to go.
func (l *Loop) buried(ctx context.Context, o berth.Observed) bool {
	var grave berth.Tenant
	err := l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		var err error
		grave, err = tx.Tombstone(ctx, o.OrganizationID)
		return err
	})
	info, _ := l.engine.get()
	if err != nil || grave.EngineID != info.ID {
		return false
	}
	for _, c := range o.Containers {
		if c.Generation > grave.Generation {
			return false
		}
	}
	return true
}

func (l *Loop) removeStray(ctx context.Context, organizationID string) error {
	leave, err := enter(ctx, l.lanes.end)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, l.CallDeadline)
	defer cancel()
	return l.Engine.Remove(ctx, berth.Removal{OrganizationID: organizationID})
}

// report records a foreign object once for as long as it is there.
func (l *Loop) report(ctx context.Context, before map[string]int, x berth.Foreign) {
	key := "foreign " + x.Kind + " " + x.ID + x.Name
	l.strays[key] = before[key] + 1
	if before[key] > 0 {
		return
	}
	l.Log.Warn("foreign object left alone", "tenant", x.OrganizationID, "kind", x.Kind, "name", x.Name, "reason", x.Reason)
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		return tx.InsertEvent(ctx, event(x.OrganizationID, berth.EventForeign,
			fmt.Sprintf("%s %s (%s) was left alone: %s", x.Kind, x.Name, x.ID, x.Reason)))
	})
	if err != nil {
		l.Log.Warn("foreign object could not be recorded", "tenant", x.OrganizationID, "error", err)
	}
}

// blur marks the health of every running tenant as unknown, when the engine
// stops to answer: what can't be seen is not claimed.
func (l *Loop) blur(ctx context.Context) {
	f := newFleet()
	if err := l.recorded(ctx, &f); err != nil {
		l.Log.Warn("health could not be marked unknown", "error", err)
		return
	}
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for _, t := range f.tenants {
			if t.Status != berth.StatusRunning || t.Health == berth.HealthUnknown {
				continue
			}
			t.Health = berth.HealthUnknown
			if err := tx.UpdateTenant(ctx, &t); err != nil && !berth.Is(err, berth.CodeStale) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.Log.Warn("health could not be marked unknown", "error", err)
	}
}
