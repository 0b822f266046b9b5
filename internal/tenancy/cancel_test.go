package tenancy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// app is a blueprint whose image is of the repository that is called as it is.
type app struct {
	tenancy.Blueprint
	name string
	once []string
}

func (a app) Defaults() berth.BlueprintDefaults {
	return berth.BlueprintDefaults{ImageTag: "v1", Port: 3000, Once: a.once}
}
func (a app) Image(tag string) (string, error)        { return berth.ImageReference(a.name, tag) }
func (app) Check(berth.Spec, map[string]string) error { return nil }
func (app) IsSecret(string) bool                      { return true }
func (app) Volumes(string) []berth.VolumeRecord       { return nil }
func apps(unreadable []string) *store.Catalog[tenancy.Blueprint] {
	return store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) {
		if slices.Contains(unreadable, v.ID()) {
			return nil, berth.Errorf(berth.CodeInvalidBlueprint, "it can't be read")
		}
		return app{name: v.Name, once: []string{"migrate"}}, nil
	})
}

// unsealed keeps values as they are.
type unsealed struct{ tenancy.Secrets }

func (unsealed) Seal(plaintext []byte, _ string) ([]byte, error) { return plaintext, nil }

// orderable is a tenant that runs version 1 of single, of two, whose people may do
// what is allowed, and that can be ordered to change.
func orderable(t *testing.T, allowed berth.Scopes) (*tenancy.Service, store.Store) {
	t.Helper()
	service, s := fleet(t, 1, func(c *tenancy.Config, p *tenancy.Parts) {
		c.ComposePath, p.Loop, p.Catalog, p.Secrets = func(string) string { return "" }, deaf{}, apps(nil), unsealed{}
	})
	err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		for _, v := range []berth.BlueprintVersion{{Name: "single", Version: 1}, {Name: "single", Version: 2}, {Name: "other", Version: 1}} {
			v.Source, v.Hash, v.CreatedAt = []byte(v.ID()), berth.BlueprintHash([]byte(v.ID())), noon
			if err := tx.InsertBlueprint(t.Context(), v); err != nil {
				return err
			}
		}
		tenant, err := tx.Tenant(t.Context(), org(1))
		if err != nil {
			return err
		}
		before := tenant.Spec
		before.Limits.MemoryMB, before.ImageDigest = before.Limits.MemoryMB/2, "sha256:1"
		for id, spec := range map[string]berth.Spec{"smaller": before, "same": tenant.Spec} {
			spec.ImageDigest = "sha256:1"
			if err := tx.InsertDeployment(t.Context(), berth.Deployment{
				ID: id, TenantID: tenant.ID, OrganizationID: org(1), Type: berth.DeployProvision, Status: berth.DeploymentCompleted, Generation: 1,
				New: spec, Want: tenant.Want, CanRollback: true, Volumes: berth.VolumesKeep, CreatedAt: noon, CompletedAt: noon,
			}); err != nil {
				return err
			}
		}
		return tx.PutOrganization(t.Context(), berth.Organization{ID: org(1), Name: "One", SelfService: allowed, CreatedAt: noon})
	})
	if err != nil {
		t.Fatal(err)
	}
	return service, s
}

