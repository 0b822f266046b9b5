package api_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	three   = "550e8400-e29b-41d4-a716-446655440003"
	nowhere = "550e8400-e29b-41d4-a716-44665544000f"
)

// openRoutes need nobody to be known.
var openRoutes = []string{"own-health", "sign-in", "signed-in"}

// operation is a route as the API describes it.
type operation struct {
	id, method, path string
	secured          bool
	keyed            bool
}

func operations(t *testing.T) map[string]operation {
	t.Helper()
	data, err := api.OpenAPI("golden")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Security    []any
			Parameters  []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]operation{}
	for path, item := range doc.Paths {
		for method, op := range item {
			o := operation{op.OperationID, strings.ToUpper(method), path, len(op.Security) > 0, false}
			for _, p := range op.Parameters {
				o.keyed = o.keyed || p.Name == "Idempotency-Key"
			}
			all[o.id] = o
		}
	}
	return all
}

// tableWorld is a world over real HTTP, with somebody of each kind.
type tableWorld struct {
	*world
	url    string
	tokens map[string]string
}

func newTableWorld(t *testing.T) *tableWorld {
	t.Helper()
	return newTableWorldWith(t, func(*auth.Config, *api.Config) {})
}

func newTableWorldWith(t *testing.T, change func(*auth.Config, *api.Config)) *tableWorld {
	t.Helper()
	w := &tableWorld{world: newWorldWith(t, func(ac *auth.Config, c *api.Config) {
		c.Denials = api.Denials{PerActor: 1e6, PerAddress: 1e6, Strangers: 1e6}
		change(ac, c)
	})}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	t.Cleanup(server.Close)
	w.url = server.URL
	for _, org := range []string{one, two} {
		w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+org+`","tenantName":"Tenant","imageTag":"app:1","environment":{"CANARY":"canary-of-provision"}}`), 201, "provision")
	}
	w.tokens = map[string]string{
		"no token": "", "malformed": "berth_x", "unknown": "berth_" + strings.Repeat("A", 43) + "JDtNlA",
		"operator": w.world.token, "admin": w.tokenFor(berth.RoleAdmin, one), "member": w.tokenFor(berth.RoleMember, one),
		"deployer": w.tokenFor(berth.RoleDeployer, one), "our deployer": w.tokenFor(berth.RoleDeployer, ""), "their admin": w.tokenFor(berth.RoleAdmin, two),
		"audit only": w.tokenFor(berth.RoleOperator, "", "audit"), "read only": w.tokenFor(berth.RoleOperator, "", "read"),
	}
	revoked, r, err := w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "revoked", Role: berth.RoleAdmin, OrganizationID: one})
	w.must(err)
	w.must(w.auth.Revoke(t.Context(), berth.System(), r.ID))
	expired, e, err := w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "expired", ExpiresAt: time.Now().Add(time.Hour)})
	w.must(err)
	w.must(expire(t, w.world, e))
	w.tokens["revoked"], w.tokens["expired"] = revoked, expired
	return w
}

// call asks over HTTP and returns the answer and its request's id.
func (w *tableWorld) call(who string, op operation, r row, org, id string) answer {
	w.t.Helper()
	path := strings.NewReplacer("{organizationId}", org, "{deploymentId}", id, "{tokenId}", id, "{keyId}", cmpOr(id, "1"), "{host}", cmpOr(id, "registry.example.com"), "{name}", "builtin",
		"{notificationId}", id, "{invitationId}", id, "{userId}", id, "{sessionId}", "current").Replace(op.path)
	fill := strings.NewReplacer("ORG", org, "ID", id)
	if r.query != "" {
		path += "?" + fill.Replace(r.query)
	}
	var in io.Reader
	if r.body != "" {
		in = strings.NewReader(fill.Replace(r.body))
	}
	req, err := http.NewRequestWithContext(w.t.Context(), op.method, w.url+path, in)
	w.must(err)
	if token := w.tokens[who]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	w.must(err)
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// entries are what the audit says of one request.
func (w *tableWorld) entries(a answer) (found []berth.AuditEntry) {
	w.t.Helper()
	id := a.header.Get("X-Request-Id")
	err := w.store.View(w.t.Context(), berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListAudit(w.t.Context(), store.AuditFilter{Everything: true, Page: store.Page{Limit: 20}})
		for _, e := range list {
			if e.RequestID == id {
				found = append(found, e)
			}
		}
		return err
	})
	w.must(err)
	return found
}

