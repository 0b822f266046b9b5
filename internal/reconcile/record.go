package reconcile

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
	"github.com/unite-hub/berth/internal/store"
)

// commit changes the tenant and its open deployment (nil if there is none) in
// one transaction, if nobody else changed them since they were loaded, and
// keeps the result in the situation.
func (p *pass) commit(ctx context.Context, change func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error) error {
	var t berth.Tenant
	var d *berth.Deployment
	err := p.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		t, d = p.Tenant, nil
		if p.Deployment != nil {
			c := *p.Deployment
			c.Steps = p.deployments.steps(&c)
			d = &c
		}
		if err := change(tx, &t, d); err != nil {
			return err
		}
		t.UpdatedAt = store.Now()
		if d != nil {
			if err := tx.UpdateDeployment(ctx, *d); err != nil {
				return err
			}
		}
		return tx.UpdateTenant(ctx, &t)
	})
	if err != nil {
		return err
	}
	p.Tenant, p.Deployment = t, d
	if d != nil && d.Over() {
		p.deployments.forget(d.OrganizationID)
		p.waiters.wake(d.OrganizationID)
		if p.Ended != nil {
			p.Ended(*d)
		}
		p.Deployment = nil
	}
	return nil
}

// begin records that a deployment was taken up, and by which engine.
func (p *pass) begin(ctx context.Context) error {
	info, _ := p.breaker.get()
	p.histories.forgetCrashes(p.Tenant.OrganizationID)
	return p.commit(ctx, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		if d != nil {
			d.StartedAt = store.Now()
		}
		if t.EngineID == "" && t.Want != berth.WantGone {
			t.EngineID = info.ID
		}
		if t.Status == berth.StatusPending {
			t.Status = berth.StatusProvisioning
		}
		if t.Want == berth.WantRunning && t.Status != berth.StatusRunning {
			t.Health = berth.HealthStarting
		}
		return nil
	})
}

// recordSeen records what is seen, and that the deployment reached it. Nothing is
// written if nothing changed.
func (p *pass) recordSeen(ctx context.Context, s plan.Step) error {
	succeeded := p.Succeeds(s)
	next := p.Tenant
	next.Status, next.Health, next.Cause = s.Status, s.Health, s.Reason
	next.ContainerID = p.mainInstance()
	if err := p.routes.error(next.OrganizationID); err != nil && next.Cause == "" {
		next.Cause = err.Error() // it runs, but its port is someone else's
	}
	same := next.Status == p.Tenant.Status && next.Health == p.Tenant.Health &&
		next.Cause == p.Tenant.Cause && next.ContainerID == p.Tenant.ContainerID
	if same && !succeeded && p.Probe == nil {
		return nil
	}
	volumes := p.made()
	if succeeded {
		p.claim(volumes)
	}
	err := p.commit(ctx, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		if err := p.report(ctx, tx, next, s.Event); err != nil {
			return err
		}
		*t = p.stamped(next)
		if p.Probe != nil {
			t.LastProbedAt = p.Probe.CheckedAt
			if err := tx.InsertProbe(ctx, *p.Probe); err != nil {
				return err
			}
		}
		for i, v := range volumes {
			if i < len(p.volumes) && v == p.volumes[i] {
				continue
			}
			if err := tx.PutVolume(ctx, v); err != nil {
				return err
			}
		}
		if succeeded {
			d.Status, d.CompletedAt = berth.DeploymentCompleted, store.Now()
		}
		return nil
	})
	if err == nil {
		p.volumes = volumes
	}
	return err
}

// report records that a tenant which was well is not, or is again. One of which nobody
// could tell counts as well: one that was not stays unhealthy meanwhile. What happens
// within a deployment is told by its outcome.
func (p *pass) report(ctx context.Context, tx store.Journal, next berth.Tenant, kind string) error {
	org, was := next.OrganizationID, p.Tenant
	unwell := func(t berth.Tenant) bool { return t.Health == berth.HealthUnhealthy }
	switch {
	case p.Deployment != nil:
		return nil
	case kind != "" && was.Cause == next.Cause:
		return nil // told before
	case kind != "":
		return tx.InsertEvent(ctx, event(org, kind, next.Cause))
	case (was.Health == berth.HealthHealthy || was.Health == berth.HealthUnknown && was.Status == berth.StatusRunning) && unwell(next):
		return tx.InsertEvent(ctx, event(org, berth.EventUnhealthy, next.Cause))
	case unwell(was) && next.Health == berth.HealthHealthy:
		return tx.InsertEvent(ctx, event(org, berth.EventRecovered, "it is well again, after: "+was.Cause))
	default:
		return nil
	}
}

// stamped stamps the times at which the tenant started and stopped.
func (p *pass) stamped(t berth.Tenant) berth.Tenant {
	switch {
	case t.Status == berth.StatusRunning:
		for _, c := range p.Seen.Instances {
			if c.State == berth.InstanceRunning && c.StartedAt.After(t.LastStartedAt) {
				t.LastStartedAt = c.StartedAt
			}
		}
		if t.LastStartedAt.IsZero() {
			t.LastStartedAt = store.Now()
		}
	case t.Status == berth.StatusStopped && p.Tenant.Status == berth.StatusRunning:
		t.LastStoppedAt = store.Now()
	}
	return t
}

