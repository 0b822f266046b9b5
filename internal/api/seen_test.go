package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
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

// viewed is a store that tells how many of its snapshots are open.
type viewed struct {
	store.Store
	open atomic.Int64
}

func (v *viewed) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	v.open.Add(1)
	defer v.open.Add(-1)
	return v.Store.View(ctx, actor, fn)
}

// To redact takes long: who reads again costs no more of it, and no snapshot waits.
func TestWhatIsHiddenIsTakenOutOnceAndOutsideOfATransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`), 201, "provision")
	redacted := 0
	w.restart(func(c *tenancy.Config, p *tenancy.Parts) {
		seen := &viewed{Store: p.Store}
		p.Store = seen
		c.Redact = func(source []byte) []byte {
			if redacted++; seen.open.Load() > 0 {
				t.Error("redacted within a transaction")
			}
			return blueprint.Redact(source)
		}
	})
	for _, path := range []string{"/api/blueprints/" + berth.BuiltinBlueprint, "/api/tenants/" + one + "/compose"} {
		redacted = 0
		first := w.as(w.tokenFor(berth.RoleMember, one), "GET", path, "")
		for _, role := range []berth.Role{berth.RoleMember, berth.RoleAdmin} {
			if a := w.as(w.tokenFor(role, one), "GET", path, ""); a.status != 200 || a.body != first.body {
				t.Errorf("%s as %s: %d %s, before %d %s", path, role, a.status, a.body, first.status, first.body)
			}
		}
		if redacted != 1 {
			t.Errorf("%s was redacted %d times for three readers", path, redacted)
		}
		if all := w.ask("GET", path, ""); all.status != 200 || all.body == first.body || redacted != 1 {
			t.Errorf("%s as an operator, redacted %d times: %d %s", path, redacted, all.status, all.body)
		}
	}
	// What is redacted is the source: another one is redacted, too.
	w.want(w.ask("PATCH", "/api/tenants/"+one, `{"environment":{"A":"1"}}`), 200, "configure")
	redacted = 0
	if a := w.as(w.tokenFor(berth.RoleMember, one), "GET", "/api/tenants/"+one+"/compose", ""); !strings.Contains(a.body, "A:") || redacted != 1 {
		t.Errorf("after a change, redacted %d times: %s", redacted, a.body)
	}
}
