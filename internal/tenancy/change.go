package tenancy

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// rollbackDepth is how many deployments back a rollback without a target looks.
const rollbackDepth = 500

// Start makes a tenant run.
func (s *Service) Start(ctx context.Context, actor berth.Actor, call Call, ref string) (Receipt, error) {
	return s.order(ctx, actor, call, ref, ordered{action.Start, berth.OrderStart, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type, t.Want = berth.DeployRestart, berth.WantRunning
		retryRelease(t)
		return nil
	}, nil})
}

// retryRelease lets the services that run once per release run again, if they
// did not end well.
func retryRelease(t *berth.Tenant) {
	if t.Released < t.Spec.Release {
		newRelease(t)
	}
}

// newRelease says that what the tenant runs changes with its next generation.
func newRelease(t *berth.Tenant) { t.Spec.Release = t.Generation + 1 }

// Adopt takes a tenant back whose containers compose made of the rendered
// file, and starts it.
func (s *Service) Adopt(ctx context.Context, actor berth.Actor, call Call, ref string) (Receipt, error) {
	return s.order(ctx, actor, call, ref, ordered{action.Adopt, berth.OrderRestart, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type, d.Adopt, t.Want = berth.DeployRestart, true, berth.WantRunning
		retryRelease(t)
		return nil
	}, nil})
}

// Stop ends a tenant's instances and keeps them.
func (s *Service) Stop(ctx context.Context, actor berth.Actor, call Call, ref string) (Receipt, error) {
	return s.order(ctx, actor, call, ref, ordered{action.Stop, berth.OrderStop, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type, d.CanRollback, t.Want = berth.DeployStop, false, berth.WantStopped
		return nil
	}, nil})
}

// Restart stops a tenant's instances and starts them again.
func (s *Service) Restart(ctx context.Context, actor berth.Actor, call Call, ref string) (Receipt, error) {
	return s.order(ctx, actor, call, ref, ordered{action.Restart, berth.OrderRestart, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type, t.Want = berth.DeployRestart, berth.WantRunning
		retryRelease(t)
		return nil
	}, nil})
}

// Scale changes limits and replicas.
func (s *Service) Scale(ctx context.Context, actor berth.Actor, call Call, ref string, c Scale) (Receipt, error) {
	if c.CPU == nil && c.MemoryMB == nil && c.Replicas == nil {
		return Receipt{}, nothingToChange("cpuLimit, memoryLimitMb or replicas")
	}
	return s.order(ctx, actor, call, ref, ordered{action.Scale, berth.OrderScale, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type = berth.DeployScale
		set(&t.Spec.Limits.CPU, c.CPU)
		set(&t.Spec.Limits.MemoryMB, c.MemoryMB)
		set(&t.Spec.Replicas, c.Replicas)
		if err := t.Spec.Limits.Validate(); err != nil {
			return err
		}
		t.Spec.Limits = t.Spec.Limits.Rounded()
		if err := berth.ValidateReplicas(t.Spec.Replicas); err != nil {
			return err
		}
		return s.checkSpec(ctx, tx, *t, nil)
	}, nil})
}

// Deploy changes the image, the environment or both, and brings the tenant to
// the newest version of its blueprint, or to the one asked for. Without an
// image it looks again at what the tenant's tag stands for. A change of the
// environment takes what Configure takes, too. An organization's own people
// deploy what checkOwn lets them.
func (s *Service) Deploy(ctx context.Context, actor berth.Actor, call Call, ref string, c Deploy) (Receipt, error) {
	if err := validateDelta(c.Environment); err != nil {
		return Receipt{}, err
	}
	var besides berth.Scopes
	if len(c.Environment) > 0 {
		besides = berth.ScopeConfigure
	}
	leave := &leaving{meant: c.LeaveData}
	return s.order(ctx, actor, call, ref, ordered{action.Deploy.Also(besides), berth.OrderDeploy, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type = berth.DeployUpdate
		before := t.Spec
		if err := checkOwnBlueprint(actor, before, c.Blueprint); err != nil {
			return err
		}
		b, err := s.upgrade(ctx, tx, t, c.Blueprint)
		if err != nil {
			return err
		}
		if leave.list, err = s.leftBehind(ctx, tx, t.OrganizationID, before.Blueprint, b); err != nil {
			return err
		}
		if err := leave.refusal(t.Spec.Blueprint); err != nil {
			return err
		}
		set(&t.Spec.ImageTag, c.ImageTag)
		if _, err := b.Image(t.Spec.ImageTag); err != nil {
			return err
		}
		if err := checkOwn(actor, b, before, t.Spec); err != nil {
			return err
		}
		t.Spec.ImageDigest, t.Spec.Images = "", nil
		newRelease(t)
		if t.Spec.Environment, err = s.mergeEnvironment(ctx, tx, *t, c.Environment); err != nil {
			return err
		}
		return b.Check(t.Spec, newValues(c.Environment))
	}, leave})
}

