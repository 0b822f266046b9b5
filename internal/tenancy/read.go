package tenancy

import (
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// stateDeadline bounds the look at the engine that State takes.
const stateDeadline = 5 * time.Second

// Tenant returns a living tenant by organization id or slug.
func (s *Service) Tenant(ctx context.Context, actor berth.Actor, ref string) (berth.Tenant, error) {
	return s.tenant(ctx, actor, action.Tenant, ref)
}

// tenant is the living tenant that ref stands for, if the actor may do that to it.
func (s *Service) tenant(ctx context.Context, actor berth.Actor, what action.Action, ref string) (t berth.Tenant, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		t, err = find(ctx, tx, actor, what, ref)
		return err
	})
	return t, err
}

// Tenants returns a page of living tenants and the next cursor.
func (s *Service) Tenants(ctx context.Context, actor berth.Actor, f store.TenantFilter) (page []berth.Tenant, next string, err error) {
	if err := authoriseOwn(actor, action.ListTenants); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		page, next, err = tx.ListTenants(ctx, f)
		return err
	})
	return page, next, err
}

// Deployment returns one deployment of an organization, tombstones included.
func (s *Service) Deployment(ctx context.Context, actor berth.Actor, ref, id string) (d berth.Deployment, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		org, err := findOrganization(ctx, tx, actor, action.Deployment, ref)
		if err != nil {
			return err
		}
		if d, err = tx.Deployment(ctx, id); err == nil && d.OrganizationID != org {
			err = berth.Errorf(berth.CodeDeploymentNotFound, "Deployment not found").
				WithHint("list the tenant's deployments")
		}
		return err
	})
	return d, err
}

// Deployments returns a page of an organization's deployments, newest first,
// tombstones included.
func (s *Service) Deployments(ctx context.Context, actor berth.Actor, ref string, p store.Page) (page []berth.Deployment, next string, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		org, err := findOrganization(ctx, tx, actor, action.Deployments, ref)
		if err != nil {
			return err
		}
		page, next, err = tx.ListDeployments(ctx, org, p)
		return err
	})
	return page, next, err
}

// organization finds the organization that ref stands for: a living tenant's,
// or, by id, one whose tenants are all gone.
func organization(ctx context.Context, tx finder, ref string) (string, error) {
	t, err := tx.Tenant(ctx, ref)
	if berth.Is(err, berth.CodeContainerNotFound) {
		if id, bad := berth.ParseOrganizationID(ref); bad == nil {
			if gone, noTombstone := tx.Tombstone(ctx, id); noTombstone == nil {
				return gone.OrganizationID, nil
			}
		}
	}
	return t.OrganizationID, err
}

// State looks at the engine and probes the tenant once.
func (s *Service) State(ctx context.Context, actor berth.Actor, ref string) (State, error) {
	t, err := s.tenant(ctx, actor, action.Status, ref)
	if err != nil {
		return State{}, err
	}
	now := s.look(ctx, t.OrganizationID, stateDeadline)
	st := State{Tenant: t, EngineReachable: now.ok, Observed: now.seen}
	if now.ok {
		if err := s.probe(ctx, &st); err != nil {
			return State{}, err
		}
	}
	info, _ := s.loop.EngineInfo()
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		fresh, err := tx.Tenant(ctx, t.OrganizationID)
		if err != nil {
			return err
		}
		open, busy, err := tx.OpenDeployment(ctx, t.OrganizationID)
		if err == nil && busy {
			st.OpenDeployment = &open
			if p, ok := s.loop.Progress(open.ID); ok {
				st.Progress = &p
			}
		}
		st.Tenant, _ = now.of(fresh, busy)
		return err
	})
	if !st.EngineReachable {
		st.Tenant.Health = berth.HealthUnknown
	}
	st.EffectiveCPU = st.Tenant.Spec.Limits.EffectiveCPU(info.Cores)
	st.EnvironmentNames = slices.Sorted(maps.Keys(st.Tenant.Spec.Environment))
	return st, err
}

// probe asks every running replica of the service that answers requests.
func (s *Service) probe(ctx context.Context, st *State) error {
	var b Blueprint
	err := s.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		b, err = s.catalog.Get(ctx, tx, st.Tenant.Spec.Blueprint)
		return err
	})
	if err != nil {
		return err
	}
	running := slices.DeleteFunc(slices.Clone(st.Observed.Instances), func(c berth.Instance) bool {
		return c.State != berth.InstanceRunning || !c.Address.IsValid() || c.Beside
	})
	st.Running = len(running) > 0 && len(running) >= st.Tenant.Spec.Replicas
	st.Probe, err = s.health.Ask(ctx, st.Tenant.OrganizationID, running, b.Defaults().Health)
	return err
}

