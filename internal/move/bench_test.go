package move_test

import (
	"database/sql"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth/internal/move"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// BenchmarkMillionProbes moves 1,000,000 rows of tenant_health, a day of about
// 700 tenants, and says how large the heap was at most.
func BenchmarkMillionProbes(b *testing.B) {
	path := filepath.Join(b.TempDir(), "berth.db")
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
	from := opened(b, s, err)
	seed(b, from)
	change(b, path, `INSERT INTO tenant_health (id, container_id, organization_id, checked_at, status, response_time_ms, http_status_code,
			cpu_usage_percent, memory_usage_mb, check_type, check_endpoint, created_at, seq)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
		SELECT format('22222222-0000-4000-8000-%012x', i), container_id, organization_id, checked_at, 'healthy', i % 100, 200, 0.37 * (i % 1000), i % 4096,
			'http', '/api/health', created_at, (SELECT max(seq) FROM tenant_health) + i
		FROM n, (SELECT * FROM tenant_health LIMIT 1)`)
	for b.Loop() {
		b.StopTimer()
		to := destination(b, database(b))
		b.StartTimer()
		done, peak := make(chan struct{}), make(chan uint64)
		go watchHeap(done, peak)
		list, err := move.Run(b.Context(), from, to)
		close(done)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(<-peak)/(1<<20), "MB-heap")
		for _, m := range list {
			if m.Table == "tenant_health" && m.Rows < 1_000_000 {
				b.Errorf("%d rows", m.Rows)
			}
		}
	}
}

func watchHeap(done <-chan struct{}, peak chan<- uint64) {
	var most uint64
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-done:
			peak <- most
			return
		case <-look.C:
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
	}
}

// change runs statements on a file, beside its store.
func change(t testing.TB, path, statements string) {
	t.Helper()
	db, err := driver.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func(db *sql.DB) {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}(db)
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}
