package health_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
)

// BenchmarkProbe includes the listener's side, which runs in this process.
func BenchmarkProbe(b *testing.B) {
	addr := server(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"ok"}`)) })
	p := health.NewProber()
	b.ReportAllocs()
	for b.Loop() {
		if got := p.Probe(b.Context(), addr, berth.HealthCheck{Path: "/api/health", Timeout: 10 * time.Second}); got.Status != berth.ProbeHealthy {
			b.Fatal(got.Cause)
		}
	}
}