// Logs returns what the tenant's instances wrote.
func (s *Service) Logs(ctx context.Context, actor berth.Actor, ref string, o berth.LogOptions) (io.ReadCloser, error) {
	t, err := s.tenant(ctx, actor, action.Logs, ref)
	if err != nil {
		return nil, err
	}
	if s.logs == nil {
		return nil, berth.Errorf(berth.CodeNotSupportedYet, "This engine does not show logs").
			WithHint("read them with the engine's own tools")
	}
	return s.logs.Logs(ctx, t.OrganizationID, o)
}

// Compose renders the tenant's compose file. It holds no values of the
// tenant's own environment, and of the blueprint's what shown lets the actor see.
func (s *Service) Compose(ctx context.Context, actor berth.Actor, ref string) ([]byte, error) {
	info, _ := s.loop.EngineInfo()
	var t berth.Tenant
	var b Blueprint
	err := s.store.View(ctx, actor, func(tx store.Tx) (err error) {
		if t, err = find(ctx, tx, actor, action.Compose, ref); err == nil {
			b, err = s.catalog.Get(ctx, tx, t.Spec.Blueprint)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	data, err := b.Compose(t, info.Cores)
	if err != nil {
		return nil, err
	}
	return s.shown(actor)(data), nil
}

// WriteComposeEnv writes the tenant's own variables in clear beside its
// rendered compose file, so that compose can run it without Berth. They never
// travel: only the paths are answered. That it was asked for is on record first.
func (s *Service) WriteComposeEnv(ctx context.Context, actor berth.Actor, ref string) (composePath, envPath string, err error) {
	var t berth.Tenant
	var b Blueprint
	var sealed []store.SecretVersion
	err = s.store.InTx(ctx, actor, func(tx store.Tx) (err error) {
		if t, err = find(ctx, tx, actor, action.WriteComposeEnv, ref); err != nil {
			return err
		}
		if b, err = s.catalog.Get(ctx, tx, t.Spec.Blueprint); err != nil {
			return err
		}
		if sealed, err = tx.Secrets(ctx, t.OrganizationID, slices.Collect(maps.Values(t.Spec.Environment))); err != nil {
			return err
		}
		return action.WriteComposeEnv.Record(ctx, tx, actor, action.Change{At: s.now(), Organization: t.OrganizationID, Target: t.OrganizationID})
	})
	if err != nil {
		return "", "", err
	}
	values := make(map[string]string, len(sealed))
	for _, v := range sealed {
		value, err := s.secrets.Open(v.Ciphertext, berth.SecretContext(v.OrganizationID, v.Name))
		if err != nil {
			return "", "", err
		}
		values[v.Name] = string(value)
	}
	envPath, err = s.files.WriteEnv(t.OrganizationID, b.Env(t.OrganizationID, values))
	return s.config.ComposePath(t.OrganizationID), envPath, err
}

// Volumes returns a page of the volumes of an organization; with "" of all,
// for who sees everything.
func (s *Service) Volumes(ctx context.Context, actor berth.Actor, ref string, p store.Page) (page []berth.VolumeRecord, next string, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		org, err := ofOneOrAll(ctx, tx, actor, action.Volumes, ref)
		if err != nil {
			return err
		}
		page, next, err = tx.ListVolumes(ctx, org, p)
		return err
	})
	return page, next, err
}

// Events returns a page of what happened to a tenant outside orders, newest
// first; with "" to all of them, for who sees everything.
func (s *Service) Events(ctx context.Context, actor berth.Actor, ref string, p store.Page) (page []berth.Event, next string, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		org, err := ofOneOrAll(ctx, tx, actor, action.Events, ref)
		if err != nil {
			return err
		}
		page, next, err = tx.ListEvents(ctx, org, p)
		return err
	})
	return page, next, err
}

// ofOneOrAll finds the organization whose list is asked for; "" is the whole
// installation's.
func ofOneOrAll(ctx context.Context, tx finder, actor berth.Actor, what action.Action, ref string) (string, error) {
	if ref == "" {
		return "", authoriseInstallation(actor, what)
	}
	return findOrganization(ctx, tx, actor, what, ref)
}