// What an operator ordered, an organization takes back only if it could have ordered
// it: else a key that was replaced because it leaked would come back into force.
func TestAnOrganizationCancelsOnlyWhatItMayOrder(t *testing.T) {
	value, other, newer, image, tag, memory := "x", "other", "single@2", "elsewhere/app:v1", "v2", 2048
	deploy := func(d tenancy.Deploy) func(*tenancy.Service) error {
		return func(s *tenancy.Service) error {
			_, err := s.Deploy(t.Context(), operator, tenancy.Call{}, org(1), d)
			return err
		}
	}
	rollback := func(id string) func(*tenancy.Service) error {
		return func(s *tenancy.Service) error {
			_, err := s.Rollback(t.Context(), operator, tenancy.Call{}, org(1), id)
			return err
		}
	}
	admin := berth.Actor{ID: "a", Role: berth.RoleAdmin, OrganizationID: org(1)}
	deployer := berth.Actor{ID: "d", Role: berth.RoleDeployer}
	service, _ := orderable(t, berth.ScopeDeploy)
	for name, c := range map[string]struct {
		order           func(*tenancy.Service) error
		admin, deployer berth.Code // that the cancel is answered with
	}{
		"another tag":                {deploy(tenancy.Deploy{ImageTag: &tag}), "", ""},
		"a newer version":            {deploy(tenancy.Deploy{Blueprint: &newer}), "", ""},
		"the environment":            {deploy(tenancy.Deploy{Environment: map[string]*string{"KEY": &value}}), berth.CodeSelfServiceDenied, berth.CodeForbidden},
		"another blueprint":          {deploy(tenancy.Deploy{Blueprint: &other}), berth.CodeForbidden, ""},
		"another repository":         {deploy(tenancy.Deploy{ImageTag: &image}), berth.CodeForbidden, ""},
		"a rollback":                 {rollback("same"), "", ""},
		"a rollback to other limits": {rollback("smaller"), berth.CodeSelfServiceDenied, berth.CodeForbidden},
		"limits": {func(s *tenancy.Service) error {
			_, err := s.Scale(t.Context(), operator, tenancy.Call{}, org(1), tenancy.Scale{MemoryMB: &memory})
			return err
		}, berth.CodeSelfServiceDenied, berth.CodeForbidden},
	} {
		underWay := false
		for _, by := range []struct {
			actor berth.Actor
			want  berth.Code
		}{{admin, c.admin}, {deployer, c.deployer}, {operator, ""}} {
			if !underWay {
				if err := c.order(service); err != nil {
					t.Fatal(name, err)
				}
			}
			_, err := service.Cancel(t.Context(), by.actor, org(1), "")
			if underWay = err != nil; berth.CodeOf(err) != by.want {
				t.Errorf("%s, cancelled by %s: %v, want %q", name, by.actor.ID, err, by.want)
			}
		}
	}
}

