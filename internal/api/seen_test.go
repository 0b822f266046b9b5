package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

// What an organization is not made from is none of its business, and what looks
// secret in what it is made from is the operator's.
func TestAnOrganizationSeesOnlyBlueprintsThatItsTenantUsesAndNoSecretsInThem(t *testing.T) {
	w := newWorld(t)
	const source = `name: %s
services:
  web:
    image: "app:1"
    user: "1000:1000"
    environment: {LICENCE_KEY: canary-of-%[1]s, MODE: plain-of-%[1]s} # canary
x-berth: {service: web, port: 3000}
`
	for _, name := range []string{"aaa", "ours", "ours2", "theirs", "zzz"} {
		w.want(w.apply(fmt.Sprintf(source, name)), 201, "apply "+name)
	}
	for org, name := range map[string]string{one: "ours", two: "theirs"} {
		w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+org+`","tenantName":"T","blueprint":"`+name+`","start":true}`), 201, "provision")
	}
	deployer := w.tokenFor(berth.RoleDeployer, "")
	for _, role := range []berth.Role{berth.RoleAdmin, berth.RoleMember, berth.RoleDeployer} {
		token := w.tokenFor(role, one)
		for _, query := range []string{"", "?limit=1"} {
			list := w.want(w.as(token, "GET", "/api/blueprints"+query, ""), 200, "list")["blueprints"].([]any)
			if len(list) != 1 || list[0].(map[string]any)["name"] != "ours" {
				t.Errorf("%s%s: %v", role, query, list)
			}
		}
		theirs, none := w.as(token, "GET", "/api/blueprints/theirs", ""), w.as(token, "GET", "/api/blueprints/no", "")
		if theirs.status != 404 || strings.ReplaceAll(theirs.body, "theirs", "no") != none.body {
			t.Errorf("%s: %s\n%s", role, theirs.body, none.body)
		}
		w.want(w.as(token, "GET", "/api/blueprints/theirs?version=1", ""), 404, "a version")
		w.want(w.as(token, "GET", "/api/blueprints/zzz", ""), 404, "one that nobody uses")
		for _, path := range []string{"/api/blueprints/ours", "/api/tenants/" + one + "/compose"} {
			if a := w.as(token, "GET", path, ""); a.status != 200 || strings.Contains(a.body, "canary") || !strings.Contains(a.body, "plain-of-ours") {
				t.Errorf("%s as %s: %d %s", path, role, a.status, a.body)
			}
		}
	}
	if list := w.want(w.as(deployer, "GET", "/api/blueprints", ""), 200, "list")["blueprints"].([]any); len(list) != 6 {
		t.Errorf("who deploys everywhere sees %d", len(list))
	}
	if a := w.as(deployer, "GET", "/api/blueprints/theirs", ""); a.status != 200 || strings.Contains(a.body, "canary") {
		t.Errorf("as a deployer of all: %d %s", a.status, a.body)
	}
	if a := w.ask("GET", "/api/blueprints/theirs", ""); !strings.Contains(a.body, "canary") {
		t.Errorf("as an operator: %s", a.body)
	}
	w.organization(one, berth.SelfService)
	admin := w.tokenFor(berth.RoleAdmin, one)
	other, missing := w.as(admin, "POST", "/api/tenants/"+one+"/deploy", `{"blueprint":"theirs"}`), w.as(admin, "POST", "/api/tenants/"+one+"/deploy", `{"blueprint":"no"}`)
	if other.status != 403 || other.body != missing.body {
		t.Errorf("to deploy another one: %s\n%s", other.body, missing.body)
	}
}
