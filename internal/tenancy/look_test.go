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
	stopped := func(tx store.Tx, tn berth.Tenant) error {
		tn.Cause = "the stop was cancelled by op"
		return tx.UpdateTenant(t.Context(), &tn)
	}
	for name, c := range map[string]struct {
		left   []berth.Instance
		change func(tx store.Tx, tn berth.Tenant) error
		drifts int
	}{
		"what is gone is drift":                                            {nil, nil, 1},
		"what somebody stopped is too":                                     {[]berth.Instance{{State: berth.InstanceExited}}, nil, 1},
		"what the engine is about to start again crashed":                  {[]berth.Instance{{State: berth.InstanceRestarting}}, nil, 0},
		"what ended and nothing starts again did so too":                   {[]berth.Instance{{State: berth.InstanceExited, Unattended: true}}, nil, 0},
		"what is on its way back from an order that was taken back is not": {nil, stopped, 0},
	} {
		t.Run(name, func(t *testing.T) {
			loop := &sees{instances: []berth.Instance{{State: berth.InstanceRunning, Address: addr(1)}}}
			service, s := looking(t, loop, func(*tenancy.Parts) {})
			if _, err := service.Start(t.Context(), operator, tenancy.Call{}, org(1)); !berth.Is(err, berth.CodeAlreadyRunning) {
				t.Errorf("alive: %v", err)
			}
			loop.instances = c.left
			err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
				tn, err := tx.Tenant(t.Context(), org(1))
				if err != nil || c.change == nil {
					return err
				}
				return c.change(tx, tn)
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := service.Start(t.Context(), operator, tenancy.Call{}, org(1)); err != nil {
				t.Errorf("dead: %v", err)
			}
			err = s.View(t.Context(), operator, func(tx store.Tx) error {
				events, _, err := tx.ListEvents(t.Context(), org(1), store.Page{Limit: 10})
				if err != nil || len(events) != c.drifts || len(events) > 0 && events[0].Kind != berth.EventDrift {
					t.Errorf("%+v, %v", events, err)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