// verdict is what the table says: a status, and the code of a refusal.
func (r row) verdict(who string, selfService bool) (status int, code berth.Code) {
	forbidden := func() (int, berth.Code) { return 403, berth.CodeForbidden }
	switch who {
	case "no token", "malformed", "unknown", "revoked", "expired":
		return 401, berth.CodeUnauthenticated
	case "operator":
		return r.status, ""
	}
	if r.of == ofSelf {
		return r.status, ""
	}
	switch who {
	case "audit only", "read only":
		if r.scope+" only" == who {
			return r.status, ""
		}
		return forbidden()
	case "their admin":
		switch {
		case r.of == ofOrganization:
			return 404, ""
		case r.of == ofOwn:
			return r.status, ""
		}
		return forbidden()
	}
	if r.of == ofInstallation {
		return forbidden()
	}
	switch may[who][r.scope] {
	case yes:
		return r.status, ""
	case allowed:
		if selfService {
			return r.status, ""
		}
		return 403, berth.CodeSelfServiceDenied
	}
	if r.hidden {
		return 404, ""
	}
	return forbidden()
}

func TestTheTableHasARowForEachRoute(t *testing.T) {
	t.Parallel()
	all := operations(t)
	for id, op := range all {
		_, known := rows[id]
		if open := slices.Contains(openRoutes, id); open == op.secured || open == known {
			t.Errorf("%s %s (%s): secured %v, has a row: %v; a new route is registered by secured and gets a row in rows_test.go", op.method, op.path, id, op.secured, known)
		}
		if r := rows[id]; known && op.keyed == (op.method == "GET" || r.noKey) {
			t.Errorf("%s: takes an Idempotency-Key: %v", id, op.keyed)
		}
	}
	for id, r := range rows {
		org := one
		if r.of == ofInstallation {
			org = ""
		}
		if a := action.OfRoute(id); a.Name != r.action || strings.Join(a.Takes(org).Names(), " ") != r.scope {
			t.Errorf("%s is action %q and takes %s; its row says %q and %s", id, a.Name, a.Takes(org).Names(), r.action, r.scope)
		}
	}
	if got, want := slices.Sorted(maps.Keys(rows)), slices.Sorted(slices.Values(rowOrder)); !slices.Equal(got, want) {
		t.Errorf("rows and their order differ: %v, %v", got, want)
	}
	for id := range rows {
		if _, there := all[id]; !there {
			t.Errorf("%s is no route", id)
		}
	}
}

// Every route as everybody: who may, who may not, and what the audit says.
func TestEveryRouteForEverybody(t *testing.T) {
	t.Parallel()
	w := newTableWorld(t)
	all := operations(t)
	strangers := []string{"no token", "malformed", "unknown", "revoked", "expired"}
	others := []string{"audit only", "read only", "member", "deployer", "our deployer", "admin", "their admin"}
	for _, id := range rowOrder {
		op, r := all[id], rows[id]
		made := ""
		if r.make != nil {
			made = r.make(w)
		}
		w.selfService(0)
		for _, who := range strangers {
			w.try(who, op, r, made, false)
		}
		if !r.last {
			w.try("operator", op, r, made, false)
		}
		for _, selfService := range []bool{false, true} {
			if selfService {
				w.selfService(berth.SelfService)
			}
			for _, who := range others {
				w.try(who, op, r, made, selfService)
			}
		}
		if r.last {
			if r.make != nil {
				made = r.make(w)
			}
			w.try("operator", op, r, made, true)
		}
	}
	w.noSecrets()
	for _, chain := range []string{"", one, two, three} {
		if v, err := w.service.VerifyAudit(t.Context(), berth.System(), chain); err != nil || v.FirstBroken != 0 || v.Entries == 0 {
			t.Errorf("chain %q: %+v, %v", chain, v, err)
		}
	}
}

func (w *tableWorld) selfService(s berth.Scopes) {
	w.t.Helper()
	w.put(func(tx store.Tx) error {
		return tx.PutOrganization(w.t.Context(), berth.Organization{ID: one, Name: "One", SelfService: s, CreatedAt: moment()})
	})
}

