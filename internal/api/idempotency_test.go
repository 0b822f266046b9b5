package api_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const key = "Idempotency-Key"

func TestARepeatedMutationIsDoneOnceAndAnsweredTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	count := func(path, list string) int { return len(w.ask("GET", path, "").json(t)[list].([]any)) }
	for _, c := range []struct {
		method, path, body, other string
		status                    int
	}{
		{"POST", "/api/tokens", `{"name":"once"}`, `{"name":"twice"}`, 201},
		{"PUT", "/api/registries/r.example.com", `{"username":"u","password":"p"}`, `{"username":"u","password":"q"}`, 204},
		{"DELETE", "/api/registries/r.example.com", "", `{"a":1}`, 204},
		{"PUT", "/api/organizations/" + one, `{"selfService":["start"]}`, `{"selfService":["stop"]}`, 200},
		{"POST", "/api/invitations", `{"email":"a@example.com"}`, `{"email":"b@example.com"}`, 201},
		{"POST", "/api/notifications", `{"url":"https://h.example.com/x"}`, `{"url":"https://h.example.com/y"}`, 201},
	} {
		what := c.method + " " + c.path
		first := w.ask(c.method, c.path, c.body, key, what)
		if first.status != c.status {
			t.Fatalf("%s: %d %s", what, first.status, first.body)
		}
		tokens, entries := count("/api/tokens", "tokens"), count("/api/audit?limit=1000", "entries")
		again := w.ask(c.method, c.path, c.body, key, what)
		if again.status != first.status || again.body != first.body || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("%s again: %d %s, first %d %s", what, again.status, again.body, first.status, first.body)
		}
		if count("/api/tokens", "tokens") != tokens || count("/api/audit?limit=1000", "entries") != entries {
			t.Errorf("%s was done twice", what)
		}
		if p := w.wantProblem(w.ask(c.method, c.path, c.other, key, what), 422, what+" with another body"); p["code"] != "idempotency_key_reused" {
			t.Errorf("%s with another body: %v", what, p)
		}
	}
	// Another's key is another key.
	other := w.want(w.ask("POST", "/api/tokens", `{"name":"other"}`), 201, "token")["token"].(string)
	if a := w.as(other, "POST", "/api/invitations", `{"email":"c@example.com"}`, key, "POST /api/invitations"); a.status != 201 {
		t.Errorf("another's key: %d %s", a.status, a.body)
	}
	// An order's key is in use too, and one of these for an order.
	w.wantProblem(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`, key, "POST /api/tokens"), 422, "a used key for an order")
}

func TestARefusedRequestLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wantProblem(w.ask("POST", "/api/tokens", `{"name":""}`, key, "k"), 422, "no name")
	if a := w.ask("POST", "/api/tokens", `{"name":"x"}`, key, "k"); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.wantProblem(w.ask("PUT", "/api/registries/r.example.com", `{`, key, "l"), 400, "half a body")
	if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`, key, "l"); a.status != 201 {
		t.Errorf("an order with a key that was freed: %d %s", a.status, a.body)
	}
	for what, bad := range map[string]string{"too long": strings.Repeat("k", 256), "not ASCII": "k\u00e9y"} {
		if p := w.wantProblem(w.ask("POST", "/api/tokens", `{"name":"x"}`, key, bad), 422, what); p["field"] != key {
			t.Errorf("%s: %v", what, p)
		}
	}
	if p := w.wantProblem(w.ask("POST", "/api/tokens", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`, key, "m"), 413, "too large"); p["code"] != "too_large" {
		t.Errorf("too large: %v", p)
	}
}

// A claim that a crash cut off: nobody knows what it did.
func TestARequestThatWasNeverAnsweredIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/api/tokens", `{"name":"x"}`, key, "k"), 201, "token")
	me := w.want(w.ask("GET", "/api/me", ""), 200, "me")["id"].(string)
	claimant := berth.Actor{ID: me, Role: berth.RoleSystem}
	w.must(w.store.InTx(t.Context(), claimant, func(tx store.Tx) error {
		r, ok, err := tx.Request(t.Context(), "k")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		r.Status, r.Answer = 0, nil // as it was before the answer
		return tx.PutRequest(t.Context(), r)
	}))
	p := w.wantProblem(w.ask("POST", "/api/tokens", `{"name":"x"}`, key, "k"), 409, "cut off")
	if p["code"] != "request_unanswered" || p["hint"] == "" {
		t.Errorf("%v", p)
	}
	w.wantProblem(w.ask("POST", "/api/tokens", `{"name":"y"}`, key, "k"), 422, "cut off, another body")
	if list := w.ask("GET", "/api/tokens", "").json(t)["tokens"].([]any); len(list) != 2 {
		t.Errorf("%d tokens", len(list))
	}
}

func TestAnAnswerWithASecretIsStoredSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.want(w.ask("POST", "/api/tokens", `{"name":"x"}`, key, "k"), 201, "token")
	hook := w.want(w.ask("POST", "/api/notifications", `{"url":"https://h.example.com/x"}`, key, "l"), 201, "webhook")
	invited := w.want(w.ask("POST", "/api/invitations", `{"email":"a@example.com"}`, key, "m"), 201, "invitation")
	for _, name := range []string{"berth.db", "berth.db-wal"} {
		data, err := os.ReadFile(filepath.Join(w.dir, name))
		w.must(err)
		for _, secret := range []any{made["token"], hook["secret"], invited["invitation"]} {
			if bytes.Contains(data, []byte(secret.(string))) {
				t.Errorf("%s holds %s", name, secret)
			}
		}
	}
	again := w.want(w.ask("POST", "/api/tokens", `{"name":"x"}`, key, "k"), 201, "token again")
	if again["token"] != made["token"] {
		t.Errorf("again: %v", again)
	}
}

func TestRequestsAtOnceUnderOneKeyAreDoneOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answers := make([]answer, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.ask("POST", "/api/tokens", `{"name":"once"}`, key, "k") })
	}
	all.Wait()
	made := ""
	for _, a := range answers {
		switch a.status {
		case 201:
			if made != "" && a.body != made {
				t.Errorf("two answers: %s, %s", made, a.body)
			}
			made = a.body
		case 409:
			if a.json(t)["code"] != "request_unanswered" {
				t.Error(a.body)
			}
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if n := len(w.ask("GET", "/api/tokens", "").json(t)["tokens"].([]any)); n != 2 || made == "" {
		t.Errorf("%d tokens", n)
	}
}