// Rollback returns to an earlier deployment: the one named, or the last good
// one before the present one. Who may not scale gets no other limits by it.
func (s *Service) Rollback(ctx context.Context, actor berth.Actor, call Call, ref, deploymentID string) (Receipt, error) {
	return s.order(ctx, actor, call, ref, ordered{action.Rollback, berth.OrderRollback, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		target, err := s.rollbackTarget(ctx, tx, *t, deploymentID)
		if err != nil {
			return err
		}
		d.Type, d.RollbackOf = berth.DeployRollback, target.ID
		now := t.Spec
		b, err := s.catalog.Get(ctx, tx, target.New.Blueprint)
		if err != nil {
			return err
		}
		env := rolledBackEnvironment(t.Spec.Environment, target.New.Environment, b.IsSecret)
		t.Spec = target.New
		t.Spec.Environment = env
		t.Spec.Limits.DiskMB = max(now.Limits.DiskMB, t.Spec.Limits.DiskMB) // never below what the data may have grown to
		scale, err := may(ctx, tx, actor, action.Scale, t.OrganizationID)
		if err != nil {
			return err
		}
		if !scale {
			t.Spec.Limits, t.Spec.Replicas = now.Limits, now.Replicas
		}
		newRelease(t)
		return b.Check(t.Spec, nil)
	}, nil})
}

func (s *Service) rollbackTarget(ctx context.Context, tx store.Deployments, t berth.Tenant, id string) (berth.Deployment, error) {
	if id != "" {
		d, err := tx.Deployment(ctx, id)
		if err != nil && !berth.Is(err, berth.CodeDeploymentNotFound) {
			return berth.Deployment{}, err
		}
		if err == nil && d.TenantID == t.ID {
			return berth.RollbackTarget([]berth.Deployment{d}, id)
		}
		return berth.RollbackTarget(nil, id)
	}
	history, _, err := tx.ListDeployments(ctx, t.OrganizationID, store.Page{Limit: rollbackDepth})
	if err != nil {
		return berth.Deployment{}, err
	}
	var own []berth.Deployment // an earlier life of the organization is not this tenant's past
	for _, d := range history {
		if d.TenantID == t.ID {
			own = append(own, d)
		}
	}
	return berth.RollbackTarget(own, "")
}

// Configure changes what a tenant is called and holds. To remove variables that
// it does not have is no change: beside others it is passed over, alone it is
// refused.
func (s *Service) Configure(ctx context.Context, actor berth.Actor, call Call, ref string, c Configure) (Receipt, error) {
	if c.Name == nil && c.DiskMB == nil && len(c.Environment) == 0 && len(c.Domains) == 0 {
		return Receipt{}, nothingToChange("tenantName, diskLimitMb or environment")
	}
	if len(c.Domains) > 0 {
		return Receipt{}, noDomainsYet()
	}
	if c.Name != nil {
		if err := berth.ValidateName(*c.Name); err != nil {
			return Receipt{}, err
		}
	}
	if err := validateDelta(c.Environment); err != nil {
		return Receipt{}, err
	}
	return s.order(ctx, actor, call, ref, ordered{action.Configure, berth.OrderConfigure, func(tx store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type = berth.DeployConfig
		set(&t.Name, c.Name)
		set(&t.Spec.Limits.DiskMB, c.DiskMB)
		if err := t.Spec.Limits.Validate(); err != nil {
			return err
		}
		delta := withoutAbsent(c.Environment, t.Spec.Environment)
		if len(delta) == 0 && c.Name == nil && c.DiskMB == nil {
			absent := slices.Sorted(maps.Keys(c.Environment))
			return berth.Errorf(berth.CodeInvalidRequest, "Nothing to change: the tenant has no environment variable %s", strings.Join(absent, ", ")).
				WithField("environment." + absent[0]).WithHint("it is gone already, or written otherwise: the tenant's environmentVars name those that there are")
		}
		if len(delta) == 0 {
			return nil
		}
		newRelease(t)
		env, err := s.mergeEnvironment(ctx, tx, *t, delta)
		if err != nil {
			return err
		}
		t.Spec.Environment = env
		return s.checkSpec(ctx, tx, *t, newValues(delta))
	}, nil})
}

// Deprovision removes a tenant. The order to delete its volumes is part of the
// deployment's record.
func (s *Service) Deprovision(ctx context.Context, actor berth.Actor, call Call, ref string, volumes berth.VolumePolicy) (Receipt, error) {
	if volumes != berth.VolumesKeep && volumes != berth.VolumesDelete {
		return Receipt{}, berth.Errorf(berth.CodeInvalidRequest, "Volumes must be keep or delete").WithField("volumes").
			WithHint("keep leaves the tenant's data for a later provision; %s was given", berth.Quote(string(volumes)))
	}
	return s.order(ctx, actor, call, ref, ordered{action.Deprovision, berth.OrderDeprovision, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		d.Type, d.CanRollback, d.Volumes = berth.DeployDeprovision, false, volumes
		t.Want, t.Status, t.Health = berth.WantGone, berth.StatusDeprovisioning, berth.HealthUnknown
		return nil
	}, nil})
}

func nothingToChange(fields string) error {
	return berth.Errorf(berth.CodeInvalidRequest, "Nothing to change").WithHint("give at least one of %s", fields)
}
