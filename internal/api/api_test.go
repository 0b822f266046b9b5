package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
)

var update = flag.Bool("update", false, "write the golden file anew")

// routes are all routes, from the description that the API gives of itself.
func routes(t *testing.T) (list [][2]string) {
	t.Helper()
	data, err := api.OpenAPI("golden")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	for path, item := range doc.Paths {
		for method := range item {
			path := strings.NewReplacer("{organizationId}", one, "{deploymentId}", two, "{tokenId}", two, "{host}", "registry.example.com", "{name}", "builtin").Replace(path)
			list = append(list, [2]string{strings.ToUpper(method), path})
		}
	}
	if len(list) < 25 {
		t.Fatalf("only %d routes", len(list))
	}
	return list
}

func TestTheOpenAPIDocumentIsTheCommittedOne(t *testing.T) {
	t.Parallel()
	const path = "../../docs/openapi.json"
	got, err := api.OpenAPI("0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/openapi.json differs: make golden writes it anew")
	}
}

// Seed fault 23.
func TestEveryRouteWantsAValidToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked, r, err := w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "revoked"})
	w.must(err)
	w.must(w.auth.Revoke(t.Context(), berth.System(), r.ID))
	expired, e, err := w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "expired", ExpiresAt: time.Now().Add(time.Hour)})
	w.must(err)
	w.must(expire(t, w, e))
	for _, route := range routes(t) {
		if route[1] == "/api/health" || strings.HasPrefix(route[1], "/auth/") {
			continue
		}
		for what, header := range map[string]string{
			"none": "", "another scheme": "Basic " + w.token, "malformed": "Bearer x", "one bit off": "Bearer " + w.token[:len(w.token)-1] + "!",
			"revoked": "Bearer " + revoked, "expired": "Bearer " + expired,
		} {
			a := w.ask(route[0], route[1]+"?wait=nonsense", "{", "Authorization", header)
			w.wantProblem(a, http.StatusUnauthorized, route[0]+" "+route[1]+" with token: "+what)
			if a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%v: no WWW-Authenticate", route)
			}
		}
	}
	for _, open := range []string{"/api/health", "/openapi.json", "/docs"} {
		if a := w.ask("GET", open, "", "Authorization", ""); a.status != http.StatusOK {
			t.Errorf("%s without a token: %d", open, a.status)
		}
	}
	if a := w.ask("GET", "/api/health", "", "Authorization", ""); strings.Contains(a.body, "version") {
		t.Errorf("a stranger is told %s", a.body)
	}
	if a := w.ask("GET", "/api/tenants", "", "Authorization", "bearer "+w.token); a.status != http.StatusOK {
		t.Errorf("the scheme in lower case: %d", a.status)
	}
}

// expire moves a token's end into the past.
func expire(t *testing.T, w *world, tok berth.Token) error {
	return w.store.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		tok.ID, tok.Hash, tok.ExpiresAt = berth.NewID(), append([]byte{tok.Hash[0] ^ 1}, tok.Hash[1:]...), time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
		if err := tx.InsertToken(t.Context(), tok); err != nil {
			return err
		}
		list, _, err := tx.ListTokens(t.Context(), "", store.Page{})
		for _, x := range list {
			if x.Name == "expired" && x.ID != tok.ID {
				x.RevokedAt = store.Now()
				return tx.UpdateToken(t.Context(), x)
			}
		}
		return err
	})
}

