package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func TestASweepAsksEveryRunningTenantAndRecordsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if m := w.ask("GET", "/api/tenants/health-check", "").json(t); m["checked"] != 0.0 || len(m["tenants"].([]any)) != 0 {
		t.Errorf("an empty fleet: %v", m)
	}
	for _, org := range []string{one, two} {
		if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+org+`","tenantName":"T `+org[35:]+`","imageTag":"app:1","start":true}`); a.status != 201 {
			t.Fatal(a.body)
		}
	}
	if a := w.ask("POST", "/api/tenants/"+two+"/stop", ""); a.status != 200 {
		t.Fatal(a.body)
	}
	m := w.ask("GET", "/api/tenants/health-check", "").json(t)
	list := m["tenants"].([]any)
	if m["checked"] != 1.0 || m["healthy"] != 1.0 || m["unhealthy"] != 0.0 || m["timeout"] != 0.0 || m["unknown"] != 0.0 || m["omitted"] != 0.0 || len(list) != 1 {
		t.Fatalf("%v", m)
	}
	row := list[0].(map[string]any)
	check := row["check"].(map[string]any)
	if row["organizationId"] != one || row["healthy"] != true || check["status"] != "healthy" || check["checkType"] != "http" || check["checkEndpoint"] != "/api/health" || check["httpStatusCode"] != 200.0 {
		t.Errorf("%v", row)
	}
	h := w.ask("GET", "/api/tenants/"+one+"/health?limit=1", "").json(t)
	if h["lastChecksStatus"] != "healthy" || h["availability"] != nil || h["hours"] != 24.0 || len(h["checks"].([]any)) != 1 || h["lastHealthCheckAt"] != check["checkedAt"] {
		t.Errorf("%v after %v", h, check)
	}
	if c := h["checks"].([]any)[0].(map[string]any); c["checkedAt"] != check["checkedAt"] || c["cpuUsagePercent"] != nil {
		t.Errorf("%v", c)
	}
	st := w.ask("POST", "/api/tenants/"+one+"/health-check", "").json(t)
	if st["healthy"] != true || st["checkType"] != "http" || st["checkEndpoint"] != "/api/health" {
		t.Errorf("%v", st)
	}
	w.engine.SetDown(true)
	if m := w.ask("GET", "/api/tenants/health-check", "").json(t); m["checked"] != 0.0 || m["unknown"] != 1.0 {
		t.Errorf("while the engine is down: %v", m)
	}
}

func TestHealthIsAskedForWithinBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`)
	for _, path := range []string{"/api/tenants/health-check?limit=1001", "/api/tenants/health-check?limit=0", "/api/tenants/one/health?hours=2161", "/api/tenants/one/health?hours=0"} {
		if a := w.ask("GET", path, ""); a.status != 400 && a.status != 422 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestAReservedSlugIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, slug := range []string{"health-check", "provision"} {
		a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","slug":"`+slug+`"}`)
		if p := w.wantProblem(a, 422, slug); p != nil && (p["code"] != string(berth.CodeInvalidSlug) || !strings.Contains(p["error"].(string), "reserved")) {
			t.Errorf("%s: %s", slug, a.body)
		}
	}
	a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"Health Check"}`)
	if got := w.ask("GET", "/api/tenants/"+one, "").json(t)["slug"]; got != "tenant-"+one[:8] {
		t.Errorf("%v: %s", got, a.body)
	}
}

func TestAnEnginesCheckIsNotTimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`)
	for took, want := range map[time.Duration]any{0: nil, time.Microsecond: 1.0, 1500 * time.Microsecond: 2.0} {
		err := w.store.InTx(context.Background(), berth.System(), func(tx store.Tx) error {
			return tx.RecordProbes(context.Background(), []berth.Probe{{OrganizationID: one, CheckedAt: time.Now(), Status: berth.ProbeHealthy, ResponseTime: took}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if h := w.ask("GET", "/api/tenants/"+one+"/health", "").json(t); h["responseTimeMs"] != want {
			t.Errorf("%v: %v", took, h["responseTimeMs"])
		}
	}
}
