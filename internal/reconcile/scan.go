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

const (
	lookAfter  = time.Hour // a tenant is looked at again, whatever a list or an event says
	lookShares = 100       // a scan reminds of at most one tenant in so many, and one more, for being unseen too long
)

// scanAll runs the full scan at an interval. The first one waits for the stream of
// events, if that opens: what it looks at earlier would have to be looked at again.
func (l *Loop) scanAll(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.rescan:
	case <-time.After(watchPause):
	}
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

func (l *Loop) listEngine(ctx context.Context) (berth.Inventory, error) {
	ctx, cancel := context.WithTimeout(ctx, l.LookDeadline)
	defer cancel()
	return l.Engine.List(ctx)
}

// tenantsUnderWay lists tenants and what is under way with them.
type tenantsUnderWay interface {
	store.TenantLister
	OpenDeployments(ctx context.Context, engine berth.Maybe[string]) (map[string]string, error)
}

// eachTenant shows every tenant that lives and is ours, one after another, with
// the deployment that it has under way, "" if none.
func (l *Loop) eachTenant(ctx context.Context, tx tenantsUnderWay, visit func(t berth.Tenant, deployment string) error) error {
	for _, engine := range l.engines() {
		open, err := tx.OpenDeployments(ctx, engine)
		if err != nil {
			return err
		}
		for t, err := range store.EachTenant(ctx, tx, store.TenantFilter{Engine: engine}) {
			if err != nil {
				return err
			}
			if err := visit(t, open[t.OrganizationID]); err != nil {
				return err
			}
		}
	}
	return nil
}

// engines are those whose tenants this control plane reads: that of the tenants
// it runs, and none, of those that no engine has yet.
func (l *Loop) engines() []berth.Maybe[string] {
	if l.EngineID == "" {
		return []berth.Maybe[string]{{}}
	}
	return []berth.Maybe[string]{berth.Known(l.EngineID), berth.Known("")}
}

// comparison is a scan at work: what the engine holds beside each tenant that is
// recorded. Tenants are met one after another, and nothing of them is kept but
// their outlines: there may be many.
type comparison struct {
	*Loop
	seen       map[string]*berth.Observed // by organization id
	volumes    map[string][]berth.VolumeRecord
	living     map[string]bool
	first      bool     // no outline was drawn before
	unseenLeft int      // how many more may count as too long unseen
	reminds    []string // organizations that may not be as they should
	unlooked   []string // organizations of which nothing but an inspection can tell
}

// scan looks at everything once, reminds the queue of each tenant that may not
// be as it should, and looks for strays. It reports whether the look succeeded.
//
// It lists the engine first and the store second: a tenant that appears in
// between is missing in the list and gets looked at; one that is tombstoned in
// between has its remains in the list and is safe by strayScans.
func (l *Loop) scan(ctx context.Context) bool {
	if _, up := l.breaker.get(); !up {
		return false
	}
	began := time.Now()
	inventory, err := l.listEngine(ctx)
	var c comparison
	if err == nil {
		c = comparison{Loop: l, seen: byOrganization(inventory), first: len(l.outlines) == 0}
		err = l.Store.View(ctx, berth.System(), func(tx store.Tx) error { return c.compare(ctx, tx) })
	}
	if err != nil {
		if c.first { // those that were not met are many again: their volumes are read at once
			clear(l.outlines)
		}
		if ctx.Err() == nil {
			l.Log.Warn("scan failed", "error", err)
			if berth.Is(err, berth.CodeEngineUnavailable) {
				l.verifyEngine(ctx)
			}
		}
		return false
	}
	maps.DeleteFunc(l.outlines, func(org string, _ outline) bool { return !c.living[org] })
	l.listed.replace(c.unlooked, c.seen, began)
	for _, org := range l.routes.retry() {
		l.queue.addAfter(org, 0)
	}
	l.fleet.keep(c.living)
	for _, org := range c.reminds {
		if c.differs(org) {
			l.queue.addAfter(org, 0)
		} else {
			l.queue.addRateLimited(org)
		}
	}
	l.queue.addBacklog(slices.DeleteFunc(c.unlooked, func(org string) bool {
		differs := c.differs(org)
		if differs {
			l.queue.addAfter(org, 0)
		}
		return differs
	}))
	l.checkStrays(ctx, inventory, c.living)
	return true
}

// differs reports whether other instances run than those that the last pass saw.
func (c *comparison) differs(organizationID string) bool {
	if seen := c.seen[organizationID]; seen != nil {
		return c.fleet.differs(organizationID, *seen)
	}
	return c.fleet.differs(organizationID, berth.Observed{})
}