// Faults 28 to 31, at every route that takes a body.
func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","start":true}`); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	before := w.dump()
	deep := strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000)
	bodies := map[string]struct {
		body   string
		status int
	}{
		"not JSON":          {"{", 400},
		"words":             {"hello", 400},
		"a list":            {"[]", 400},
		"null":              {"null", 400},
		"two objects":       {"{} {}", 400},
		"nested deeply":     {deep, 400},
		"a key twice":       {`{"tenantName":"a","tenantName":"b"}`, 400},
		"not UTF-8":         {"{\"a\":\"\xff\"}", 400},
		"half a pair":       {`{"tenantName":"\ud800"}`, 400},
		"an unknown field":  {`{"cpuLimits":1}`, 422},
		"in other case":     {`{"TENANTNAME":"x"}`, 422},
		"2 MB":              {`{"tenantName":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"a number too wide": {`{"cpuLimit":1e999}`, 400},
	}
	for _, route := range routes(t) {
		if route[0] == "GET" || route[0] == "DELETE" && !strings.HasPrefix(route[1], "/api/tenants/") {
			continue
		}
		for what, c := range bodies {
			a := w.ask(route[0], route[1], c.body)
			status := c.status
			if what == "a number too wide" && a.status == 422 { // where there is no such field
				status = 422
			}
			if what == "half a pair" && a.status == 422 {
				status = 422
			}
			w.wantProblem(a, status, fmt.Sprintf("%s %s, %s", route[0], route[1], what))
		}
	}
	if after := w.dump(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

func TestTheSeedsRulesAndMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provision := func(fields string) answer { return w.ask("POST", "/api/tenants/provision", "{"+fields+"}") }
	good := `"organizationId":"` + strings.ToUpper(one) + `","tenantName":"O'Brien \"🚢\" <b>: שלום","imageTag":"app:1","start":true`
	a := provision(good)
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	made := a.json(t)
	if made["success"] != true || made["containerName"] != "tenant_"+one || made["externalPort"] != 3001.0 || made["tenantUrl"] != "http://localhost:3001" || made["composePath"] == "" || !berth.IsUUID(made["containerId"].(string)) {
		t.Errorf("provision answered %s", a.body)
	}
	if got := w.ask("GET", "/api/tenants/"+one, "").json(t); got["tenantName"] != "O'Brien \"🚢\" <b>: שלום" || got["organizationId"] != one {
		t.Errorf("shown as %v", got)
	}
	base := `"organizationId":"` + two + `","tenantName":"Two"`
	for _, c := range []struct {
		what, message, field string
		a                    answer
		status               int
	}{
		{"bad id", "Invalid organization ID format", "organizationId", provision(`"organizationId":"invalid-uuid","tenantName":"x"`), 422},
		{"no id", "Invalid organization ID format", "organizationId", provision(`"tenantName":"x"`), 422},
		{"no name", "Tenant name must be 1-100 characters", "tenantName", provision(`"organizationId":"` + two + `"`), 422},
		{"long name", "Tenant name must be 1-100 characters", "tenantName", provision(`"organizationId":"` + two + `","tenantName":"` + strings.Repeat("é", 101) + `"`), 422},
		{"NUL in name", "Tenant name must not contain control characters", "tenantName", provision(`"organizationId":"` + two + `","tenantName":"a\u0000"`), 422},
		{"no CPU", "CPU limit must be between 0 and 4.0", "cpuLimit", provision(base + `,"cpuLimit":0`), 422},
		{"much CPU", "CPU limit must be between 0 and 4.0", "cpuLimit", provision(base + `,"cpuLimit":4.5`), 422},
		{"little memory", "Memory limit must be between 256MB and 8192MB", "memoryLimitMb", provision(base + `,"memoryLimitMb":128`), 422},
		{"little disk", "Disk limit must be at least 1024MB", "diskLimitMb", provision(base + `,"diskLimitMb":1`), 422},
		{"wrong type", "cpuLimit must be a number, not string", "cpuLimit", provision(base + `,"cpuLimit":"1"`), 400},
		{"NUL in a value", "Environment values must not contain NUL", "environment.A", provision(base + `,"environment":{"A":"\u0000"}`), 422},
		{"no value", "environment.A must be a string, not null", "environment.A", provision(base + `,"environment":{"A":null}`), 400},
		{"our variable", "Environment variable TENANT_ID is set by Berth", "environment.TENANT_ID", provision(base + `,"environment":{"TENANT_ID":"x"}`), 422},
		{"domains", "Domains are not supported yet", "domains", provision(base + `,"domains":["a.example"]`), 422},
		{"again", "Tenant container already exists for this organization", "", provision(good), 409},
		{"absent", "Container not found", "", w.ask("POST", "/api/tenants/"+two+"/start", ""), 404},
		{"running", "Container is already running", "", w.ask("POST", "/api/tenants/"+one+"/start", "{}"), 409},
		{"nothing to scale", "Nothing to change", "", w.ask("POST", "/api/tenants/"+one+"/scale", ""), 422},
		{"no rollback", "No earlier good deployment to roll back to", "", w.ask("POST", "/api/tenants/"+one+"/rollback", ""), 409},
		{"bad wait", "", "wait", w.ask("POST", "/api/tenants/"+one+"/stop?wait=-1", ""), 422},
		{"wait in words", "", "wait", w.ask("POST", "/api/tenants/"+one+"/stop?wait=x", ""), 422},
		{"a misspelt parameter", "Unknown parameter \"volume\"", "volume", w.ask("DELETE", "/api/tenants/"+one+"?volume=delete", ""), 422},
		{"a number without a value", "wait was given without a value", "wait", w.ask("POST", "/api/tenants/"+one+"/stop?wait=", ""), 422},
		{"an empty dryRun, which must not be an order", "dryRun was given without a value", "dryRun", w.ask("POST", "/api/tenants/"+one+"/stop?dryRun=", ""), 422},
		{"a parameter twice", "wait is given twice", "wait", w.ask("POST", "/api/tenants/"+one+"/stop?wait=1&wait=2", ""), 422},
		{"a query that can't be read", "", "", w.ask("DELETE", "/api/tenants/"+one+"?volumes=%zz", ""), 400},
		{"the largest body", "Tenant name must be 1-100 characters", "tenantName", w.ask("PATCH", "/api/tenants/"+one, `{"tenantName":"`+strings.Repeat("x", 1<<20-17)+`"}`), 422},
		{"one byte more", "Request body is too large", "", w.ask("PATCH", "/api/tenants/"+one, `{"tenantName":"`+strings.Repeat("x", 1<<20-16)+`"}`), 413},
		{"no time", "A time must be given as RFC 3339", "", w.ask("POST", "/api/tokens", `{"name":"x","expiresAt":"tomorrow"}`), 400},
		{"bad volumes", "Volumes must be keep or delete", "volumes", w.ask("DELETE", "/api/tenants/"+one+"?volumes=maybe", ""), 422},
		{"volumes in the body", "Unknown field \"volumes\"", "volumes", w.ask("DELETE", "/api/tenants/"+one, `{"volumes":"delete"}`), 422},
		{"bad limit", "", "limit", w.ask("GET", "/api/tenants?limit=0", ""), 422},
		{"bad cursor", "", "", w.ask("GET", "/api/tenants?cursor=garbage", ""), 422},
		{"long key", "", "Idempotency-Key", w.ask("POST", "/api/tenants/"+one+"/stop", "", "Idempotency-Key", strings.Repeat("k", 300)), 422},
	} {
		p := w.wantProblem(c.a, c.status, c.what)
		if c.message != "" && p["error"] != c.message {
			t.Errorf("%s: says %q, want %q", c.what, p["error"], c.message)
		}
		if c.field != "" && p["field"] != c.field {
			t.Errorf("%s: names %v, want %s", c.what, p["field"], c.field)
		}
	}
	if a := w.ask("POST", "/api/tenants/"+one+"/stop", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if p := w.wantProblem(w.ask("POST", "/api/tenants/"+one+"/stop", ""), 409, "stopped twice"); p["error"] != "Container is already stopped" {
		t.Errorf("stopped twice: %v", p)
	}
}

func TestPortsRunOutAndNeverIncludeAReservedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // 3001 to 3004, without 3003
	var ports []float64
	for n := range 3 {
		a := w.ask("POST", "/api/tenants/provision", fmt.Sprintf(`{"organizationId":"550e8400-e29b-41d4-a716-44665544000%d","tenantName":"T","imageTag":"app:1"}`, n))
		ports = append(ports, a.json(t)["externalPort"].(float64))
	}
	if fmt.Sprint(ports) != "[3001 3002 3004]" {
		t.Errorf("ports %v", ports)
	}
	a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"550e8400-e29b-41d4-a716-446655440009","tenantName":"T"}`)
	if p := w.wantProblem(a, 409, "a fourth"); p["error"] != "No available ports in valid range" {
		t.Errorf("%v", p)
	}
}

