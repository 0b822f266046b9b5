package api_test

import (
	"fmt"
	"testing"

	"github.com/unite-hub/berth"
)

func TestAnOperatorSaysWhatAnOrganizationsOwnPeopleMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/api/organizations/" + one
	for body, field := range map[string]string{
		`{}`: "", `{"selfService":["start"]}`: "name", `{"name":""}`: "name", `{"name":"x","selfService":["fly"]}`: "selfService",
		`{"name":"x","selfService":["provision"]}`: "selfService", `{"name":"x","selfService":["read"]}`: "selfService",
	} {
		if p := w.wantProblem(w.ask("PUT", path, body), 422, body); field != "" && p["field"] != field {
			t.Errorf("%s: %v", body, p)
		}
	}
	w.wantProblem(w.ask("GET", path, ""), 404, "before it is made")
	w.want(w.ask("PUT", path, `{"name":"One"}`), 200, "make")
	o := w.want(w.ask("PUT", path, `{"selfService":["stop","start"]}`), 200, "allow")
	if o["name"] != "One" || fmt.Sprint(o["selfService"]) != "[start stop]" {
		t.Errorf("%v", o)
	}
	w.organization(two, 0)
	admin := w.tokenFor(berth.RoleAdmin, one)
	if list := w.want(w.as(admin, "GET", "/api/organizations", ""), 200, "own")["organizations"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != one {
		t.Errorf("an admin sees %v", list)
	}
	// What is allowed is allowed from the next request on, and no longer than that.
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"Tenant","imageTag":"app:1"}`), 201, "provision")
	if o := w.want(w.ask("GET", path, ""), 200, "after the provision"); o["name"] != "One" || fmt.Sprint(o["selfService"]) != "[start stop]" {
		t.Errorf("a provision changed %v", o)
	}
	w.want(w.as(admin, "POST", "/api/tenants/"+one+"/start", ""), 200, "start")
	if p := w.wantProblem(w.as(admin, "POST", "/api/tenants/"+one+"/deploy", "{}"), 403, "deploy"); p["code"] != "self_service_denied" || p["hint"] != "ask your operator to allow deploy" {
		t.Errorf("%v", p)
	}
	w.want(w.ask("PUT", path, `{"selfService":[]}`), 200, "deny")
	w.wantProblem(w.as(admin, "POST", "/api/tenants/"+one+"/stop", ""), 403, "stop")
	w.want(w.as(admin, "GET", "/api/tenants/"+one+"/deployments", ""), 200, "look")
}