func byOrganization(inventory berth.Inventory) map[string]*berth.Observed {
	seen := make(map[string]*berth.Observed, len(inventory.Tenants))
	for i := range inventory.Tenants {
		seen[inventory.Tenants[i].OrganizationID] = &inventory.Tenants[i]
	}
	return seen
}

// compare meets every tenant. It may be called again from the start.
func (c *comparison) compare(ctx context.Context, tx store.Tx) error {
	c.living = make(map[string]bool, len(c.seen))
	c.reminds, c.unlooked, c.unseenLeft = nil, nil, 1+len(c.seen)/lookShares
	if c.first { // all of them are drawn: one read instead of one for each
		if err := c.readVolumes(ctx, tx); err != nil {
			return err
		}
	}
	return c.eachTenant(ctx, tx, func(t berth.Tenant, deployment string) error {
		c.living[t.OrganizationID] = true
		should, err := c.outline(ctx, tx, t)
		if err != nil {
			return err
		}
		var seen berth.Observed
		if o := c.seen[t.OrganizationID]; o != nil {
			seen = *o
		}
		reason := "deployment under way"
		if deployment == "" {
			reason = c.reasonToLook(should, seen, t)
		}
		if reason == "" && c.unseenLeft > 0 && c.fleet.unseen(t.OrganizationID, time.Now().Add(-lookAfter)) {
			c.unseenLeft--
			reason = unlooked
		}
		switch reason {
		case "":
			return nil
		case unlooked:
			c.unlooked = append(c.unlooked, t.OrganizationID)
		default:
			c.reminds = append(c.reminds, t.OrganizationID)
		}
		c.Log.Debug("tenant needs a look", "tenant", t.OrganizationID, "reason", reason)
		return nil
	})
}

// readVolumes reads the volumes of all tenants that are ours, with one statement where
// all are and else two. Alone, kept ones that no tenant has are among them.
func (c *comparison) readVolumes(ctx context.Context, tx store.Volumes) error {
	c.volumes = make(map[string][]berth.VolumeRecord, len(c.seen))
	if c.EngineID == "" { // all are
		volumes, _, err := tx.ListVolumes(ctx, "", store.Page{Limit: store.Unbounded})
		for _, v := range volumes {
			c.volumes[v.OrganizationID] = append(c.volumes[v.OrganizationID], v)
		}
		return err
	}
	for _, engine := range c.engines() {
		volumes, err := tx.TenantVolumes(ctx, engine.Value)
		if err != nil {
			return err
		}
		maps.Copy(c.volumes, volumes)
	}
	return nil
}

const unlooked = "not looked at since the events of the engine are followed, or for long"

// reasonToLook says why a tenant may not be as it should, "" if it seems to be. It
// is cheap and may err on the side of looking.
func (l *Loop) reasonToLook(should outline, seen berth.Observed, t berth.Tenant) string {
	up := upstreams(seen)
	switch {
	case t.Want == berth.WantGone:
		return "to be removed"
	case !seen.Network:
		return "network missing"
	case !should.complete(seen):
		return "containers missing, too many, or not in their state"
	case t.Want == berth.WantRunning && (t.Status != berth.StatusRunning || t.Health != berth.HealthHealthy):
		return "not known to be well"
	case t.Want == berth.WantStopped && (t.Status != berth.StatusStopped || len(up) > 0):
		return "not known to be stopped"
	case t.Want == berth.WantRunning && !l.routes.leadsTo(t.OrganizationID, up):
		return "addresses changed"
	case t.Want == berth.WantRunning && t.Cause == "" && l.routes.error(t.OrganizationID) != nil:
		return "its port could not be opened, and nobody was told"
	case t.Want == berth.WantRunning && l.fleet.expired(t.OrganizationID):
		return unlooked
	case t.Want == berth.WantRunning && l.anyUnwell(t.OrganizationID):
		return "not ready, or without a sign of life"
	}
	for _, name := range should.volumes {
		if !slices.Contains(seen.Volumes, name) {
			return "volume missing"
		}
	}
	return ""
}

// anyUnwell reports whether an instance of a tenant that counts as well is not ready, or
// gives no sign of life: a reminder may have been lost.
func (l *Loop) anyUnwell(organizationID string) bool {
	if l.Vitals == nil {
		return false
	}
	return slices.ContainsFunc(l.fleet.of(organizationID), func(m *berth.Member) bool {
		v, ok := l.Vitals.Vital(m.InstanceID, m.StartedAt)
		return ok && m.Main && (v.Started && !v.Ready || v.Dead)
	})
}