// Fault 28.
func TestTheSameKeyRepeatsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{"organizationId":"` + one + `","tenantName":"One","imageTag":"app:1","start":true}`
	answers := make([]answer, 10)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = w.ask("POST", "/api/tenants/provision", body, "Idempotency-Key", "k1")
		})
	}
	all.Wait()
	for _, a := range answers {
		if a.status != http.StatusCreated || a.json(t)["deploymentId"] != answers[0].json(t)["deploymentId"] {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := w.ask("POST", "/api/tenants/"+one+"/stop", "", "Idempotency-Key", "k2"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	again := w.ask("POST", "/api/tenants/provision?wait=1", body, "Idempotency-Key", "k1")
	if first := w.ask("POST", "/api/tenants/provision", body, "Idempotency-Key", "k1"); again.status != 201 || again.body != first.body {
		t.Errorf("after the tenant changed: %d %s, then %s", again.status, again.body, first.body)
	}
	p := w.wantProblem(w.ask("POST", "/api/tenants/provision", strings.Replace(body, "One", "Two", 1), "Idempotency-Key", "k1"), 422, "another body")
	if p["code"] != "idempotency_key_reused" {
		t.Errorf("%v", p)
	}
	if list := w.ask("GET", "/api/tenants", "").json(t)["tenants"].([]any); len(list) != 1 {
		t.Errorf("%d tenants", len(list))
	}
}

func TestAnOrderIsAnsweredWhenItIsDoneOrSaidToBeUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.ask("POST", "/api/tenants/provision?wait=0", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","start":true}`)
	if m := a.json(t); a.status != http.StatusAccepted || m["externalPort"] != 3001.0 || m["deploymentId"] == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	path := "/api/tenants/" + one + "/deployments/" + a.json(t)["deploymentId"].(string)
	for deadline := time.Now().Add(30 * time.Second); w.ask("GET", path, "").json(t)["status"] != "completed"; {
		if time.Now().After(deadline) {
			t.Fatal("never completed")
		}
		<-time.After(10 * time.Millisecond)
	}
	a = w.ask("POST", "/api/tenants/one/deploy", `{"imageTag":"app:sick"}`)
	p := w.wantProblem(a, 409, "a sick version")
	if p["code"] != "deployment_failed" || p["deploymentId"] == nil || !strings.Contains(p["error"].(string), "answered 500") {
		t.Errorf("%s", a.body)
	}
	a = w.ask("DELETE", "/api/tenants/one", "")
	if m := a.json(t); a.status != 200 || m["volumes"] != "keep" || len(m["keptVolumes"].([]any)) != 3 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.wantProblem(w.ask("DELETE", "/api/tenants/one", ""), 404, "gone")
	w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+two+`","tenantName":"Two","imageTag":"app:1"}`)
	first := w.ask("DELETE", "/api/tenants/"+two, "", "Idempotency-Key", "gone")
	if again := w.ask("DELETE", "/api/tenants/"+two, "", "Idempotency-Key", "gone"); first.status != 200 || again.status != 200 || again.body != first.body {
		t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	if m := w.ask("GET", "/api/tenants/"+one+"/deployments", "").json(t); len(m["deployments"].([]any)) != 3 {
		t.Errorf("history of one that is gone: %v", m)
	}
}

