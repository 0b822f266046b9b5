package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/tenancy"
)

// underWay orders something that goes on for as long as the engine is down, and
// returns its deployment.
func (w *world) underWay(method, path string, headers ...string) string {
	w.t.Helper()
	id, _ := w.want(w.ask(method, path+"?wait=0", "", headers...), http.StatusAccepted, path)["deploymentId"].(string)
	return id
}

func TestACancelThatNamesADeploymentCancelsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	links := traces{}
	w.restart(func(_ *tenancy.Config, p *tenancy.Parts) { p.Traces = links })
	const path = "/api/tenants/" + one
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","start":true}`), http.StatusCreated, "provision")
	w.engine.SetDown(true)
	first := w.underWay("POST", path+"/stop")
	cancel := func(id string) answer { return w.ask("POST", path+"/cancel", `{"deploymentId":"`+id+`"}`) }
	w.wantProblem(cancel("nobody's"), http.StatusNotFound, "deployment_not_found")
	if a := w.want(cancel(first), http.StatusOK, "cancel"); a["deploymentId"] != first || a["deploymentType"] != "stop" {
		t.Errorf("answered %v", a)
	}
	if !strings.HasPrefix(links[first], "cancelled by ") {
		t.Errorf("its trace ended with %q", links[first])
	}
	second := w.underWay("POST", path+"/stop")
	w.wantProblem(cancel(first), http.StatusConflict, "nothing_under_way")
	if a := w.want(w.ask("POST", path+"/cancel", ""), http.StatusOK, "cancel"); a["deploymentId"] != second {
		t.Errorf("the first cancel's repetition took the second order back: %v", a)
	}
	third := w.underWay("POST", path+"/stop")
	w.underWay("DELETE", path)
	if !strings.HasPrefix(links[third], "replaced by ") {
		t.Errorf("its trace ended with %q", links[third])
	}
	w.engine.SetDown(false)
}

func TestADeprovisionThatJoinedAnotherIsAnsweredAgainWhenTheTenantIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const path = "/api/tenants/" + one
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`), http.StatusCreated, "provision")
	w.engine.SetDown(true)
	first := w.underWay("DELETE", path, "Idempotency-Key", "first")
	if second := w.underWay("DELETE", path, "Idempotency-Key", "second"); second != first {
		t.Fatalf("the second is %s, not %s", second, first)
	}
	w.engine.SetDown(false)
	deadline := time.Now().Add(time.Minute)
	for w.ask("GET", path, "").status != http.StatusNotFound {
		if time.Now().After(deadline) {
			t.Fatal("it is not removed")
		}
	}
	was := w.ask("DELETE", path, "", "Idempotency-Key", "first")
	again := w.ask("DELETE", path, "", "Idempotency-Key", "second")
	if was.status != http.StatusOK || again.status != http.StatusOK || string(again.body) != string(was.body) {
		t.Errorf("the first: %d %s; the second: %d %s", was.status, was.body, again.status, again.body)
	}
}
