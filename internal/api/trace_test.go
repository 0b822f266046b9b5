package api_test

import (
	"net/http"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

type traces map[string]string

func (t traces) Link(deploymentID, traceparent string) { t[deploymentID] = traceparent }
func (t traces) Record(d berth.Deployment)             { t[d.ID] = d.Error }

func TestTheCallersTraceGoesWithTheOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	links := traces{}
	w.restart(func(_ *tenancy.Config, p *tenancy.Parts) { p.Traces = links })
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`, "traceparent", parent)
	if id, _ := a.json(t)["deploymentId"].(string); a.status != http.StatusCreated || links[id] != parent {
		t.Fatalf("%d: %v", a.status, links)
	}
	a = w.ask("POST", "/api/tenants/"+one+"/start", "", "Traceparent", parent, "Idempotency-Key", "k")
	if id, _ := a.json(t)["deploymentId"].(string); a.status != http.StatusOK || links[id] != parent {
		t.Fatalf("%d %s: %v", a.status, a.body, links)
	}
	clear(links)
	w.ask("POST", "/api/tenants/"+one+"/start", "", "Traceparent", parent, "Idempotency-Key", "k")
	if a := w.ask("POST", "/api/tenants/"+one+"/restart", ""); a.status != http.StatusOK || len(links) != 0 {
		t.Errorf("a repeated order, or one without a trace: %v", links)
	}
}
