package meter_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/store"
)

// One round of the keeper over 200 tenants whose hours are summed already.
func BenchmarkKeep(b *testing.B) {
	const tenants, hours = 200, 6
	s := open(b, filepath.Join(b.TempDir(), "berth.db"), tenants)
	defer s.Close()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		var list []berth.Usage
		for n := range tenants {
			for m := range 60 * hours {
				start := noon.Add(time.Duration(m) * time.Minute)
				list = append(list, berth.Usage{OrganizationID: org(n), Resolution: berth.ByMinute, Start: start, End: start.Add(time.Minute),
					Requests: berth.Known[int64](1), CPUPercentAvg: berth.Known(1.5), MemoryAvg: berth.Known[int64](1 << 20)})
			}
		}
		return tx.PutUsage(ctx, list)
	})
	if err != nil {
		b.Fatal(err)
	}
	k := &meter.Keeper{Store: s, Log: slog.New(slog.DiscardHandler)}
	for b.Loop() {
		if err := k.Keep(ctx, noon.Add(hours*time.Hour+3*time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tenants), "ns/tenant")
}
