package health_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

var noon = time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC)

func org(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }

func addr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 8), byte(n)}), 3000)
}

// beside is where instances are that take no requests.
var beside = addr(0xffff)

// fleet is a sweeper of tenants 1 to n, which run and are asked by answer.
func fleet(t *testing.T, n int, answer func(addr netip.AddrPort) berth.Probe) (*health.Sweeper, store.Store) {
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
	var members []*berth.Member
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
			members = append(members,
				&berth.Member{OrganizationID: org(i), Main: true, Steady: true, Address: addr(i), Check: &berth.HealthCheck{}},
				&berth.Member{OrganizationID: org(i), Address: beside})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return health.NewSweeper(health.SweeperConfig{
		Store: s, Asker: asker(answer), Now: func() time.Time { return noon }, Members: func() ([]*berth.Member, bool) { return members, true },
	}), s
}

type asker func(addr netip.AddrPort) berth.Probe

func (a asker) Probe(_ context.Context, addr netip.AddrPort, _ berth.HealthCheck) berth.Probe {
	p := a(addr)
	p.CheckedAt = noon
	return p
}

func TestASweepCountsAllAndListsTheSickFirst(t *testing.T) {
	sweeper, s := fleet(t, 6, func(a netip.AddrPort) berth.Probe {
		switch a {
		case addr(3):
			return berth.Probe{Status: berth.ProbeUnhealthy, Cause: "answered 500"}
		case addr(5):
			return berth.Probe{Status: berth.ProbeTimeout}
		case beside:
			t.Error("asked a container that takes no requests")
		}
		return berth.Probe{Status: berth.ProbeHealthy}
	})
	got, err := sweeper.Sweep(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if got.Healthy != 4 || got.Unhealthy != 1 || got.Timeouts != 1 || got.Unknown != 0 || got.Omitted != 3 || len(got.Tenants) != 3 {
		t.Fatalf("%+v", got)
	}
	for i, n := range []int{3, 5, 1} {
		if got.Tenants[i].Tenant.OrganizationID != org(n) {
			t.Errorf("place %d: %s", i, got.Tenants[i].Tenant.OrganizationID)
		}
	}
	err = s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		for i := 1; i <= 6; i++ {
			list, _, err := tx.ListProbes(t.Context(), org(i), store.Page{Limit: 10})
			if err != nil || len(list) != 1 {
				t.Errorf("tenant %d: %d rows, %v", i, len(list), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hangs answers nothing until it is told to stop.
type hangs struct{ most, now atomic.Int32 }

func (h *hangs) Probe(ctx context.Context, _ netip.AddrPort, _ berth.HealthCheck) berth.Probe {
	h.most.Store(max(h.most.Load(), h.now.Add(1)))
	defer h.now.Add(-1)
	<-ctx.Done()
	return berth.Probe{Status: berth.ProbeUnhealthy, Cause: "cancelled"}
}

func TestASweepOfAFleetThatHangsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sweeper, _ := fleet(t, 100, nil)
		h := &hangs{}
		sweeper.Asker = h
		began := time.Now()
		got, err := sweeper.Sweep(t.Context(), 100)
		if err != nil || got.Unknown != 100 || h.most.Load() > 64 {
			t.Errorf("%+v, %d at once, %v", got, h.most.Load(), err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Those that did not answer lately are asked last: they take the sweep's time
// from nobody.
func TestTenantsThatHangCostASweepNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sick = 500
		sweeper, s := fleet(t, 600, nil)
		err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
			for i := 1; i <= sick; i++ {
				tenant, err := tx.Tenant(t.Context(), org(i))
				if err != nil {
					return err
				}
				tenant.Health = berth.HealthUnhealthy
				if err := tx.UpdateTenant(t.Context(), &tenant); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sweeper.Asker = slow(func(a netip.AddrPort) bool { return int(a.Addr().As4()[3])+int(a.Addr().As4()[2])<<8 <= sick })
		got, err := sweeper.Sweep(t.Context(), 100)
		if err != nil || got.Healthy != 100 || got.Timeouts < 300 {
			t.Errorf("%d healthy, %d timed out, %d unknown, %v", got.Healthy, got.Timeouts, got.Unknown, err)
		}
	})
}

// slow takes five seconds for those that hang.
type slow func(netip.AddrPort) bool

func (s slow) Probe(ctx context.Context, a netip.AddrPort, _ berth.HealthCheck) berth.Probe {
	if !s(a) {
		return berth.Probe{Status: berth.ProbeHealthy, CheckedAt: noon}
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	return berth.Probe{Status: berth.ProbeTimeout, CheckedAt: noon}
}

// While a new generation starts beside the one that serves, the tenant is as
// well as that one.
func TestASweepTakesNoGenerationThatStartsForTheTenant(t *testing.T) {
	old, next := addr(1), addr(2)
	for name, c := range map[string]struct {
		steady bool
		sick   []netip.AddrPort
		want   berth.ProbeStatus
	}{
		"the next one starts":    {false, []netip.AddrPort{next}, berth.ProbeHealthy},
		"the old one is sick":    {false, []netip.AddrPort{old}, berth.ProbeHealthy},
		"neither is well":        {false, []netip.AddrPort{old, next}, berth.ProbeUnhealthy},
		"one of two replicas":    {true, []netip.AddrPort{next}, berth.ProbeUnhealthy},
		"both replicas are well": {true, nil, berth.ProbeHealthy},
	} {
		sweeper, _ := fleet(t, 1, func(a netip.AddrPort) berth.Probe {
			if slices.Contains(c.sick, a) {
				return berth.Probe{Status: berth.ProbeUnhealthy}
			}
			return berth.Probe{Status: berth.ProbeHealthy}
		})
		sweeper.Members = func() (list []*berth.Member, ok bool) {
			for _, a := range []netip.AddrPort{old, next} {
				list = append(list, &berth.Member{OrganizationID: org(1), Main: true, Steady: c.steady, Address: a, Check: &berth.HealthCheck{}})
			}
			return list, true
		}
		got, err := sweeper.Sweep(t.Context(), 100)
		if err != nil || got.Tenants[0].Probe == nil || got.Tenants[0].Probe.Status != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestASweepDoesNotAskWhoHasNoAddressYet(t *testing.T) {
	sweeper, _ := fleet(t, 1, func(netip.AddrPort) berth.Probe {
		t.Error("asked nobody")
		return berth.Probe{Status: berth.ProbeUnhealthy}
	})
	sweeper.Members = func() ([]*berth.Member, bool) {
		return []*berth.Member{{OrganizationID: org(1), Main: true, Steady: true, Check: &berth.HealthCheck{}}}, true
	}
	if got, err := sweeper.Sweep(t.Context(), 100); err != nil || got.Unknown != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whoever asks all the time fills no table: one answer a second is on record.
func TestSweepsWithoutEndFillNoTable(t *testing.T) {
	sweeper, s := fleet(t, 1, func(netip.AddrPort) berth.Probe { return berth.Probe{Status: berth.ProbeHealthy} })
	now := noon
	sweeper.Now = func() time.Time { now = now.Add(10 * time.Millisecond); return now }
	sweeper.Asker = clocked(func() time.Time { return now })
	for range 300 {
		if got, err := sweeper.Sweep(t.Context(), 100); err != nil || got.Healthy != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	err := s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListProbes(t.Context(), org(1), store.Page{Limit: 1000})
		if n, most := len(list), int(now.Sub(noon)/time.Second)+1; n < 2 || n > most {
			t.Errorf("%d rows, want %d", n, most)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

type clocked func() time.Time

func (c clocked) Probe(context.Context, netip.AddrPort, berth.HealthCheck) berth.Probe {
	return berth.Probe{Status: berth.ProbeHealthy, CheckedAt: c()}
}
