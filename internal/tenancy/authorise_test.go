package tenancy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestADeployThatChangesTheEnvironmentTakesWhatConfiguringTakes(t *testing.T) {
	service, s := fleet(t, 1)
	err := s.InTx(t.Context(), operator, func(tx store.Tx) error {
		return tx.PutOrganization(t.Context(), berth.Organization{ID: org(1), Name: "One", SelfService: berth.ScopeDeploy, CreatedAt: noon})
	})
	if err != nil {
		t.Fatal(err)
	}
	value := "x"
	for name, c := range map[string]struct {
		actor berth.Actor
		code  berth.Code
	}{
		"an admin":                 {berth.Actor{ID: "a", Role: berth.RoleAdmin, OrganizationID: org(1)}, berth.CodeSelfServiceDenied},
		"a deployer":               {berth.Actor{ID: "d", Role: berth.RoleDeployer, OrganizationID: org(1)}, berth.CodeForbidden},
		"the operator's deployer":  {berth.Actor{ID: "o", Role: berth.RoleDeployer}, berth.CodeForbidden},
		"an operator's deploy key": {berth.Actor{ID: "k", Role: berth.RoleOperator, Scopes: berth.ScopeRead | berth.ScopeDeploy}, berth.CodeForbidden},
		"nobody":                   {berth.Actor{}, berth.CodeContainerNotFound},
	} {
		_, err := service.Deploy(t.Context(), c.actor, tenancy.Call{}, org(1), tenancy.Deploy{Environment: map[string]*string{"A": &value}})
		if berth.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		var e *berth.Error
		if errors.As(err, &e) && c.code == berth.CodeSelfServiceDenied && (!strings.Contains(e.Message, "configure") || strings.Contains(e.Message, "deploy") || !strings.Contains(e.Hint, "ask your operator")) {
			t.Errorf("%s: %s (%s)", name, e.Message, e.Hint)
		}
	}
}

// unasked is a store in which nobody asks what an organization is allowed.
type unasked struct {
	store.Store
	t *testing.T
}

type unaskedOrganizations struct {
	store.Organizations
	t *testing.T
}

func (u unasked) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return u.Store.View(ctx, actor, func(tx store.Tx) error {
		tx.Organizations = unaskedOrganizations{tx.Organizations, u.t}
		return fn(tx)
	})
}

func (u unaskedOrganizations) Organization(ctx context.Context, id string) (berth.Organization, error) {
	u.t.Error("asked what the organization is allowed")
	return u.Organizations.Organization(ctx, id)
}

func TestToReadAsksTheDatabaseNothingMore(t *testing.T) {
	service, _ := fleet(t, 3, func(_ *tenancy.Config, p *tenancy.Parts) { p.Store = unasked{p.Store, t} })
	ctx := t.Context()
	for _, actor := range []berth.Actor{
		operator, {ID: "a", Role: berth.RoleAdmin, OrganizationID: org(1)}, {ID: "m", Role: berth.RoleMember, OrganizationID: org(1)},
		{ID: "d", Role: berth.RoleDeployer},
	} {
		_, _, err := service.Tenants(ctx, actor, store.TenantFilter{})
		_, err2 := service.Tenant(ctx, actor, org(1))
		_, _, err3 := service.Deployments(ctx, actor, org(1), store.Page{})
		_, _, err4 := service.Events(ctx, actor, org(1), store.Page{})
		_, err5 := service.HealthSummary(ctx, actor, org(1), 0, store.Page{})
		if err := errors.Join(err, err2, err3, err4, err5); err != nil {
			t.Errorf("%s: %v", actor.ID, err)
		}
	}
}

func TestWhatOneMayNotOrderOneMayNotCancel(t *testing.T) {
	for typ, scope := range map[berth.DeploymentType]berth.Scopes{
		berth.DeployStop: berth.ScopeStop, berth.DeployRestart: berth.ScopeStart, berth.DeployScale: berth.ScopeConfigure, berth.DeployConfig: berth.ScopeConfigure,
		berth.DeployUpdate: 0, berth.DeployRollback: 0,
	} {
		service, s := orderable(t, 0)
		order := func(allowed berth.Scopes) {
			err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
				tenant, err := tx.Tenant(t.Context(), org(1))
				if err == nil {
					err = tx.PutOrganization(t.Context(), berth.Organization{ID: org(1), Name: "One", SelfService: allowed, CreatedAt: noon})
				}
				if _, busy, _ := tx.OpenDeployment(t.Context(), org(1)); err != nil || busy {
					return err
				}
				return tx.InsertDeployment(t.Context(), berth.Deployment{
					ID: berth.NewID(), TenantID: tenant.ID, OrganizationID: org(1), Type: typ, Status: berth.DeploymentPending, Generation: 2,
					Previous: &tenant.Spec, New: tenant.Spec, Want: tenant.Want, PreviousWant: tenant.Want, Volumes: berth.VolumesKeep, CreatedAt: noon,
				})
			})
			if err != nil {
				t.Fatal(typ, err)
			}
		}
		admin := berth.Actor{ID: "a", Role: berth.RoleAdmin, OrganizationID: org(1)}
		if scope != 0 {
			order(berth.SelfService &^ scope)
			if _, err := service.Cancel(t.Context(), admin, org(1), ""); !berth.Is(err, berth.CodeSelfServiceDenied) {
				t.Errorf("%s, which its people may not order, cancelled by its admin: %v", typ, err)
			}
		}
		order(berth.ScopeDeploy | scope)
		if _, err := service.Cancel(t.Context(), admin, org(1), ""); err != nil && !berth.Is(err, berth.CodeNothingUnderWay) {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// Whoever orders it again with the other word would be told that it is done.
func TestADeprovisionThatIsUnderWayKeepsItsWordOnVolumes(t *testing.T) {
	service, _ := fleet(t, 1, func(c *tenancy.Config, p *tenancy.Parts) {
		c.ComposePath, p.Loop = func(string) string { return "" }, deaf{}
	})
	order := func(volumes berth.VolumePolicy) error {
		_, err := service.Deprovision(t.Context(), berth.System(), tenancy.Call{}, org(1), volumes)
		return err
	}
	if err := order(berth.VolumesDelete); err != nil {
		t.Fatal(err)
	}
	if err := order(berth.VolumesDelete); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := order(berth.VolumesKeep); !berth.Is(err, berth.CodeDeprovisioning) {
		t.Errorf("keep, while they are deleted: %v", err)
	}
}

// deaf is a loop that takes orders, and does nothing.
type deaf struct{ tenancy.Loop }

func (deaf) Enqueue(string) {}