// A stop takes back what is under way, as a cancel does: it is refused for the same, or
// who may stop could undo what only an operator may order.
func TestAStopUndoesOnlyWhatItsActorMayOrder(t *testing.T) {
	value, tag, memory := "x", "v2", 2048
	configure := func(s *tenancy.Service) (tenancy.Receipt, error) {
		return s.Configure(t.Context(), operator, tenancy.Call{}, org(1), tenancy.Configure{Environment: map[string]*string{"KEY": &value}})
	}
	deploy := func(s *tenancy.Service) (tenancy.Receipt, error) {
		return s.Deploy(t.Context(), operator, tenancy.Call{}, org(1), tenancy.Deploy{ImageTag: &tag})
	}
	scale := func(s *tenancy.Service) (tenancy.Receipt, error) {
		return s.Scale(t.Context(), operator, tenancy.Call{}, org(1), tenancy.Scale{MemoryMB: &memory})
	}
	restart := func(s *tenancy.Service) (tenancy.Receipt, error) {
		return s.Restart(t.Context(), operator, tenancy.Call{}, org(1))
	}
	admin := berth.Actor{ID: "a", Role: berth.RoleAdmin, OrganizationID: org(1)}
	stopper := berth.Actor{ID: "o", Role: berth.RoleOperator, Scopes: berth.ScopeStop}
	const stops = berth.ScopeStop | berth.ScopeStart
	for name, c := range map[string]struct {
		order   func(*tenancy.Service) (tenancy.Receipt, error)
		by      berth.Actor
		allowed berth.Scopes // to the organization's people
		want    berth.Code
	}{
		"an operator's variables":                                    {configure, admin, stops, berth.CodeForbidden},
		"variables that they may set":                                {configure, admin, stops | berth.ScopeConfigure, ""},
		"an operator's deploy":                                       {deploy, admin, stops | berth.ScopeConfigure, berth.CodeForbidden},
		"a deploy that they may order":                               {deploy, admin, stops | berth.ScopeDeploy, ""},
		"an operator's limits":                                       {scale, admin, stops, berth.CodeForbidden},
		"a restart, which leaves no change":                          {restart, admin, berth.ScopeStop, ""},
		"another operator's variables, with a token that only stops": {configure, stopper, 0, ""},
	} {
		service, s := orderable(t, c.allowed)
		order, err := c.order(service)
		if err != nil {
			t.Fatal(name, err)
		}
		if c.want != "" { // to try it is refused for what it would be refused for
			if _, err := service.Stop(t.Context(), c.by, tenancy.Call{DryRun: true}, org(1)); berth.CodeOf(err) != c.want {
				t.Errorf("a dry run of a stop over %s: %v, want %q", name, err, c.want)
			}
		}
		if _, err := service.Stop(t.Context(), c.by, tenancy.Call{}, org(1)); berth.CodeOf(err) != c.want {
			t.Errorf("a stop over %s: %v, want %q", name, err, c.want)
		}
		err = s.View(t.Context(), berth.System(), func(tx store.Tx) error {
			d, err := tx.Deployment(t.Context(), order.Deployment.ID)
			if undone := d.Over(); undone != (c.want == "") {
				t.Errorf("after a stop over %s, it is %s", name, d.Status)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Whoever stops what somebody else is stopping has ordered it too.
func TestAStopThatJoinsOneIsInTheAudit(t *testing.T) {
	service, s := orderable(t, 0)
	first, err := service.Stop(t.Context(), operator, tenancy.Call{}, org(1))
	if err != nil {
		t.Fatal(err)
	}
	another := operator
	another.ID = "another"
	second, err := service.Stop(t.Context(), another, tenancy.Call{}, org(1))
	if err != nil || second.Deployment.ID != first.Deployment.ID {
		t.Fatalf("%s and %s, %v", first.Deployment.ID, second.Deployment.ID, err)
	}
	var actors []string
	err = s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		entries, _, err := tx.ListAudit(t.Context(), store.AuditFilter{OrganizationID: org(1), Action: "tenant.stop", Ascending: true})
		for _, e := range entries {
			actors = append(actors, e.ActorID)
		}
		return err
	})
	if err != nil || !slices.Equal(actors, []string{operator.ID, "another"}) {
		t.Errorf("stopped by %v, %v", actors, err)
	}
}

// ofUnreadable is a service that can't read the blueprint which its tenant is being
// deployed to.
func ofUnreadable(t *testing.T, allowed berth.Scopes) *tenancy.Service {
	t.Helper()
	service, s := orderable(t, allowed)
	newer := "single@2"
	r, err := service.Deploy(t.Context(), operator, tenancy.Call{}, org(1), tenancy.Deploy{Blueprint: &newer})
	if err == nil {
		err = s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
			r.Deployment.StartedAt = noon
			return tx.UpdateDeployment(t.Context(), r.Deployment)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return tenancy.New(tenancy.Config{Now: func() time.Time { return noon }, ComposePath: func(string) string { return "" }},
		tenancy.Parts{Store: s, Loop: deaf{}, Catalog: apps([]string{newer})})
}

// What the order under way decided is not known then, so whether it was theirs is not.
func TestAStopOverABlueprintThatIsUnreadableIsAnOperators(t *testing.T) {
	downgraded := ofUnreadable(t, berth.ScopeStop|berth.ScopeDeploy)
	admin := berth.Actor{ID: "a", Role: berth.RoleAdmin, OrganizationID: org(1)}
	if _, err := downgraded.Stop(t.Context(), admin, tenancy.Call{}, org(1)); berth.CodeOf(err) != berth.CodeForbidden || !strings.Contains(err.Error(), "whose blueprint can't be read") {
		t.Errorf("an organization's stop: %v", err)
	}
	if _, err := downgraded.Stop(t.Context(), operator, tenancy.Call{}, org(1)); err != nil {
		t.Errorf("an operator's stop: %v", err)
	}
}

// After an upgrade or the way back from one, a blueprint may not be readable: that is
// when its deployment is to be taken back.
func TestADeploymentOfABlueprintThatIsUnreadableCanBeCancelled(t *testing.T) {
	downgraded := ofUnreadable(t, 0)
	out, err := downgraded.Cancel(t.Context(), operator, org(1), "")
	if err != nil || len(out.NotUndone) != 1 || out.NotUndone[0] != "what runs once per release may have begun, and what it did is not undone" {
		t.Errorf("said %q, %v", out.NotUndone, err)
	}
	if err == nil && out.Tenant.Spec.Blueprint != "single@1" {
		t.Errorf("it is to be %s", out.Tenant.Spec.Blueprint)
	}
}
