package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// keysOf are what GET /api/keys tells.
func (w *world) keysOf() (list []map[string]any) {
	w.t.Helper()
	a := w.ask("GET", "/api/keys", "")
	if a.status != http.StatusOK {
		w.t.Fatalf("%d %s", a.status, a.body)
	}
	for _, k := range a.json(w.t)["keys"].([]any) {
		list = append(list, k.(map[string]any))
	}
	return list
}

func (w *world) audit() (list []berth.AuditEntry) {
	w.t.Helper()
	w.must(w.store.View(w.t.Context(), berth.System(), func(tx store.Tx) (err error) {
		list, _, err = tx.ListAudit(w.t.Context(), store.AuditFilter{Action: "key.", Ascending: true})
		return err
	}))
	return list
}

func TestKeysAreListedRotatedAndRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.ask("PUT", "/api/registries/r.example.com", `{"username":"u","password":"hunter2"}`); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	first := w.keysOf()
	if len(first) != 1 || first[0]["primary"] != true || first[0]["sealed"] != 1.0 || first[0]["missing"] != false || first[0]["createdAt"] == nil {
		t.Errorf("before: %v", first)
	}
	old := fmt.Sprintf("/api/keys/%.0f", first[0]["id"])
	w.wantProblem(w.ask("DELETE", old, ""), http.StatusUnprocessableEntity, "the key that encrypts")
	a := w.ask("POST", "/api/keys/rotate", "")
	made := a.json(t)
	if a.status != http.StatusCreated || made["primary"] != true || made["id"] == first[0]["id"] {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if both := w.keysOf(); len(both) != 2 || both[0]["primary"] != false || both[0]["sealed"] != 1.0 || both[1]["sealed"] != 0.0 {
		t.Errorf("after: %v", both)
	}
	w.wantProblem(w.ask("DELETE", old, ""), http.StatusUnprocessableEntity, "only just rotated")
	w.restart(func(c *tenancy.Config, _ *tenancy.Parts) {
		c.Now = func() time.Time { return moment().Add(6 * time.Minute) }
	})
	if a := w.ask("DELETE", old, ""); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "under this key: 1") {
		t.Errorf("in use: %d %s", a.status, a.body)
	}
	if a := w.ask("PUT", "/api/registries/r.example.com", `{"username":"u","password":"hunter3"}`); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := w.ask("DELETE", old, ""); a.status != http.StatusNoContent {
		t.Errorf("not in use: %d %s", a.status, a.body)
	}
	w.wantProblem(w.ask("DELETE", old, ""), http.StatusNotFound, "retired before")
	if left := w.keysOf(); len(left) != 1 || left[0]["id"] != made["id"] || left[0]["sealed"] != 1.0 {
		t.Errorf("left: %v", left)
	}
	log := w.audit()
	if len(log) != 2 || log[0].Action != "key.rotate" || log[0].Target != fmt.Sprintf("%.0f", made["id"]) || log[0].Outcome != berth.AuditDone ||
		log[1].Action != "key.retire" || log[1].Target != fmt.Sprintf("%.0f", first[0]["id"]) || log[1].ActorName != "test" {
		t.Errorf("audit: %+v", log)
	}
}

func TestAValueThatNoKeyOpensIsListedAsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.store.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		return tx.PutCredential(t.Context(), store.StoredCredential{Registry: "r.example.com", Username: "u", Ciphertext: []byte("\x01\x00\x00\x00\x07rest"), UpdatedAt: time.Unix(1, 0).UTC()})
	}))
	if list := w.keysOf(); len(list) != 2 || list[1]["id"] != 7.0 || list[1]["missing"] != true || list[1]["sealed"] != 1.0 || list[1]["createdAt"] != nil {
		t.Errorf("keys: %v", list)
	}
	if err := w.service.CheckKeys(t.Context()); !berth.Is(err, berth.CodeStorageUnavailable) {
		t.Errorf("another database's key file: %v", err)
	}
	if a := w.ask("PUT", "/api/registries/s.example.com", `{"username":"u","password":"hunter2"}`); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.must(w.service.CheckKeys(t.Context()))
}

func TestKeysAreTheOperatorsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, actor := range []berth.Actor{{}, {ID: "a", Role: berth.RoleAdmin, OrganizationID: one}, {ID: "o", Role: berth.RoleOperator, OrganizationID: one}, {ID: "d", Role: berth.RoleDeployer}} {
		if _, err := w.service.ListKeys(t.Context(), actor); !berth.Is(err, berth.CodeForbidden) {
			t.Errorf("%v lists: %v", actor.Role, err)
		}
		if _, err := w.service.RotateKey(t.Context(), actor); !berth.Is(err, berth.CodeForbidden) {
			t.Errorf("%v rotates: %v", actor.Role, err)
		}
		if err := w.service.RetireKey(t.Context(), actor, 1); !berth.Is(err, berth.CodeForbidden) {
			t.Errorf("%v retires: %v", actor.Role, err)
		}
	}
	if list := w.keysOf(); len(list) != 1 {
		t.Errorf("keys: %v", list)
	}
}
