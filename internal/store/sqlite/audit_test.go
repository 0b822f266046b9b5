package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func TestTheDatabaseItselfKeepsTheAuditAppendOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := open(t, path)
	ctx := t.Context()
	appendTo := func(organizationID string) error {
		return s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			return tx.AppendAudit(ctx, &berth.AuditEntry{ID: berth.NewID(), OrganizationID: organizationID, At: time.Now(), Action: "a.b", Outcome: berth.AuditDone})
		})
	}
	for _, organizationID := range []string{"", orgID(0), "", ""} {
		if err := appendTo(organizationID); err != nil {
			t.Fatal(err)
		}
	}
	db := raw(t, path)
	columns := "seq, id, organization_id, chain_seq, occurred_at, actor_id, actor_name, actor_role, address, request_id, action, target, outcome, code, before, after, prev_hash, hash"
	like := func(seq, id, chainSeq string) string {
		return "(" + columns + ") SELECT " + seq + ", " + id + ", '', " + chainSeq +
			", occurred_at, 'eve', '', '', '', '', 'a', '', 'done', '', '', '', x'', x'' FROM audit_log WHERE seq = 1"
	}
	for _, statement := range []string{
		"UPDATE audit_log SET actor_id = 'eve'",
		"UPDATE audit_log SET actor_id = actor_id WHERE seq = 2",
		"UPDATE OR IGNORE audit_log SET actor_id = 'eve'",
		"UPDATE OR REPLACE audit_log SET seq = 1 WHERE seq = 2",
		"DELETE FROM audit_log",
		"DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)",
		"INSERT OR REPLACE INTO audit_log " + like("1", "id", "1"),
		"INSERT OR REPLACE INTO audit_log " + like("5", "id", "4"),
		"INSERT OR REPLACE INTO audit_log " + like("5", "'x'", "3"),
		"INSERT INTO audit_log " + like("5", "'x'", "5"), // a gap
		"INSERT INTO audit_log " + like("-1", "'x'", "4"),
	} {
		// Without its error an ignored statement would look as if it had worked.
		res, err := db.Exec(statement)
		if err == nil {
			n, _ := res.RowsAffected()
			t.Errorf("accepted, %d rows: %s", n, statement)
		}
	}
	if err := appendTo(""); err != nil {
		t.Fatal(err)
	}
	err := s.View(ctx, berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListAudit(ctx, store.AuditFilter{Ascending: true})
		var prev *berth.AuditEntry
		for i := range list {
			if !list[i].Follows(prev) {
				t.Errorf("entry %d does not follow", i)
			}
			prev = &list[i]
		}
		if len(list) != 4 {
			t.Errorf("there are %d entries", len(list))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The control of the one above: an entry that is right is taken.
func TestAnEntryThatFollowsIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	open(t, path)
	_, err := raw(t, path).Exec(`INSERT INTO audit_log VALUES (1, 'x', '', 1, '2026-01-02T03:04:05.000006Z', '', '', '', '', '', 'a', '', 'done', '', '', '', x'', x'')`)
	if err != nil {
		t.Error(err)
	}
}
