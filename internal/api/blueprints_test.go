package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const shop = `name: shop
services:
  web:
    image: app:1
    user: "65532:65532"
x-berth:
  service: web
  port: 3000
`

// apply sends a blueprint.
func (w *world) apply(source string) answer {
	w.t.Helper()
	data, err := json.Marshal(map[string]string{"source": source})
	w.must(err)
	return w.ask("POST", "/api/blueprints", string(data))
}

func TestAnEditedBlueprintIsTheNextVersionAndTheSameIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.apply(shop)
	if m := first.json(t); first.status != http.StatusCreated || m["id"] != "shop@1" || m["newest"] != true || m["unchanged"] != nil || m["hash"] != berth.BlueprintHash([]byte(shop)) {
		t.Errorf("the first: %d %s", first.status, first.body)
	}
	again := w.apply(shop)
	if m := again.json(t); again.status != http.StatusOK || m["id"] != "shop@1" || m["unchanged"] != true {
		t.Errorf("the same again: %d %s", again.status, again.body)
	}
	edited := w.apply(shop + "# ✓ <&>\n")
	if m := edited.json(t); edited.status != http.StatusCreated || m["id"] != "shop@2" || m["version"] != 2.0 {
		t.Errorf("edited: %d %s", edited.status, edited.body)
	}
	if m := w.ask("GET", "/api/blueprints/shop", "").json(t); m["id"] != "shop@2" || m["source"] != shop+"# ✓ <&>\n" {
		t.Errorf("the newest: %v", m)
	}
	if m := w.ask("GET", "/api/blueprints/shop?version=1", "").json(t); m["id"] != "shop@1" || m["source"] != shop || m["newest"] != false {
		t.Errorf("the first: %v", m)
	}
	list := w.ask("GET", "/api/blueprints", "").json(t)["blueprints"].([]any)
	var ids []string
	for _, b := range list {
		ids = append(ids, b.(map[string]any)["id"].(string))
		if b.(map[string]any)["source"] != nil {
			t.Error("a list holds sources")
		}
	}
	if strings.Join(ids, " ") != "builtin@1 shop@2 shop@1" {
		t.Errorf("listed %v", ids)
	}
}

func TestABlueprintThatIsWrongIsRefusedWithAllFindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.wantProblem(w.apply(strings.Replace(shop, "    user:", "    privileged: true\n    network_mode: host\n    user:", 1)), 422, "forbidden")
	found := map[string]bool{}
	for _, f := range p["findings"].([]any) {
		m := f.(map[string]any)
		found[m["path"].(string)] = m["kind"] == "forbidden" && m["line"].(float64) > 0 && m["rule"] != "" && m["hint"] != ""
	}
	if p["code"] != "invalid_blueprint" || !found["services.web.privileged"] || !found["services.web.network_mode"] {
		t.Errorf("%v", p)
	}
	for what, c := range map[string]struct {
		a      answer
		status int
		code   string
	}{
		"not YAML":            {w.apply("\t{"), 422, "invalid_blueprint"},
		"nothing":             {w.apply(""), 422, "invalid_blueprint"},
		"Berth's own name":    {w.apply(strings.Replace(shop, "name: shop", "name: builtin", 1)), 422, "invalid_request"},
		"a source too large":  {w.apply(strings.Repeat("#", 1<<20+1)), 413, "too_large"},
		"a body too large":    {w.apply(strings.Repeat("#", 2<<20)), 413, "too_large"},
		"no such blueprint":   {w.ask("GET", "/api/blueprints/absent", ""), 404, "blueprint_not_found"},
		"no such version":     {w.ask("GET", "/api/blueprints/builtin?version=9", ""), 404, "blueprint_not_found"},
		"version 0":           {w.ask("GET", "/api/blueprints/builtin?version=0", ""), 422, "invalid_request"},
		"no name":             {w.ask("GET", "/api/blueprints/A%20b", ""), 422, "invalid_request"},
		"provision of absent": {w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","blueprint":"absent"}`), 404, "blueprint_not_found"},
	} {
		if p := w.wantProblem(c.a, c.status, what); p["code"] != c.code {
			t.Errorf("%s: code %v, want %s", what, p["code"], c.code)
		}
	}
	if list := w.ask("GET", "/api/blueprints", "").json(t)["blueprints"].([]any); len(list) != 1 {
		t.Errorf("something was stored: %v", list)
	}
}

func TestTheLargestBlueprintIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := shop + strings.Repeat("#\n", (1<<20-len(shop))/2) // half of it line breaks, two bytes each in JSON
	source += strings.Repeat("#", 1<<20-len(source))
	if a := w.apply(source); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestATenantOnAnOlderVersionIsBehindUntilItIsDeployed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(shop)
	a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","blueprint":"shop","start":true}`)
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	shows := func(id string, behind bool) {
		t.Helper()
		got := w.ask("GET", "/api/tenants/one", "").json(t)
		listed := w.ask("GET", "/api/tenants", "").json(t)["tenants"].([]any)[0].(map[string]any)
		state := w.ask("GET", "/api/tenants/one/status", "").json(t)
		for _, m := range []map[string]any{got, listed, state} {
			if m["blueprint"] != id || m["blueprintBehind"] != behind || m["images"] == nil {
				t.Errorf("blueprint %v, behind %v, images %v; want %s, %v", m["blueprint"], m["blueprintBehind"], m["images"], id, behind)
			}
		}
	}
	shows("shop@1", false)
	w.apply(shop + "# edited\n")
	shows("shop@1", true)
	if m := w.ask("POST", "/api/tenants/one/stop", "").json(t); m["blueprintBehind"] != true {
		t.Errorf("an order answers %v", m)
	}
	deploy := func(body, id string, behind bool) {
		t.Helper()
		if a := w.ask("POST", "/api/tenants/one/deploy", body); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		shows(id, behind)
		newest := w.ask("GET", "/api/tenants/one/deployments", "").json(t)["deployments"].([]any)[0].(map[string]any)
		if config := newest["newConfig"].(map[string]any); newest["blueprint"] != id || config["blueprint"] != id || config["images"] == nil {
			t.Errorf("history says %v", newest)
		}
	}
	deploy("{}", "shop@2", false)
	deploy(`{"blueprint":"shop@1"}`, "shop@1", true)
	if m := w.ask("GET", "/api/blueprints/shop?version=1", "").json(t); m["tenants"] != 1.0 {
		t.Errorf("used by %v", m["tenants"])
	}
}

func TestATenantIsTakenBackFromComposeByAnOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","environment":{"A_SECRET":"canary-77"}}`)
	files := w.ask("POST", "/api/tenants/one/compose/env", "")
	if m := files.json(t); files.status != http.StatusOK || m["composePath"] != "/compose/"+one || m["envPath"] != "/compose/"+one+"/.env" || strings.Contains(files.body, "canary") {
		t.Errorf("%d %s", files.status, files.body)
	}
	w.wantProblem(w.ask("POST", "/api/tenants/absent/compose/env", ""), 404, "files of nobody")
	w.wantProblem(w.ask("POST", "/api/tenants/absent/adopt", ""), 404, "nobody")
	first := w.ask("POST", "/api/tenants/one/adopt", "", "Idempotency-Key", "k")
	if m := first.json(t); first.status != http.StatusOK || m["status"] != "running" || m["deploymentId"] == "" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if again := w.ask("POST", "/api/tenants/one/adopt", "", "Idempotency-Key", "k"); again.body != first.body {
		t.Errorf("the same key: %d %s", again.status, again.body)
	}
	if a := w.ask("POST", "/api/tenants/one/adopt?wait=0", ""); a.status != http.StatusAccepted {
		t.Errorf("without waiting: %d %s", a.status, a.body)
	}
}

// A rule that came after a blueprint was stored holds for what is applied next,
// not for what tenants run already.
func TestABlueprintOlderThanARuleGoesOnUntilItIsEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := strings.Replace(shop, "port: 3000", "port: 3000\n  health: {interval: 1s, timeout: 2s}", 1)
	v := berth.BlueprintVersion{Name: "shop", Version: 1, Hash: berth.BlueprintHash([]byte(old)), Source: []byte(old), CreatedAt: time.Now().UTC(), CreatedBy: "test"}
	w.must(w.store.InTx(t.Context(), berth.System(), func(tx store.Tx) error { return tx.InsertBlueprint(t.Context(), v) }))
	if again := w.apply(old); again.status != http.StatusOK || again.json(t)["unchanged"] != true {
		t.Errorf("the same again: %d %s", again.status, again.body)
	}
	if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"550e8400-e29b-41d4-a716-446655440000","tenantName":"A","blueprint":"shop"}`); a.status >= 300 {
		t.Errorf("a tenant of it: %d %s", a.status, a.body)
	}
	edited := w.apply(old + "# more\n")
	if edited.status != http.StatusUnprocessableEntity || !strings.Contains(edited.body, "x-berth.health.timeout") {
		t.Errorf("edited: %d %s", edited.status, edited.body)
	}
}

// By the hash of what is hidden, a guess could be confirmed.
func TestAnOrganizationIsNotShownTheHashOfASourceThatItDoesNotSeeWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`), http.StatusCreated, "provision")
	member := w.tokenFor(berth.RoleMember, one)
	for _, path := range []string{"/api/blueprints", "/api/blueprints/builtin"} {
		if a := w.ask("GET", path, ""); a.status != http.StatusOK || !strings.Contains(string(a.body), `"hash":"`) {
			t.Errorf("%s to an operator: %d %s", path, a.status, a.body)
		}
		if a := w.as(member, "GET", path, ""); a.status != http.StatusOK || !strings.Contains(string(a.body), `"builtin@1"`) || strings.Contains(string(a.body), "hash") {
			t.Errorf("%s to a member: %d %s", path, a.status, a.body)
		}
	}
}