// try checks one call against the table. What is allowed may be refused for
// another reason once somebody did it already.
func (w *tableWorld) try(who string, op operation, r row, made string, selfService bool) {
	w.t.Helper()
	status, code := r.verdict(who, selfService)
	a := w.call(who, op, r, one, made)
	name := op.id + " as " + who
	refused := status == 401 || status == 403 && code != "" || status == 404
	mutation := op.method != "GET"
	switch {
	case refused && a.status != status, !refused && !mutation && a.status != status, !refused && mutation && who == "operator" && a.status != status:
		w.t.Errorf("%s: %d, want %d: %s", name, a.status, status, a.body)
		return
	case !refused && r.of != ofSelf && (a.status == 401 || a.status == 403 || a.status >= 500):
		w.t.Errorf("%s, self-service %v: %d: %s", name, selfService, a.status, a.body)
		return
	case code != "" && a.json(w.t)["code"] != string(code):
		w.t.Errorf("%s: %s, want %s", name, a.body, code)
	}
	entries := w.entries(a)
	switch {
	case refused:
		if len(entries) != 1 || entries[0].Outcome != berth.AuditDenied || entries[0].Action != r.action || string(entries[0].Code) != a.json(w.t)["code"] || entries[0].Address != "127.0.0.1" {
			w.t.Errorf("%s: audit of a denied attempt: %+v", name, entries)
		}
		if len(entries) == 1 && (who == "revoked" || who == "expired" || status != 401) != (entries[0].ActorID != "") {
			w.t.Errorf("%s: who tried: %+v", name, entries[0])
		}
		if len(entries) == 1 && status == 404 && entries[0].OrganizationID != "" {
			w.t.Errorf("%s: recorded in the chain of %s", name, entries[0].OrganizationID)
		}
	case (mutation || op.id == "backup") && a.status < 300 && r.of != ofSelf && op.id != "health-check":
		if len(entries) == 1 {
			w.checkFields(name, entries[0])
		}
		if len(entries) != 1 || entries[0].Outcome != berth.AuditDone || entries[0].Action != r.action || entries[0].ActorID == "" || entries[0].Address != "127.0.0.1" {
			if who == "operator" || len(entries) > 1 { // a repetition may have changed nothing
				w.t.Errorf("%s: audit of a change: %+v", name, entries)
			}
		}
	case a.status < 400 && len(entries) != 0:
		w.t.Errorf("%s: audit of what changed nothing: %+v", name, entries)
	}
}

// checkFields checks that an entry says what the table of actions says that it may.
func (w *tableWorld) checkFields(name string, e berth.AuditEntry) {
	w.t.Helper()
	for _, value := range []string{e.Before, e.After} {
		if value == "" {
			continue
		}
		var fields map[string]any
		w.must(json.Unmarshal([]byte(value), &fields))
		for field := range fields {
			i := slices.IndexFunc(action.All(), func(a action.Action) bool { return a.Name == e.Action })
			if i < 0 || !slices.Contains(action.All()[i].Records, field) {
				w.t.Errorf("%s: its entry has %s, of which the table of actions says nothing", name, field)
			}
		}
	}
}

// noSecrets checks that nothing that was planted is in the audit.
func (w *tableWorld) noSecrets() {
	w.t.Helper()
	for _, path := range []string{"/api/audit?limit=1000", "/api/audit?format=jsonl"} {
		if body := w.ask("GET", path, "").body; strings.Contains(body, "canary-of") || !strings.Contains(body, "CANARY") {
			w.t.Errorf("%s holds a planted secret, or no variable's name", path)
		}
	}
}

// What is another organization's answers as what does not exist: the same
// bytes, and the same headers but for what names the request.
func TestWhatIsAnothersAnswersAsWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newTableWorld(t)
	w.selfService(berth.SelfService)
	all := operations(t)
	for _, id := range rowOrder {
		op, r := all[id], rows[id]
		if r.of != ofOrganization {
			continue
		}
		made, missing := "", ""
		if r.make != nil {
			made, missing = r.make(w), nowhere
		}
		theirs := w.call("their admin", op, r, one, made)
		none := w.call("their admin", op, r, nowhere, missing)
		same := func(a answer) string {
			out := a.body
			for _, id := range []string{one, nowhere, made} {
				if id != "" {
					out = strings.ReplaceAll(out, id, "ID")
				}
			}
			a.header.Del("X-Request-Id")
			a.header.Del("Date")
			return http.StatusText(a.status) + out + strings.Join(slices.Sorted(maps.Keys(a.header)), " ")
		}
		if got, want := same(theirs), same(none); got != want || theirs.status != 404 {
			t.Errorf("%s:\n%s\n%s", id, got, want)
		}
	}
}
