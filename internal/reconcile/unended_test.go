package reconcile_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// The rest waits for the database, and the tenant is recorded as stopped until it
// runs: that is no success yet.
func TestAStartIsNotCompletedWhileServicesWaitForOthers(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(false)
		db := "sha256:" + strings.Repeat("d", 64)
		m.engine.SetImage(db, enginetest.Program{Unwell: true})
		r, err := m.service.Start(ctx, m.actor, tenancy.Call{}, orgID(1))
		m.must(err)
		<-time.After(10 * time.Second)
		d, err := m.service.Deployment(ctx, m.actor, orgID(1), r.Deployment.ID)
		m.must(err)
		if d.Over() {
			t.Errorf("the start is %s while the database is not well", d.Status)
		}
		m.engine.SetImage(db, enginetest.Program{})
		if d := m.done(r, nil); d.Status != berth.DeploymentCompleted {
			t.Errorf("%s: %s", d.Status, d.Error)
		}
		m.whole(imageV1)
	})
}

// A tenant whose data is lost, or whose image is, stays down until somebody acts:
// that it was found and "is being repaired" is not the end of the story.
func TestARepairThatDoesNotSucceedIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code  berth.Code
		fails int64 // attempts
		want  string
	}{
		"what only an operator can mend, at once": {berth.CodeDataMissing, 1, "drift unhealthy recovered"},
		"what fails twice":                        {berth.CodeRegistryUnavailable, 2, "drift unhealthy recovered"},
		"but not what the next attempt mends":     {berth.CodeRegistryUnavailable, 1, "drift"},
		"what the engine does for others, twice":  {berth.CodeEngineUnavailable, 2, "drift unhealthy recovered"},
		"but not once":                            {berth.CodeEngineUnavailable, 1, "drift"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				var failed atomic.Int64
				w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
					if s.After || !strings.HasPrefix(s.Op, "create container") || failed.Load() == c.fails {
						return nil
					}
					failed.Add(1)
					return berth.Errorf(c.code, "it can't be made")
				})
				w.manual.Remove(t, "container", w.observed(1).Instances[0].Name)
				w.eventually(5*time.Minute, "it is well again", func() bool {
					return failed.Load() == c.fails && w.running(1) && w.tenant(1).Health == berth.HealthHealthy
				})
				if got := strings.Join(w.events(1), " "); got != c.want {
					t.Errorf("told as %s", got)
				}
			})
		})
	}
}

// What the engine can't say of a tenant, or can't take away, is no failure of what runs.
func TestATenantThatLacksNothingIsNotToldToHaveFailed(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"observe", "remove container"} {
		inBubble(t, func(w *world) {
			w.run()
			w.completed(w.provision(1, "app:1", true))
			var calls atomic.Int64
			w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
				if strings.HasPrefix(s.Op, op) {
					return berth.Errorf(berth.CodeEngineUnavailable, "call %d broke off", calls.Add(1))
				}
				return nil
			})
			if op == "observe" {
				w.loop.Recheck(orgID(1))
			} else {
				w.completed(w.deployTag(1, "app:2"))
			}
			<-time.After(5 * time.Minute)
			want := map[string]string{"observe": "engine"}[op] // that nobody knows how it does, once
			if got := strings.Join(w.events(1), " "); w.tenant(1).Status != berth.StatusRunning || got != want {
				t.Errorf("%s fails: it is %s, told as %s", op, w.tenant(1).Status, got)
			}
		})
	}
}

// The engine answers, and shows all tenants but one: that one may be gone.
func TestATenantThatAloneCanNotBeSeenIsOfUnknownHealth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails int64 // looks, on end
		gone  bool  // meanwhile
		want  string
	}{
		"one look":                         {1, false, ""},
		"two looks":                        {2, false, "engine"},
		"many looks":                       {9, false, "engine"},
		"many, and nothing of it is there": {9, true, "engine drift"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				w.completed(w.provision(2, "app:1", true))
				var failed atomic.Int64
				name, unknown := w.observed(1).Instances[0].Name, false
				w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
					if s.After || s.Tenant != orgID(1) || s.Op != "observe" || failed.Load() == c.fails {
						return nil
					}
					return berth.Errorf(berth.CodeEngineUnavailable, "look %d broke off", failed.Add(1))
				})
				if c.gone {
					w.manual.Remove(t, "container", name)
				}
				w.loop.Recheck(orgID(1))
				w.eventually(5*time.Minute, "it is seen again, and well", func() bool {
					now := w.tenant(1)
					unknown = unknown || now.Health == berth.HealthUnknown && now.Status == berth.StatusRunning && strings.Contains(now.Cause, "look 2 broke off")
					return failed.Load() == c.fails && now.Health == berth.HealthHealthy && now.Cause == "" && w.running(1)
				})
				if got := strings.Join(w.events(1), " "); got != c.want || unknown != (c.want != "") {
					t.Errorf("told as %s, unknown meanwhile: %t", got, unknown)
				}
				if got := w.events(2); len(got) > 0 || w.tenant(2).Health != berth.HealthHealthy {
					t.Errorf("the other one is %s, told as %v", w.tenant(2).Health, got)
				}
			})
		})
	}
}

func TestATenantThatCouldNotBeSeenAndComesBackSickIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		var failed atomic.Int64
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if s.After || s.Tenant != orgID(1) || s.Op != "observe" || failed.Load()%3 == 0 && failed.Load() > 0 {
				return nil
			}
			return berth.Errorf(berth.CodeEngineUnavailable, "look %d broke off", failed.Add(1))
		})
		w.engine.SetImage(imageV1, enginetest.Program{Sick: true})
		w.loop.Recheck(orgID(1))
		w.eventually(5*time.Minute, "it is seen to be sick", func() bool { return w.tenant(1).Health == berth.HealthUnhealthy })
		failed.Add(1) // it can't be seen once more
		w.loop.Recheck(orgID(1))
		w.eventually(5*time.Minute, "two looks on end fail", func() bool { return failed.Load() == 6 })
		if h := w.tenant(1).Health; h != berth.HealthUnhealthy {
			t.Errorf("%s while nobody can tell", h)
		}
		w.engine.SetImage(imageV1, enginetest.Program{})
		w.eventually(5*time.Minute, "it is well again", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
		if got := strings.Join(w.events(1), " "); got != "engine unhealthy engine recovered" {
			t.Errorf("told as %s", got)
		}
	})
}