func TestTheStatusOfATenantThatDoesNotRunSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:absent"}`)
	st := w.ask("GET", "/api/tenants/"+one+"/status", "").json(t)
	if st["running"] != false || st["healthy"] != false || st["containerId"] != nil || st["status"] != "failed" || st["cause"] == nil || st["responseTimeMs"] != nil {
		t.Errorf("never made: %v", st)
	}
	w.engine.SetDown(true)
	st = w.ask("GET", "/api/tenants/"+one+"/status", "").json(t)
	if st["running"] != nil || st["healthy"] != nil || st["engineReachable"] != false || st["healthStatus"] != "unknown" {
		t.Errorf("while the engine is down: %v", st)
	}
}

func TestNoAnswerAndNoLogHoldsASecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const canary = "canary-5f3a9b"
	a := w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","start":true,"environment":{"A_SECRET":"`+canary+`"}}`)
	seen := a.body
	seen += w.ask("PUT", "/api/registries/registry.example.com", `{"username":"u","password":"`+canary+`"}`).body
	for _, route := range routes(t) {
		if route[0] == "GET" && !strings.HasSuffix(route[1], "/logs") {
			seen += w.ask("GET", route[1], "").body
		}
	}
	seen += w.ask("POST", "/api/backup", "").body + w.log.String()
	if strings.Contains(seen, canary) {
		t.Error("the canary was seen")
	}
	if !strings.Contains(seen, "A_SECRET") {
		t.Error("not even the variable's name was seen: nothing was looked at")
	}
}

func TestWhatNoRouteTakesIsAProblemToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wantProblem(w.ask("GET", "/nowhere", ""), 404, "unknown path")
	a := w.ask("PUT", "/api/tenants", "")
	w.wantProblem(a, 405, "wrong method")
	if !strings.Contains(a.header.Get("Allow"), "GET") || a.header.Get("X-Request-Id") == "" {
		t.Errorf("headers %v", a.header)
	}
	w.wantProblem(w.ask("POST", "/api/tenants/provision", "{}", "Sec-Fetch-Site", "cross-site"), 403, "another site's page")
	docs := w.ask("GET", "/docs", "")
	if !strings.Contains(docs.header.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(docs.body, "http://") || strings.Contains(docs.body, "https://") {
		t.Error("the page needs something from elsewhere")
	}
}
