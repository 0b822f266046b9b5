package sqlite_test

import (
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func BenchmarkFiftyProbes(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	var probes []berth.Probe
	for i := range 50 {
		probes = append(probes, berth.Probe{OrganizationID: orgID(i), Status: berth.ProbeHealthy, ResponseTime: 3 * time.Millisecond, HTTPStatus: 200, Type: "http", Endpoint: "/api/health"})
	}
	at := time.Now().UTC()
	for b.Loop() {
		at = at.Add(time.Second)
		for i := range probes {
			probes[i].CheckedAt = at
		}
		if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, probes) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHundredPeriodsOfUsage(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	at := time.Now().UTC().Truncate(time.Minute)
	for b.Loop() {
		at = at.Add(time.Minute)
		var list []berth.Usage
		for i := range 100 {
			list = append(list, berth.Usage{OrganizationID: orgID(i), Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute),
				CPUPercentAvg: berth.Known(1.5), CPUPercentMax: berth.Known(2.5), MemoryAvg: berth.Known(int64(100 << 20)), MemoryMax: berth.Known(int64(120 << 20)),
				NetworkRx: berth.Known(int64(1000)), NetworkTx: berth.Known(int64(2000)), Requests: berth.Known(int64(10)), Errors: berth.Known(int64(0)), Samples: 4})
		}
		if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.PutUsage(ctx, list) }); err != nil {
			b.Fatal(err)
		}
	}
}
