package reconcile_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// A database that does not answer for a moment, or a lease that may be over, is
// not the tenant's trouble: nothing is recorded on its account.
func TestWhoMayNotLeadBlamesNoTenant(t *testing.T) {
	t.Parallel()
	for _, code := range []berth.Code{berth.CodeNotLeading, berth.CodeOutcomeUnknown} {
		t.Run(string(code), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				var refused atomic.Int32
				w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
					if strings.HasPrefix(s.Op, "observe") && refused.Add(1) <= 3 {
						return berth.Errorf(code, "not now")
					}
					return nil
				})
				w.loop.Recheck(orgID(1))
				w.eventually(time.Minute, "the loop was refused and went on", func() bool {
					if got := w.tenant(1); got.Status != berth.StatusRunning || got.Cause != "" {
						t.Fatalf("%s, %q", got.Status, got.Cause)
					}
					return refused.Load() > 3
				})
			})
		})
	}
}

// A tenant of before there were several control planes may have no engine of
// its own yet, and volumes that were kept.
func TestATenantWhoseVolumesAnotherEngineHoldsIsLeftToIt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.EngineID = "fake-engine"
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
			return tx.PutVolume(ctx, berth.VolumeRecord{
				Name: "tenant_" + orgID(2) + "_storage", OrganizationID: orgID(2), Mount: "/data", EngineID: "another",
				CreatedAt: time.Now().UTC(), KeptAt: time.Now().UTC(),
			})
		}))
		r, err := w.provision(2, "app:1", true)
		w.must(err)
		for range 30 {
			<-time.After(time.Second)
			open := false
			w.must(w.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
				_, open, err = tx.OpenDeployment(ctx, orgID(2))
				return err
			}))
			if !open {
				t.Fatalf("deployment %s is over, though its engine is another one: %+v", r.Deployment.ID, w.tenant(2))
			}
		}
		if got := w.tenant(2); got.EngineID != "" || got.Cause != "" {
			t.Errorf("it was claimed: %+v", got)
		}
	})
}

// Another engine in the place of the one that is led holds none of the tenants'
// data: it counts as one that does not answer.
func TestAnotherEngineInThePlaceOfTheOneThatIsLedIsNotUsed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.EngineID = "fake-engine"
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		before := w.engine.Dump()
		w.stop()

		w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
			one, err := tx.Tenant(ctx, orgID(1))
			if err != nil {
				return err
			}
			one.EngineID = "the one before"
			return tx.UpdateTenant(ctx, &one)
		}))
		w.config.EngineID = "the one before"
		w.wire()
		w.run()
		if info, up := w.loop.EngineInfo(); up || info.ID != "" {
			t.Errorf("it counts as the engine: %+v", info)
		}
		<-time.After(time.Minute)
		if after := w.engine.Dump(); after != before {
			t.Errorf("it was touched:\n%s\nbecame\n%s", before, after)
		}
		page, _, err := w.service.Tenants(ctx, w.actor, store.TenantFilter{})
		w.must(err)
		if slices.ContainsFunc(page, func(t berth.Tenant) bool { return t.Status != berth.StatusRunning }) {
			t.Errorf("its tenants are blamed: %+v", page)
		}
	})
}

// lost is the loop as another control plane's use cases have it when nothing
// that they ring arrives.
type lost struct{ *reconcile.Loop }

func (lost) Enqueue(string) {}

// What ended a deployment elsewhere may leave another one open, or none: in both
// the loop must not go on with the one that it carries out.
func TestAnOrderTakenBackElsewhereIsHeardOfThoughItsRingIsLost(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*world, *tenancy.Service) error{
		"cancelled": func(w *world, s *tenancy.Service) error {
			_, err := s.Cancel(ctx, w.actor, orgID(1), "")
			return err
		},
		"replaced": func(w *world, s *tenancy.Service) error {
			_, err := s.Stop(ctx, w.actor, tenancy.Call{}, orgID(1))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.config.EngineID = "fake-engine"
				w.wire()
				w.run()
				w.completed(w.provision(1, "app:1", true))
				w.engine.InRegistry("registry.example/app:9", imageV2, nil)
				var begun, cut atomic.Int32
				w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
					if s.After || !strings.HasPrefix(s.Op, "pull") {
						return nil
					}
					begun.Add(1)
					<-ctx.Done()
					cut.Add(1)
					return ctx.Err()
				})
				tag := "registry.example/app:9"
				_, err := w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &tag})
				w.must(err)
				<-time.After(5 * time.Second) // polls have seen it open
				if begun.Load() != 1 || cut.Load() != 0 {
					t.Fatalf("%d pulls, %d of them cut off, while nobody took it back", begun.Load(), cut.Load())
				}
				w.must(end(w, w.serviceOf(lost{w.loop})))
				w.eventually(5*time.Second, "the pull that nobody wants is cut off", func() bool { return cut.Load() == 1 })
			})
		})
	}
}

