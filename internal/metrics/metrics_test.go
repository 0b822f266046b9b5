package metrics_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tenant(i int) berth.Tenant {
	return berth.Tenant{
		OrganizationID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Slug: fmt.Sprint("t", i), Status: berth.StatusRunning, Health: berth.HealthHealthy,
		Spec: berth.Spec{Limits: berth.Limits{CPU: 0.5}},
	}
}

// whole is a tenant of which everything is known.
func whole(i int) metrics.Tenant {
	n := berth.Known(int64(7))
	return metrics.Tenant{Tenant: tenant(i), Read: true, Reading: berth.Reading{
		Containers: 2, CPUPercent: berth.Known(1.0), CPUSeconds: berth.Known(1.5), MemoryBytes: n, MemoryLimit: n, Pids: n, DiskBytes: n,
		Throttled: n, OOMKills: n, NetworkRx: n, NetworkTx: n, DiskRead: n, DiskWritten: n,
		Traffic: berth.Traffic{Requests: 9, Errors: 2, Time: 1500 * time.Millisecond},
	}}
}

var host = metrics.Host{EngineUp: true, Engine: "docker", Version: "v1", Commit: "c"}

func TestNamesKeepPrometheusRules(t *testing.T) {
	c := metrics.NewCollector(metrics.Fleet{Tenants: []metrics.Tenant{whole(1)}, Host: &host})
	problems, err := testutil.CollectAndLint(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, name := range metrics.Names() {
		if testutil.CollectAndCount(c, name) != 1 {
			t.Errorf("%s is not exported of a tenant of which everything is known", name)
		}
	}
}

func TestWhatIsUnknownHasNoSeries(t *testing.T) {
	unread := metrics.Tenant{Tenant: tenant(1)}
	unread.Tenant.Health = berth.HealthUnknown
	partly := metrics.Tenant{Tenant: tenant(2), Read: true, Reading: berth.Reading{MemoryBytes: berth.Known(int64(0))}}
	c := metrics.NewCollector(metrics.Fleet{Tenants: []metrics.Tenant{unread, partly}})
	const want = `
# HELP berth_tenant_memory_bytes Memory in use, without page cache that can be taken back.
# TYPE berth_tenant_memory_bytes gauge
berth_tenant_memory_bytes{organization_id="00000000-0000-4000-8000-000000000002",slug="t2"} 0
# HELP berth_tenant_healthy Whether the tenant's health is healthy; absent while it is unknown.
# TYPE berth_tenant_healthy gauge
berth_tenant_healthy{organization_id="00000000-0000-4000-8000-000000000002",slug="t2"} 1
# HELP berth_tenant_requests_total Requests that came through the edge.
# TYPE berth_tenant_requests_total counter
berth_tenant_requests_total{organization_id="00000000-0000-4000-8000-000000000002",slug="t2"} 0
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "berth_tenant_memory_bytes", "berth_tenant_healthy",
		"berth_tenant_requests_total", "berth_tenant_cpu_seconds_total", "berth_engine_up"); err != nil {
		t.Error(err)
	}
}

func TestTheNumberOfSeriesIsBounded(t *testing.T) {
	f := metrics.Fleet{MostTenants: 2}
	for i := range 5 {
		f.Tenants = append(f.Tenants, whole(i))
	}
	c := metrics.NewCollector(f)
	if n := testutil.CollectAndCount(c, "berth_tenant_up"); n != 2 {
		t.Errorf("%d tenants, want 2", n)
	}
	const want = `
# HELP berth_tenants_left_out Tenants beyond the bound, which have no series of their own.
# TYPE berth_tenants_left_out gauge
berth_tenants_left_out 3
# HELP berth_tenants Living tenants.
# TYPE berth_tenants gauge
berth_tenants{status="running"} 5
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "berth_tenants_left_out", "berth_tenants"); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhoSeesTheHostSeesTheProcess(t *testing.T) {
	process := metrics.Process()
	scrape := func(h *metrics.Host) string {
		rec := httptest.NewRecorder()
		metrics.Handler(metrics.Fleet{Tenants: []metrics.Tenant{whole(1)}, Host: h}, process).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		data, err := io.ReadAll(rec.Body)
		if err != nil || rec.Code != 200 {
			t.Fatal(rec.Code, err)
		}
		return string(data)
	}
	all, own := scrape(&host), scrape(nil)
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "berth_build_info", "berth_engine_up"} {
		if !strings.Contains(all, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
		if strings.Contains(own, name) {
			t.Errorf("%s is shown to who may see tenants only", name)
		}
	}
	if !strings.Contains(own, "berth_tenant_up{") {
		t.Error("its own tenants are missing")
	}
}
