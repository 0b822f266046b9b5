package retention_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// writers remembers what transactions cost that hold the writer: processor time,
// which a crowded machine does not change, and rows.
type writers struct {
	store.Store
	longest time.Duration
	count   int
	rows    int      // that one call dropped, was to drop or asked about, at most
	sought  []string // what was looked for while the writer was held
}

func (s *writers) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	var began time.Duration
	err := s.Store.InTx(ctx, actor, func(tx store.Tx) error {
		began = processorTime()
		tx.Histories, tx.Tombstones = heldHistories{tx.Histories, s}, heldTombstones{tx.Tombstones, s}
		return fn(tx)
	})
	s.longest, s.count = max(s.longest, processorTime()-began), s.count+1
	return err
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type heldHistories struct {
	store.Histories
	s *writers
}

func (h heldHistories) SurplusDeployments(ctx context.Context, s store.Surplus) ([]string, error) {
	if s.Among == nil {
		h.s.sought = append(h.s.sought, "deployments")
	}
	h.s.rows = max(h.s.rows, len(s.Among))
	return h.Histories.SurplusDeployments(ctx, s)
}

func (h heldHistories) UnusedSecrets(ctx context.Context, org string, limit int) ([]string, error) {
	h.s.sought = append(h.s.sought, "secrets of "+org)
	return h.Histories.UnusedSecrets(ctx, org, limit)
}

func (h heldHistories) DropDeployments(ctx context.Context, ids []string) error {
	h.s.rows = max(h.s.rows, len(ids))
	return h.Histories.DropDeployments(ctx, ids)
}

func (h heldHistories) DropSecrets(ctx context.Context, ids []string) error {
	h.s.rows = max(h.s.rows, len(ids))
	return h.Histories.DropSecrets(ctx, ids)
}

type heldTombstones struct {
	store.Tombstones
	s *writers
}

func (h heldTombstones) EmptyTombstone(ctx context.Context, r store.Removed, before time.Time, limit int) (int, error) {
	h.s.rows = max(h.s.rows, limit)
	return h.Tombstones.EmptyTombstone(ctx, r, before, limit)
}

// A transaction holds the only writer of SQLite for as long as its pieces take: each
// is of few rows, found by their ids, and what is to go is looked for beside it; only
// of those few is asked again whether they are.
func TestNoPieceOfARoundIsLargeAndNothingIsLookedForWhileTheWriterIsHeld(t *testing.T) {
	w := world{t, open(t)}
	living, gone := w.tenant(1), w.tenant(2)
	for range 130 {
		w.change(&gone, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
		w.change(&living, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
	}
	w.bury(gone, noon.Add(-100*time.Hour))
	s := &writers{Store: w.store}
	if err := keep(s, config).Round(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	if living, gone := len(w.history(org(1))), len(w.history(org(2))); living > config.Deployments+2 || gone != 0 {
		t.Errorf("%d and %d deployments stayed", living, gone)
	}
	if s.rows == 0 || s.rows > 50 {
		t.Errorf("a piece had %d rows", s.rows)
	}
	// Once a history and once a tombstone: what only the last row referred to, of what stays.
	if want := []string{"secrets of " + org(1), "secrets of " + org(2), "secrets of " + org(2)}; !slices.Equal(s.sought, want) {
		t.Errorf("looked for while the writer was held: %q", s.sought)
	}
}

// BenchmarkAMillionRowsThatAreOver has a keeper drop a million rows, and tells for how
// much processor time one transaction held SQLite's only writer at most.
func BenchmarkAMillionRowsThatAreOver(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, rows := overdue(b)
		began := time.Now()
		b.StartTimer()
		if err := keep(s, config).Round(b.Context(), noon); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(s.longest.Microseconds())/1000, "cpu-ms/longest")
		b.ReportMetric(float64(s.count), "transactions")
		b.ReportMetric(float64(rows)/time.Since(began).Seconds(), "rows/s")
	}
}

// overdue is a database with a million rows that are to go: of one removed tenant,
// of one long history, and of sessions.
func overdue(b *testing.B) (*writers, int) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "berth.db")
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	w := world{b, s}
	living, gone := w.tenant(1), w.tenant(2)
	w.bury(gone, noon.Add(-100*time.Hour))
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	total := 0
	fill := func(n int, statement string, args ...any) {
		b.Helper()
		args = append(args, n)
		if _, err := db.ExecContext(b.Context(), `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?`+fmt.Sprint(len(args))+`) `+statement, args...); err != nil {
			b.Fatal(err)
		}
		total += n
	}
	const at = `strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1700000000 + n, 'unixepoch')`
	fill(300_000, `INSERT INTO tenant_health (id, container_id, organization_id, checked_at, status, created_at, seq)
		SELECT 'h' || n, ?1, ?2, `+at+`, 'healthy', `+at+`, n FROM n`, gone.ID, gone.OrganizationID)
	fill(200_000, `INSERT INTO tenant_health_rollups SELECT ?1, ?2, 'hour', `+at+`, 1, 0, 0, 1, 1 FROM n`, gone.ID, gone.OrganizationID)
	fill(200_000, `INSERT INTO tenant_resource_usage (id, container_id, organization_id, recorded_at, period_start, period_end, created_at)
		SELECT 'u' || n, ?1, ?2, `+at+`, `+at+`, `+at+`, `+at+` FROM n`, gone.ID, gone.OrganizationID)
	spec := `json_set(new_config, '$.environment', json_object('KEY', 'v' || n, 'OTHER', 'v' || (n + 1)))`
	fill(100_000, `INSERT INTO secret_versions SELECT 'v' || n, ?1, 'KEY', randomblob(100), `+at+` FROM n`, living.OrganizationID)
	fill(100_000, `INSERT INTO tenant_deployments (id, container_id, organization_id, deployment_type, status, new_image_tag, previous_config, new_config, can_rollback, created_at, completed_at, generation, want, seq)
		SELECT 'd' || n, ?1, ?2, 'update', 'completed', 'v2', `+spec+`, `+spec+`, 1, `+at+`, `+at+`, n, 'running', 1000 + n FROM n, (SELECT new_config FROM tenant_deployments LIMIT 1)`, living.ID, living.OrganizationID)
	fill(1, `INSERT INTO users (id, email, email_key, name, operator, created_at) SELECT 'one', 'a@b', 'a@b', 'a', 0, `+at+` FROM n`)
	fill(100_000, `INSERT INTO sessions SELECT 's' || n, randomblob(32), 'one', '', `+at+`, `+at+`, NULL, NULL, n FROM n`)
	return &writers{Store: s}, total
}
