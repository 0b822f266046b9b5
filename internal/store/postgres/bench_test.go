package postgres_test

import (
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

// fleet is how many tenants the benchmarks have.
const fleet = 1000

func stocked(b *testing.B) *postgres.Store {
	s := open(b, login(lent(b)))
	ctx := b.Context()
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for n := range fleet {
			if err := tx.InsertTenant(ctx, newTenant(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkOneUpdateInATransaction(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	for b.Loop() {
		err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			t, err := tx.Tenant(ctx, orgID(7))
			if err != nil {
				return err
			}
			t.Generation++
			return tx.UpdateTenant(ctx, &t)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListOf100(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	for b.Loop() {
		err := s.View(ctx, berth.Actor{ID: "t", Role: berth.RoleOperator}, func(tx store.Tx) error {
			page, _, err := tx.ListTenants(ctx, store.TenantFilter{})
			if len(page) != 100 {
				b.Fatalf("%d tenants", len(page))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOneTenant(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	for b.Loop() {
		if err := s.View(ctx, of(berth.RoleMember, 7), func(tx store.Tx) error { _, err := tx.Tenant(ctx, orgID(7)); return err }); err != nil {
			b.Fatal(err)
		}
	}
}

// One probe of each tenant.
func BenchmarkRecordProbes(b *testing.B) {
	s := stocked(b)
	ctx, at := b.Context(), noon
	probes := make([]berth.Probe, fleet)
	for b.Loop() {
		at = at.Add(time.Second)
		for n := range probes {
			probes[n] = berth.Probe{OrganizationID: orgID(n), CheckedAt: at, Status: berth.ProbeHealthy, ResponseTime: 3 * time.Millisecond, HTTPStatus: 200,
				Type: "http", Endpoint: "/api/health", CPUPercent: berth.Known(12.5), MemoryMB: berth.Known(300), DiskMB: berth.Known(10)}
		}
		if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, probes) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*fleet), "ns/row")
}

// One minute of each tenant.
func BenchmarkPutUsage(b *testing.B) {
	s := stocked(b)
	ctx, at := b.Context(), noon
	usage := make([]berth.Usage, fleet)
	for b.Loop() {
		at = at.Add(time.Minute)
		for n := range usage {
			usage[n] = berth.Usage{OrganizationID: orgID(n), Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute), CPUPercentAvg: berth.Known(12.5),
				CPUPercentMax: berth.Known(50.0), MemoryAvg: berth.Known[int64](123456789), MemoryMax: berth.Known[int64](1 << 28), MemoryLimit: berth.Known[int64](512 << 20),
				NetworkRx: berth.Known[int64](1 << 20), NetworkTx: berth.Known[int64](1 << 20), Disk: berth.Known[int64](1 << 20), Requests: berth.Known[int64](10), Samples: 4}
		}
		if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.PutUsage(ctx, usage) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*fleet), "ns/row")
}
