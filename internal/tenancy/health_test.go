package tenancy_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC)

func org(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }

// fleet is a service whose tenants 1 to n are recorded to run.
func fleet(t *testing.T, n int, change ...func(*tenancy.Config, *tenancy.Parts)) (*tenancy.Service, store.Store) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	err = s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		for i := 1; i <= n; i++ {
			if err := tx.InsertTenant(t.Context(), berth.Tenant{
				ID: berth.NewID(), OrganizationID: org(i), Name: org(i), Slug: fmt.Sprintf("t%d", i), ContainerID: fmt.Sprint("c", i),
				EngineID: "e", Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(i >> 4), byte(i << 4)}), 28), ExternalPort: 3000 + i, Want: berth.WantRunning,
				Spec: berth.Spec{ImageTag: "v1", Blueprint: "single@1", Limits: berth.DefaultLimits(), Replicas: 1, InternalPort: 3000}, Generation: 1,
				Status: berth.StatusRunning, Health: berth.HealthHealthy, CreatedAt: noon.Add(-time.Minute), UpdatedAt: noon,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	config, parts := tenancy.Config{Now: func() time.Time { return noon }}, tenancy.Parts{Store: s}
	for _, f := range change {
		f(&config, &parts)
	}
	return tenancy.New(config, parts), s
}

var operator = berth.Actor{ID: "ops", Role: berth.RoleOperator}

// sweeps counts the sweeps that were asked for.
type sweeps struct {
	tenancy.Health
	n, limit int
}

func (s *sweeps) Sweep(_ context.Context, limit int) (berth.Sweep, error) {
	s.n++
	s.limit = limit
	return berth.Sweep{Healthy: 3}, nil
}

func TestOnlyAnOperatorSweeps(t *testing.T) {
	asked := &sweeps{}
	service, _ := fleet(t, 3, func(_ *tenancy.Config, p *tenancy.Parts) { p.Health = asked })
	for _, actor := range []berth.Actor{{ID: "x", Role: berth.RoleOperator, OrganizationID: org(2)}, {ID: "y", Role: berth.RoleAdmin, OrganizationID: org(2)}, {}} {
		if _, err := service.SweepHealth(t.Context(), actor, 0); !berth.Is(err, berth.CodeForbidden) || asked.n != 0 {
			t.Errorf("%+v: %d asked, %v", actor, asked.n, err)
		}
	}
	got, err := service.SweepHealth(t.Context(), operator, 0)
	if err != nil || got.Healthy != 3 || asked.n != 1 || asked.limit != 100 {
		t.Errorf("%+v, %d asked for %d rows, %v", got, asked.n, asked.limit, err)
	}
}

func TestASummarySaysHowATenantIsAndWas(t *testing.T) {
	service, s := fleet(t, 1)
	err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		tenant, err := tx.Tenant(t.Context(), org(1))
		if err != nil {
			return err
		}
		for hours, h := range map[int]berth.HealthPeriod{1: {Healthy: 3, Unhealthy: 1, ResponseTotal: 8 * time.Second, ResponseMax: 5 * time.Second}, 2: {Timeouts: 4}, 3: {Healthy: 100}} {
			h.TenantID, h.OrganizationID, h.Resolution = tenant.ID, org(1), berth.ByHour
			h.Start = noon.Truncate(time.Hour).Add(-time.Duration(hours) * time.Hour)
			if err := tx.PutHealth(t.Context(), []berth.HealthPeriod{h}); err != nil {
				return err
			}
		}
		var list []berth.Probe
		for i := range 7 {
			list = append(list, berth.Probe{OrganizationID: org(1), CheckedAt: noon.Add(time.Duration(i-8) * time.Second), Status: berth.ProbeUnhealthy})
		}
		list = append([]berth.Probe{{OrganizationID: org(1), CheckedAt: noon.Add(-time.Hour), Status: berth.ProbeHealthy}}, list...) // an earlier tenant's
		return tx.RecordProbes(t.Context(), list)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := service.HealthSummary(t.Context(), operator, org(1), 0, store.Page{Limit: 20}); err != nil || len(got.Last) != 7 {
		t.Errorf("%d probes, %v", len(got.Last), err)
	}
	got, err := service.HealthSummary(t.Context(), operator, org(1), 2, store.Page{Limit: 5})
	if err != nil || got.Status != berth.HealthUnhealthy || len(got.Last) != 5 || got.Period.Availability() != berth.Known(0.375) || got.Period.ResponseMean() != berth.Known(time.Second) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := service.HealthSummary(t.Context(), operator, org(1), 0, store.Page{Limit: 1}); err != nil || got.Hours != 24 || len(got.Last) != 1 || got.Status != berth.HealthUnhealthy || got.Period.Checks() != 108 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := service.HealthSummary(t.Context(), operator, org(1), tenancy.MostHealthHours+1, store.Page{}); berth.CodeOf(err) != berth.CodeInvalidRequest {
		t.Error(err)
	}
	if _, err := service.HealthSummary(t.Context(), berth.Actor{ID: "x", Role: berth.RoleOperator, OrganizationID: org(2)}, org(1), 0, store.Page{Limit: 1}); berth.CodeOf(err) != berth.CodeContainerNotFound {
		t.Error(err)
	}
}

func addr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 8), byte(n)}), 3000)
}
