package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// stocked returns a database of 100 tenants.
func stocked(b *testing.B) *sqlite.Store {
	s := open(b, filepath.Join(b.TempDir(), "berth.db"))
	ctx := b.Context()
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for n := range 100 {
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
		err := s.View(ctx, berth.System(), func(tx store.Tx) error {
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
	for b.Loop() {
		if _, err := read(b.Context(), s, orgID(7)); err != nil {
			b.Fatal(err)
		}
	}
}

// tenThousand are tenants 1 … 10,000, the first thousand of them after a
// tombstone.
const tenThousand = `
	CREATE TEMP TABLE n (n INTEGER PRIMARY KEY, org TEXT);
	INSERT INTO n WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
		SELECT n, printf('550e8400-e29b-41d4-a716-%012x', n) FROM n;
	INSERT INTO organizations (id, name, created_at) SELECT org, org, '2026-02-28T12:00:00.000000Z' FROM n;
	INSERT INTO tenant_containers (id, organization_id, tenant_name, container_name, image_tag, tenant_url, cpu_limit, memory_limit_mb, disk_limit_mb,
		status, health_status, environment_vars, volume_mounts, created_at, updated_at, slug, search_text, want, generation, blueprint, replicas,
		deprovisioned_at, revision, seq)
	SELECT printf('00000000-0000-4000-8000-%04x%08x', gone, n), org, org, org, 'v1', '', 1, 512, 1024, 'running', 'healthy', '{}', '[]',
		'2026-02-28T12:00:00.000000Z', '2026-02-28T12:00:00.000000Z', org, org, 'running', 1, 'single@1', 1,
		CASE gone WHEN 1 THEN '2026-02-28T12:00:00.000000Z' END, 1, 20000 - gone * 10000 + n
	FROM n CROSS JOIN (SELECT 0 AS gone UNION ALL SELECT 1) WHERE gone = 0 OR n <= 1000;
	DROP TABLE n;`

func BenchmarkAMinuteOfUsageOfTenThousand(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "berth.db"))
	if err := s.Exec(b.Context(), tenThousand); err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	for b.Loop() {
		at = at.Add(time.Minute)
		for first := 1; first < 10000; first += 100 {
			list := make([]berth.Usage, 100)
			for i := range list {
				list[i] = berth.Usage{OrganizationID: orgID(first + i), Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute), CPUPercentAvg: berth.Known(1.0)}
			}
			if err := s.InTx(b.Context(), berth.System(), func(tx store.Tx) error { return tx.PutUsage(b.Context(), list) }); err != nil {
				b.Fatal(err)
			}
		}
	}
}
