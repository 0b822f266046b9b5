package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

func TestAScrapeShowsLivingTenantsOnly(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	w.metered(meter{
		one: {OrganizationID: one, MemoryBytes: berth.Known(int64(5))},
		two: {OrganizationID: two, MemoryBytes: berth.Known(int64(6))},
	})
	a := w.ask("GET", "/metrics", "")
	if kind := a.header.Get("Content-Type"); a.status != http.StatusOK || !strings.HasPrefix(kind, "text/plain") {
		t.Fatalf("%d %s %s", a.status, kind, a.body)
	}
	for _, want := range []string{
		`berth_tenant_memory_bytes{organization_id="` + one + `",slug="t1"} 5`, `berth_tenant_memory_bytes{organization_id="` + two + `",slug="t2"} 6`,
		`berth_tenants{status="stopped"} 2`, "berth_tenants_left_out 0", `berth_build_info{commit="",version="test"} 1`, "berth_engine_up{", "go_goroutines ",
	} {
		if !strings.Contains(a.body, "\n"+want) {
			t.Errorf("%s is missing in\n%s", want, a.body)
		}
	}
	if a := w.ask("DELETE", "/api/tenants/t1", ""); a.status != http.StatusOK {
		t.Fatal(a.body)
	}
	if a := w.ask("GET", "/metrics", ""); strings.Contains(a.body, one) || !strings.Contains(a.body, two) {
		t.Errorf("after t1 was removed:\n%s", a.body)
	}
}

func TestAScrapeWorksWithoutAMeter(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	a := w.ask("GET", "/metrics", "")
	if !strings.Contains(a.body, "\nberth_tenant_up{") || strings.Contains(a.body, "berth_tenant_memory_bytes") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestAnActorOfOneOrganizationSeesItsOwnFiguresOnly(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	w.metered(meter{one: {OrganizationID: one}, two: {OrganizationID: two}})
	own := berth.Actor{ID: "x", Role: berth.RoleOperator, OrganizationID: two}
	fleet, err := w.service.Fleet(t.Context(), own)
	if err != nil || len(fleet) != 1 || fleet[0].Tenant.OrganizationID != two || !fleet[0].Read {
		t.Errorf("%+v %v", fleet, err)
	}
	page, next, err := w.service.FleetPage(t.Context(), own, "", "", 10)
	if err != nil || next != "" || len(page) != 1 || page[0].Tenant.OrganizationID != two {
		t.Errorf("%+v %v", page, err)
	}
	if _, err := w.service.Metrics(t.Context(), own, one); !berth.Is(err, berth.CodeContainerNotFound) {
		t.Errorf("metrics of another: %v", err)
	}
	if fleet, err := w.service.Fleet(t.Context(), berth.Actor{}); err == nil && len(fleet) != 0 {
		t.Errorf("the zero actor sees %+v", fleet)
	}
}