// made returns the volumes as they are to be recorded: those that exist now are
// written down as made, and from then on their absence is a loss.
func (p *pass) made() []berth.VolumeRecord {
	volumes := slices.Clone(p.volumes)
	known := map[string]bool{}
	for i, v := range volumes {
		known[v.Name] = true
		if v.CreatedAt.IsZero() && slices.Contains(p.Seen.Volumes, v.Name) {
			volumes[i].CreatedAt, volumes[i].EngineID = store.Now(), p.Tenant.EngineID
		}
	}
	// What an image declares is known only once the engine has made it.
	for _, name := range p.Seen.Volumes {
		if target, ok := berth.ImageVolumeTarget(name); ok && !known[name] {
			volumes = append(volumes, berth.VolumeRecord{
				OrganizationID: p.Tenant.OrganizationID, Name: name, Mount: target, EngineID: p.Tenant.EngineID, CreatedAt: store.Now(),
			})
		}
	}
	return volumes
}

// claim takes the volumes that the stack names from those that an earlier tenant
// of the organization left and nobody uses.
func (p *pass) claim(volumes []berth.VolumeRecord) {
	for i, v := range volumes {
		if !v.KeptAt.IsZero() && slices.ContainsFunc(p.Stack.Volumes, func(named berth.Volume) bool { return named.Name == v.Name }) {
			volumes[i].KeptAt = time.Time{}
		}
	}
}

// bury turns the tenant into a tombstone. Its instances and network were seen
// to be gone, and so were the volumes that were ordered gone; the others are
// kept and stay listed, also those that a version made which was not done yet.
func (p *pass) bury(ctx context.Context) error {
	deletes := p.deletesVolumes()
	if !deletes {
		if err := p.seeVolumes(ctx); err != nil {
			return err
		}
	}
	return p.commit(ctx, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		for _, v := range p.made() {
			if deletes || v.CreatedAt.IsZero() {
				v.DeletedAt = store.Now()
			} else {
				v.KeptAt = store.Now()
			}
			if err := tx.PutVolume(ctx, v); err != nil {
				return err
			}
		}
		t.DeprovisionedAt, t.LastStoppedAt = store.Now(), store.Now()
		t.Health, t.ContainerID, t.Cause = berth.HealthUnknown, "", ""
		if d != nil {
			d.Status, d.CompletedAt = berth.DeploymentCompleted, store.Now()
		}
		return nil
	})
}

// deletesVolumes reports whether the tenant was ordered gone with its volumes.
func (p *pass) deletesVolumes() bool {
	return p.Deployment != nil && p.Deployment.Volumes == berth.VolumesDelete
}

// seeVolumes looks which volumes a tenant has that is to go: observe leaves that out.
func (p *pass) seeVolumes(ctx context.Context) error {
	return p.call(ctx, p.lanes.look, p.LookDeadline, func(ctx context.Context) error {
		seen, err := p.Engine.Observe(ctx, p.Tenant.OrganizationID)
		p.Seen.Volumes = seen.Volumes
		return err
	})
}

// drift records that a tenant was found changed by other means, and that it
// is being repaired.
func (p *pass) drift(ctx context.Context, reason string) error {
	p.Log.Warn("drift found", "tenant", p.Tenant.OrganizationID, "reason", reason)
	return p.journal(ctx, berth.EventDrift, reason+"; being repaired")
}

func (p *pass) journal(ctx context.Context, kind, message string) error {
	return p.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		return tx.InsertEvent(ctx, event(p.Tenant.OrganizationID, kind, message))
	})
}

func event(organizationID, kind, message string) berth.Event {
	return berth.Event{ID: berth.NewID(), OrganizationID: organizationID, At: store.Now(), Kind: kind, Message: message}
}

// changeSubnet gives a tenant that has no network yet another subnet, after the
// engine said that the one it has clashes with something of its own.
func (p *pass) changeSubnet(ctx context.Context, cause error) error {
	host, err := p.HostNetworks()
	if err != nil {
		return berth.Errorf(berth.CodeInternal, "list the host's networks: %w", err)
	}
	clashed := []netip.Prefix{p.Tenant.Subnet}
	p.deployments.update(p.Deployment, func(r *deploymentProgress) {
		r.clashed = append(slices.Clip(r.clashed), p.Tenant.Subnet)
		clashed = r.clashed
	})
	err = p.commit(ctx, func(tx store.Tx, t *berth.Tenant, _ *berth.Deployment) error {
		taken, err := tx.TakenSubnets(ctx) // the one that clashes among them
		if err != nil {
			return err
		}
		t.Subnet, err = berth.FreeSubnet(p.Pool, slices.Concat(host, taken, clashed))
		return err
	})
	if err != nil {
		return err
	}
	if p.Deployment == nil && p.Tenant.Cause != "" {
		return nil // told, and tried again and again
	}
	return p.journal(ctx, berth.EventEngine, "moved to subnet "+p.Tenant.Subnet.String()+": "+cause.Error())
}

// mainInstance is the id of the first instance that takes requests.
func (p *pass) mainInstance() string {
	for _, svc := range p.Stack.Services {
		for _, c := range p.Seen.Instances {
			if svc.Main && c.Slot() == (berth.Slot{Name: svc.Name, Replica: 1}) && !c.Beside {
				return c.ID
			}
		}
	}
	return ""
}
