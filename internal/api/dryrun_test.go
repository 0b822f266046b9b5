package api_test

import (
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

// dryRuns are the orders that can be tried, with a body that each takes.
var dryRuns = []struct{ id, method, path, body string }{
	{"start", "POST", "/start", ""},
	{"restart", "POST", "/restart", ""},
	{"adopt", "POST", "/adopt", ""},
	{"scale", "POST", "/scale", `{"memoryLimitMb":700}`},
	{"deploy", "POST", "/deploy", `{"deploymentNotes":"x"}`},
	{"rollback", "POST", "/rollback", ""},
	{"configure", "PATCH", "", `{"environment":{"CANARY":"canary-of-dry-run"}}`},
	{"stop", "POST", "/stop", ""},
	{"deprovision", "DELETE", "", ""},
}

// The same people may try an order as may give it, an attempt that is denied is
// recorded as ever, and what was only tried is not.
func TestADryRunTakesWhatItsOrderTakes(t *testing.T) {
	t.Parallel()
	w := newTableWorld(t)
	all := operations(t)
	everybody := []string{"no token", "malformed", "unknown", "revoked", "expired", "operator", "audit only", "read only", "member", "deployer", "our deployer", "admin", "their admin"}
	w.want(w.ask("POST", "/api/tenants/"+one+"/deploy", `{"imageTag":"app:1"}`), 200, "deploy, to have what to go back to")
	for _, selfService := range []bool{false, true} {
		w.selfService(0)
		if selfService {
			w.selfService(berth.SelfService)
		}
		for _, d := range dryRuns {
			for _, who := range everybody {
				r := rows[d.id]
				r.query, r.body = "dryRun=true", d.body
				status, code := r.verdict(who, selfService)
				a := w.call(who, all[d.id], r, one, "")
				entries := w.entries(a)
				refused := status == 401 || status == 403 || status == 404
				if name := d.id + " tried by " + who; refused {
					if a.status != status || code != "" && a.json(t)["code"] != string(code) || len(entries) != 1 || entries[0].Outcome != berth.AuditDenied {
						t.Errorf("%s, self-service %t: %d, want %d %s: %s %+v", name, selfService, a.status, status, code, a.body, entries)
					}
				} else if a.status != 200 && a.status != 409 || len(entries) != 0 {
					t.Errorf("%s, self-service %t: %d %s, audit %+v", name, selfService, a.status, a.body, entries)
				}
			}
		}
	}
	if dump := w.ask("GET", "/api/audit?limit=1000", "").body; strings.Contains(dump, "canary-of-dry-run") {
		t.Error("the audit holds a value that was only tried")
	}
}

func TestADryRunAnswersWhatTheOrderWouldDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := "/api/tenants/" + one
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","start":true}`), 201, "provision")
	before := w.dump()
	a := w.want(w.ask("POST", tenant+"/deploy?dryRun=true", `{"imageTag":"app:sick","environment":{"CANARY":"canary"}}`, "Idempotency-Key", "k"), 200, "dry run of a deploy")
	if a["dryRun"] != true || a["deploymentType"] != "update" || a["downtime"] != true && a["downtime"] != false || a["totalAtMostSeconds"].(float64) <= 0 || a["failure"] != nil {
		t.Errorf("answered %v", a)
	}
	var names, changes []string
	for _, s := range a["steps"].([]any) {
		names = append(names, s.(map[string]any)["name"].(string))
	}
	for _, c := range a["changes"].([]any) {
		changes = append(changes, c.(map[string]any)["field"].(string))
	}
	if got := strings.Join(names, ", "); !strings.HasPrefix(got, "image, ") || !strings.Contains(got, "health check") {
		t.Errorf("steps: %s", got)
	}
	if got := strings.Join(changes, ", "); got != "imageTag, environment.CANARY" {
		t.Errorf("changes: %s", got)
	}
	if a := w.ask("POST", tenant+"/deploy?dryRun=true", `{"imageTag":"app:absent"}`); a.status != 200 || a.json(t)["failure"] == nil {
		t.Errorf("an image that is nowhere: %d %s", a.status, a.body)
	}
	w.wantProblem(w.ask("POST", tenant+"/start?dryRun=true", ""), 409, "what runs can't be started")
	w.wantProblem(w.ask("POST", tenant+"/scale?dryRun=true", `{"memoryLimitMb":1}`), 422, "what the order refuses")
	w.wantProblem(w.ask("POST", "/api/tenants/"+two+"/stop?dryRun=true", ""), 404, "nobody")
	w.wantProblem(w.ask("POST", "/api/tenants/provision?dryRun=true", `{"organizationId":"`+two+`","tenantName":"Two"}`), 422, "a provision can't be tried, and is not done for it")
	if after := w.dump(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if a := w.ask("POST", tenant+"/deploy", `{"deploymentNotes":"x"}`, "Idempotency-Key", "k"); a.status != 200 {
		t.Errorf("the key that a dry run carried is used up: %d %s", a.status, a.body)
	}
	w.engine.SetDown(true)
	w.wantProblem(w.ask("POST", tenant+"/stop?dryRun=true", ""), 503, "an engine that does not answer")
}
