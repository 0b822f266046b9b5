package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/store"
)

const (
	manyFirstPort = 9100 // below those of outgoing connections, with all that are used
	manyBatch     = 500  // tenants that are written at a time
)

// seed records tenants that run, each with its first deployment and a
// history of usage, and has the engine hold what they are: as after a restart.
func (p *plane) seed(ctx context.Context) error {
	v, _, err := p.service(nil).ApplyBlueprint(ctx, berth.System(), blueprint.BuiltinSource())
	if err != nil {
		return err
	}
	b, err := blueprint.New(v)
	if err != nil {
		return err
	}
	info, err := p.engine.Info(ctx)
	if err != nil {
		return err
	}
	for first := 0; first < p.Size; first += manyBatch {
		var list []berth.Tenant
		for i := first; i < min(first+manyBatch, p.Size); i++ {
			list = append(list, manyTenant(i, v.ID(), info.ID, b.Defaults()))
		}
		if err := p.apply(ctx, b, list, info.Cores); err != nil {
			return err
		}
		err := p.db.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
			for _, t := range list {
				if err := p.insert(ctx, tx, b, t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return p.engine.lighten(ctx)
}

func manyTenant(i int, blueprint, engine string, defaults berth.BlueprintDefaults) berth.Tenant {
	now := store.Now()
	return berth.Tenant{
		ID: berth.NewID(), OrganizationID: berth.NewID(), Name: fmt.Sprint("Many ", i), Slug: fmt.Sprint("many-", i),
		ExternalPort: manyFirstPort + i, URL: fmt.Sprint("http://localhost:", manyFirstPort+i), EngineID: engine,
		Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(i>>12), byte(i >> 4), byte(i&15) << 4}), berth.SubnetBits),
		Want:   berth.WantRunning, Status: berth.StatusRunning, Health: berth.HealthHealthy, Generation: 1, Released: 1,
		Spec: berth.Spec{ImageTag: shardImage, ImageDigest: shardPin, Blueprint: blueprint, Release: 1, Replicas: defaults.Replicas,
			InternalPort: defaults.Port, Limits: defaults.Limits.Rounded()},
		CreatedAt: now, UpdatedAt: now, LastStartedAt: now, LastProbedAt: now,
	}
}

// apply has the engine hold the tenants' stacks.
func (p *plane) apply(ctx context.Context, b *blueprint.Blueprint, list []berth.Tenant, cores int) error {
	for i := range list {
		stack, err := b.Stack(list[i], map[string]string{}, nil, cores)
		if err != nil {
			return err
		}
		o, err := p.engine.Apply(ctx, stack)
		if err != nil {
			return err
		}
		list[i].ContainerID = o.Instances[0].ID
	}
	return nil
}

func (p *plane) insert(ctx context.Context, tx store.Tx, b *blueprint.Blueprint, t berth.Tenant) error {
	if err := tx.InsertTenant(ctx, t); err != nil {
		return err
	}
	for _, v := range b.Volumes(t.OrganizationID) {
		v.EngineID, v.CreatedAt = t.EngineID, t.CreatedAt
		if err := tx.PutVolume(ctx, v); err != nil {
			return err
		}
	}
	err := tx.InsertDeployment(ctx, berth.Deployment{
		ID: berth.NewID(), TenantID: t.ID, OrganizationID: t.OrganizationID, Type: berth.DeployProvision, Status: berth.DeploymentCompleted,
		Generation: 1, New: t.Spec, Want: t.Want, CanRollback: true, CreatedAt: t.CreatedAt, StartedAt: t.CreatedAt, CompletedAt: t.CreatedAt,
	})
	if err != nil || p.Minutes == 0 {
		return err
	}
	var list []berth.Usage
	for at := t.CreatedAt.Truncate(time.Minute).Add(-time.Duration(p.Minutes) * time.Minute); at.Before(t.CreatedAt.Add(-time.Minute)); at = at.Add(time.Minute) {
		list = append(list, berth.Usage{OrganizationID: t.OrganizationID, Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute),
			CPUPercentAvg: berth.Known(1.5), MemoryAvg: berth.Known(int64(100 << 20)), Requests: berth.Known(int64(10)), Samples: 4})
	}
	return tx.PutUsage(ctx, list)
}
