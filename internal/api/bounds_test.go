package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

func TestNotesAndCredentialsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","start":true}`); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	deploy := func(notes string) answer {
		return w.ask("POST", "/api/tenants/"+one+"/deploy", `{"deploymentNotes":"`+notes+`"}`)
	}
	registry := func(username, password string) answer {
		return w.ask("PUT", "/api/registries/registry.example.com", `{"username":"`+username+`","password":"`+password+`"}`)
	}
	for what, c := range map[string]struct {
		message, field string
		a              answer
	}{
		"long notes":                 {"Notes must be at most 1000 characters", "deploymentNotes", deploy(strings.Repeat("é", berth.MaxNotes+1))},
		"NUL in notes":               {"Notes must be text in UTF-8 without NUL", "deploymentNotes", deploy(`a\u0000`)},
		"long notes of a rollback":   {"Notes must be at most 1000 characters", "deploymentNotes", w.ask("POST", "/api/tenants/"+one+"/rollback", `{"deploymentNotes":"`+strings.Repeat("x", berth.MaxNotes+1)+`"}`)},
		"a long username":            {"A username must be at most 255 characters, none of them a control character", "username", registry(strings.Repeat("é", 256), "x")},
		"a line break in a username": {"A username must be at most 255 characters, none of them a control character", "username", registry(`a\nb`, "x")},
		"a password without an end":  {"A password must be at most 16384 bytes", "password", registry("a", strings.Repeat("x", 16385))},
		"a key for a backup":         {"POST /api/backup takes no Idempotency-Key", "Idempotency-Key", w.ask("POST", "/api/backup", "", "Idempotency-Key", "k")},
	} {
		p := w.wantProblem(c.a, http.StatusUnprocessableEntity, what)
		if p["error"] != c.message || p["field"] != c.field || p["hint"] == "" {
			t.Errorf("%s: %v", what, p)
		}
	}
	if list := w.ask("GET", "/api/tokens", "", "Idempotency-Key", "k").json(t)["tokens"].([]any); len(list) != 1 {
		t.Errorf("%d tokens", len(list))
	}
	if list := w.ask("GET", "/api/registries", "").json(t)["registries"].([]any); len(list) != 0 {
		t.Errorf("%d registries", len(list))
	}
	if a := deploy(strings.Repeat("é", berth.MaxNotes)); a.status != http.StatusOK {
		t.Errorf("notes of the full length: %d %s", a.status, a.body)
	}
	if a := registry(strings.Repeat("é", 255), strings.Repeat("x", 16384)); a.status >= 300 {
		t.Errorf("a credential of the full length: %d %s", a.status, a.body)
	}
}

func TestToRemoveAVariableThatIsNotThereIsNoDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","environment":{"A":"x","B":"y"},"start":true}`); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	deployments := func() int {
		return len(w.ask("GET", "/api/tenants/"+one+"/deployments", "").json(t)["deployments"].([]any))
	}
	configure := func(body string, headers ...string) answer {
		return w.ask("PATCH", "/api/tenants/"+one, body, headers...)
	}
	generation := w.ask("GET", "/api/tenants/"+one, "").json(t)["generation"]
	for body, message := range map[string]string{
		`{"environment":{"GONE":null}}`:             "Nothing to change: the tenant has no environment variable GONE",
		`{"environment":{"GONE":null,"AWAY":null}}`: "Nothing to change: the tenant has no environment variable AWAY, GONE",
		`{"environment":{}}`:                        "Nothing to change",
		`{"environment":{},"domains":[]}`:           "Nothing to change",
	} {
		if p := w.wantProblem(configure(body), http.StatusUnprocessableEntity, body); p["error"] != message || p["hint"] == "" {
			t.Errorf("%s: %v", body, p)
		}
	}
	if n, g := deployments(), w.ask("GET", "/api/tenants/"+one, "").json(t)["generation"]; n != 1 || g != generation {
		t.Errorf("%d deployments, generation %v after %v", n, g, generation)
	}
	// Beside a change it is passed over, and a name alone replaces no container.
	named := configure(`{"tenantName":"Two","environment":{"GONE":null}}`)
	if m := named.json(t); named.status != http.StatusOK || m["tenantName"] != "Two" {
		t.Errorf("%d %s", named.status, named.body)
	}
	removed := configure(`{"environment":{"A":null,"GONE":null}}`, "Idempotency-Key", "k")
	if got := removed.json(t)["environmentVars"].([]any); removed.status != http.StatusOK || len(got) != 1 || got[0] != "B" {
		t.Errorf("%d %s", removed.status, removed.body)
	}
	if again := configure(`{"environment":{"A":null,"GONE":null}}`, "Idempotency-Key", "k"); again.status != http.StatusOK || again.body != removed.body {
		t.Errorf("repeated under its key: %d %s", again.status, again.body)
	}
	if n := deployments(); n != 3 {
		t.Errorf("%d deployments", n)
	}
}
