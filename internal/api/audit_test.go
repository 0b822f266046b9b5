package api_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/store"
)

func TestTheAuditSaysWhoDidWhatAndWhatItWasBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1","environment":{"A":"canary-1","B":"canary-2"}}`), 201, "provision")
	changed := w.ask("PATCH", "/api/tenants/"+one, `{"environment":{"A":"canary-3","B":null,"C":"canary-4"}}`)
	w.want(changed, 200, "configure")
	list := w.ask("GET", "/api/organizations/"+one+"/audit", "").json(t)["entries"].([]any)
	e := list[0].(map[string]any)
	if len(list) != 2 || e["action"] != "tenant.configure" || e["requestId"] != changed.header.Get("X-Request-Id") || e["actorName"] != "test" ||
		e["actorRole"] != "operator" || e["address"] != "192.0.2.1" || e["outcome"] != "done" || e["seq"] != 2.0 || e["prevHash"] != list[1].(map[string]any)["hash"] {
		t.Errorf("%v", list)
	}
	before, after := e["before"].(map[string]any), e["after"].(map[string]any)
	if fmt.Sprint(before["environment"]) != "map[A:(set) B:(set)]" || fmt.Sprint(after["environment"]) != "map[A:(changed) C:(set)]" || after["imageTag"] != "app:1" {
		t.Errorf("before %v, after %v", before, after)
	}
	if body := w.ask("GET", "/api/audit?format=jsonl", "").body; strings.Contains(body, "canary") {
		t.Error("a value is in the audit")
	}
	// An order that is repeated under its key is one.
	for range 2 {
		w.want(w.ask("POST", "/api/tenants/"+one+"/start", "", "Idempotency-Key", "k"), 200, "start")
	}
	if n := len(w.ask("GET", "/api/organizations/"+one+"/audit", "").json(t)["entries"].([]any)); n != 3 {
		t.Errorf("%d entries", n)
	}
}

func TestTheAuditIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		w.want(w.ask("PUT", "/api/organizations/"+one, `{"name":"`+name+`"}`), 200, "put")
	}
	w.want(w.ask("POST", "/api/tokens", `{"name":"x"}`), 201, "token")
	w.wantProblem(w.as(w.tokenFor(berth.RoleMember, one), "POST", "/api/backup", ""), 403, "denied")
	me := w.want(w.ask("GET", "/api/me", ""), 200, "me")["id"].(string)
	count := func(query string) int {
		t.Helper()
		return len(w.want(w.ask("GET", "/api/audit?"+query, ""), 200, query)["entries"].([]any))
	}
	for query, want := range map[string]int{
		"action=organization.put": 5, "action=organization.": 5, "action=organization": 0, "outcome=denied": 1, "actor=" + me: 6, "actor=nobody": 0,
		"organizationId=" + one: 7, "organizationId=installation&actor=" + me: 1, "from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z": 0,
	} {
		if got := count(query); got != want {
			t.Errorf("%s: %d entries, want %d", query, got, want)
		}
	}
	var seen []string
	for cursor := ""; ; {
		page := w.want(w.ask("GET", "/api/audit?action=organization.&limit=2&cursor="+cursor, ""), 200, "page")
		for _, e := range page["entries"].([]any) {
			seen = append(seen, e.(map[string]any)["after"].(map[string]any)["name"].(string))
		}
		if page["nextCursor"] == nil {
			break
		}
		cursor = page["nextCursor"].(string)
	}
	if fmt.Sprint(seen) != "[E D C B A]" {
		t.Errorf("pages: %v", seen)
	}
	for _, bad := range []string{"outcome=maybe", "from=yesterday", "format=xml", "organizationId=x", "limit=0", "cursor=%21", "who=x"} {
		w.wantProblem(w.ask("GET", "/api/audit?"+bad, ""), 422, bad)
	}
}

// Who filters for what is not there must not have Berth walk along all that is.
func TestForANarrowedPageOfTheAuditSoManyEntriesAreReadAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(func(tx store.Tx) error {
		for n := range store.AuditReads + 1 {
			e := berth.AuditEntry{ID: berth.NewID(), OrganizationID: one, At: moment(), ActorID: "many", ActorRole: berth.RoleSystem, Action: "tenant.start", Outcome: berth.AuditDone}
			if n == 0 {
				e.ActorID = "first"
			}
			if err := tx.AppendAudit(t.Context(), &e); err != nil {
				return err
			}
		}
		return nil
	})
	w.organization(one, 0)
	for _, path := range []string{"/api/audit?", "/api/organizations/" + one + "/audit?"} {
		if page := w.want(w.ask("GET", path+"limit=1", ""), 200, path); len(page["entries"].([]any)) != 1 {
			t.Errorf("%s not narrowed: %v", path, page)
		}
		page := w.want(w.ask("GET", path+"actor=first&limit=1", ""), 200, path)
		if len(page["entries"].([]any)) != 0 || page["nextCursor"] == nil {
			t.Fatalf("%s: %v", path, page)
		}
		page = w.want(w.ask("GET", path+"actor=first&limit=1&cursor="+page["nextCursor"].(string), ""), 200, path)
		if len(page["entries"].([]any)) != 1 || page["nextCursor"] != nil {
			t.Errorf("%s, the second: %v", path, page)
		}
		if lines := w.ask("GET", path+"format=jsonl&actor=first", "").body; strings.Count(lines, "\n") != 1 {
			t.Errorf("%s, everything: %s", path, lines)
		}
	}
}

func TestAChangedEntryBreaksItsChainThereAndInAnExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	for _, name := range []string{"A", "<b>&é", "C"} {
		w.want(w.ask("PUT", "/api/organizations/"+one, `{"name":"`+name+`"}`), 200, "put")
	}
	verify := func(path string) map[string]any { return w.want(w.ask("GET", path, ""), 200, path) }
	chain := "/api/organizations/" + one + "/audit/verify"
	whole := verify(chain)
	if whole["intact"] != true || whole["entries"] != 3.0 || whole["firstBroken"] != nil || len(whole["head"].(string)) != 64 {
		t.Errorf("%v", whole)
	}
	export := w.ask("GET", "/api/audit?format=jsonl", "")
	if export.header.Get("Content-Type") != "application/jsonl" {
		t.Errorf("%v", export.header)
	}
	last := map[string]*berth.AuditEntry{}
	for line := range strings.Lines(export.body) {
		var wire client.AuditEntry
		w.must(json.Unmarshal([]byte(line), &wire))
		e, err := wire.Entry()
		w.must(err)
		if !e.Follows(last[e.OrganizationID]) {
			t.Errorf("the export breaks at %s", line)
		}
		last[e.OrganizationID] = &e
	}
	if len(last) != 2 || fmt.Sprintf("%x", last[one].Hash) != whole["head"] {
		t.Errorf("%d chains, head %v", len(last), whole["head"])
	}
	// Who can write to the file can change an entry, and it shows.
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(w.dir, "berth.db"))
	w.must(err)
	defer func() { w.must(db.Close()) }()
	for _, statement := range []string{
		`DROP TRIGGER audit_log_no_update`,
		`UPDATE audit_log SET actor_name = 'somebody else' WHERE organization_id = '` + one + `' AND chain_seq = 2`,
	} {
		_, err := db.ExecContext(t.Context(), statement)
		w.must(err)
	}
	if v := verify(chain); v["intact"] != false || v["firstBroken"] != 2.0 || v["entries"] != 1.0 {
		t.Errorf("changed: %v", v)
	}
	if v := verify("/api/audit/verify"); v["intact"] != true {
		t.Errorf("another chain: %v", v)
	}
}
