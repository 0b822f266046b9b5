package tenancy_test

import (
	"context"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// sees is a loop that sees a tenant's instances as they are set.
type sees struct {
	tenancy.Loop
	instances []berth.Instance
}

func (s *sees) Look(_ context.Context, organizationID string) (berth.Observed, error) {
	return berth.Observed{OrganizationID: organizationID, Instances: s.instances}, nil
}
func (s *sees) EngineInfo() (berth.EngineInfo, bool) {
	return berth.EngineInfo{ID: "e", Cores: 2}, true
}
func (s *sees) Progress(string) (p berth.Progress, ok bool) { return p, false }
func (s *sees) Enqueue(string)                              {}

// unprobed has nothing to say.
type unprobed struct{ tenancy.Health }

func (unprobed) Ask(context.Context, string, []berth.Instance, berth.HealthCheck) (*berth.Probe, error) {
	return nil, nil
}

type plain struct{ tenancy.Blueprint }

func (plain) Defaults() (d berth.BlueprintDefaults) { return d }

// readOnly is a store that must not be written to.
type readOnly struct {
	store.Store
	t *testing.T
}

func (r readOnly) InTx(context.Context, berth.Actor, func(store.Tx) error) error {
	r.t.Error("a read wrote")
	return nil
}

func looking(t *testing.T, loop *sees, change func(*tenancy.Parts)) (*tenancy.Service, store.Store) {
	t.Helper()
	later := noon.Add(time.Minute)
	catalog := store.NewCatalog(func(berth.BlueprintVersion) (tenancy.Blueprint, error) { return plain{}, nil })
	if _, err := catalog.Read(berth.BlueprintVersion{Name: "single", Version: 1}); err != nil {
		t.Fatal(err)
	}
	return fleet(t, 1, func(c *tenancy.Config, p *tenancy.Parts) {
		c.Now, c.ComposePath = func() time.Time { return later }, func(string) string { return "" }
		p.Loop, p.Health, p.Catalog = loop, unprobed{}, catalog
		change(p)
	})
}

func TestTheStatusOfATenantThatDiedIsTrueAndWritesNothing(t *testing.T) {
	loop := &sees{instances: []berth.Instance{{State: berth.InstanceRunning, Address: addr(1)}}}
	service, _ := looking(t, loop, func(p *tenancy.Parts) { p.Store = readOnly{p.Store, t} })
	state, err := service.State(t.Context(), operator, org(1))
	if err != nil || state.Tenant.Status != berth.StatusRunning || !state.Running {
		t.Errorf("alive: %+v, %v", state, err)
	}
	loop.instances[0].State = berth.InstanceExited
	state, err = service.State(t.Context(), operator, org(1))
	if err != nil || state.Tenant.Status != berth.StatusFailed || state.Tenant.Health != berth.HealthUnhealthy || state.Tenant.Cause == "" || state.Running {
		t.Errorf("dead: %+v, %v", state, err)
	}
}

func TestATenantThatDiedIsNotAlreadyRunning(t *testing.T) {
	loop := &sees{instances: []berth.Instance{{State: berth.InstanceRunning, Address: addr(1)}}}
	service, s := looking(t, loop, func(*tenancy.Parts) {})
	if _, err := service.Start(t.Context(), operator, tenancy.Call{}, org(1)); !berth.Is(err, berth.CodeAlreadyRunning) {
		t.Errorf("alive: %v", err)
	}
	loop.instances = nil
	if _, err := service.Start(t.Context(), operator, tenancy.Call{}, org(1)); err != nil {
		t.Errorf("dead: %v", err)
	}
	err := s.View(t.Context(), operator, func(tx store.Tx) error {
		events, _, err := tx.ListEvents(t.Context(), org(1), store.Page{Limit: 10})
		if err != nil || len(events) != 1 || events[0].Kind != berth.EventDrift {
			t.Errorf("%+v, %v", events, err)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