// reads records whose rows were read, and how often.
type reads struct {
	store.Store
	whose map[string]int
}

func (r reads) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return r.Store.View(ctx, actor, func(tx store.Tx) error {
		tx.Tenants, tx.Volumes = readTenants{tx.Tenants, r.whose}, readVolumes{tx.Volumes, r.whose}
		return fn(tx)
	})
}

type readTenants struct {
	store.Tenants
	whose map[string]int
}

func (r readTenants) ListTenants(ctx context.Context, f store.TenantFilter) ([]berth.Tenant, string, error) {
	page, next, err := r.Tenants.ListTenants(ctx, f)
	for _, t := range page {
		r.whose["tenant "+t.OrganizationID]++
	}
	return page, next, err
}

type readVolumes struct {
	store.Volumes
	whose map[string]int
}

func (r readVolumes) ListVolumes(ctx context.Context, organizationID string, p store.Page) ([]berth.VolumeRecord, string, error) {
	r.whose["volumes listed for "+organizationID]++
	return r.Volumes.ListVolumes(ctx, organizationID, p)
}

func (r readVolumes) TenantVolumes(ctx context.Context, engine string) (map[string][]berth.VolumeRecord, error) {
	r.whose["volumes read at once"]++
	volumes, err := r.Volumes.TenantVolumes(ctx, engine)
	for org := range volumes {
		r.whose["volumes of "+org]++
	}
	return volumes, err
}

// A scan costs what the tenants of its own engine cost, and volumes are read once:
// with the first scan of a term, for all that it has at once. Alone, all tenants are
// its own, and one statement reads all volumes.
func TestAScanReadsWhatItsOwnEngineHasAndVolumesOnce(t *testing.T) {
	t.Parallel()
	elsewhere := orgID(2)
	for name, engineID := range map[string]string{"one of several control planes": "fake-engine", "a control plane alone": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				w.config.EngineID = engineID
				w.wire()
				w.run()
				w.completed(w.provision(1, "app:1", true))
				w.stop()
				_, err := w.provision(2, "app:1", true) // this engine never sees anything of it
				w.must(err)
				if engineID != "" {
					w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
						two, err := tx.Tenant(ctx, elsewhere)
						if err != nil {
							return err
						}
						two.EngineID = "another"
						return tx.UpdateTenant(ctx, &two)
					}))
				}
				seen := reads{w.turns.Store, map[string]int{}}
				w.turns.Store = seen
				w.wire()
				w.run()
				<-time.After(time.Minute) // five scans and more
				w.stop()
				if n := seen.whose["tenant "+orgID(1)]; n < 5 {
					t.Errorf("%d scans in a minute", n)
				}
				if n := seen.whose["volumes listed for "] + seen.whose["volumes read at once"]; engineID == "" && n != 1 || engineID != "" && n != 2 {
					t.Errorf("volumes of all were read %d times: %v", n, seen.whose) // of those here, and of those without an engine
				}
				if engineID == "" {
					return
				}
				for what := range seen.whose {
					if strings.Contains(what, elsewhere) || what == "volumes listed for " {
						t.Errorf("read of another engine's: %s, %d times", what, seen.whose[what])
					}
				}
			})
		})
	}
}

// cutShort fails the first scan at its second tenant.
type cutShort struct {
	reads
	cut *bool
}

func (c cutShort) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return c.reads.View(ctx, actor, func(tx store.Tx) error {
		tx.Tenants = oneAtATime{tx.Tenants, c}
		return fn(tx)
	})
}

type oneAtATime struct {
	store.Tenants
	cutShort
}

func (o oneAtATime) ListTenants(ctx context.Context, f store.TenantFilter) ([]berth.Tenant, string, error) {
	if o.whose["volumes listed for "] > 0 && f.Cursor != "" && !*o.cut {
		*o.cut = true
		return nil, "", berth.Errorf(berth.CodeInternal, "the disk failed")
	}
	f.Limit = 1
	return o.Tenants.ListTenants(ctx, f)
}

func TestAScanAfterOneThatWasCutShortReadsVolumesAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.completed(w.provision(2, "app:1", true))
		w.stop()
		seen, cut := reads{w.turns.Store, map[string]int{}}, false
		w.turns.Store = cutShort{seen, &cut}
		w.wire()
		w.run()
		<-time.After(time.Minute) // five scans and more
		w.stop()
		if n := seen.whose["volumes listed for "]; !cut || n != 2 {
			t.Errorf("volumes of all were read %d times; cut short: %v", n, cut)
		}
	})
}
