package sqlite

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const auditColumns = `chain_seq, id, organization_id, occurred_at, actor_id, actor_name, actor_role, address, request_id,
	action, target, outcome, code, before, after, prev_hash, hash`

// AppendAudit implements store.Audit.
func (t *tx) AppendAudit(ctx context.Context, e *berth.AuditEntry) error {
	if err := t.Writable(); err != nil {
		return err
	}
	if !t.MaySee(e.OrganizationID) {
		return row.Forbidden()
	}
	next := *e
	next.At = e.At.UTC().Truncate(time.Microsecond)
	next.Seq, next.PrevHash = 0, []byte{} // nil would be NULL
	_, err := t.one(ctx, []any{&next.Seq, &next.PrevHash}, `SELECT chain_seq, hash FROM audit_log
		WHERE organization_id = ? ORDER BY chain_seq DESC LIMIT 1`, e.OrganizationID)
	if err != nil {
		return fault(ctx, err, "append to audit")
	}
	next.Seq++
	next.Hash = next.Sum()
	_, err = t.exec(ctx, `INSERT INTO audit_log (seq, `+auditColumns+`)
		VALUES ((SELECT coalesce(max(seq), 0) + 1 FROM audit_log), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		next.Seq, next.ID, next.OrganizationID, stamp(next.At), next.ActorID, next.ActorName, string(next.ActorRole), next.Address, next.RequestID,
		next.Action, next.Target, string(next.Outcome), string(next.Code), next.Before, next.After, next.PrevHash, next.Hash)
	if err != nil {
		return fault(ctx, err, "append to audit")
	}
	*e = next
	return nil
}

// ListAudit implements store.Audit.
func (t *tx) ListAudit(ctx context.Context, f store.AuditFilter) ([]berth.AuditEntry, string, error) {
	way := row.AuditWay(f.Ascending)
	w, err := row.OpenWindow(way.List, f.Page)
	if err != nil {
		return nil, "", err
	}
	start, err := way.Start(w)
	if err != nil || f.Everything && !t.Everything() || !f.Everything && !t.Actor.MayManage(f.OrganizationID) {
		return []berth.AuditEntry{}, "", err
	}
	whose := "organization_id = ?2"
	if f.Everything {
		whose = "?2 IS NOT NULL"
	}
	stop, bounded := way.End, false
	var at time.Time
	if most, narrowed := f.MostReads(); narrowed {
		bounded, err = t.one(ctx, []any{&stop, row.Time(&at)}, `SELECT seq, occurred_at FROM audit_log WHERE `+whose+`
			AND seq `+way.After+` ?1 ORDER BY seq`+way.Order+` LIMIT 1 OFFSET ?3`, start, f.OrganizationID, most)
		if err != nil {
			return nil, "", fault(ctx, err, "list audit")
		}
	}
	entries, next, err := page[berth.AuditEntry]{w, bySeq(row.AuditEntryColumns), `SELECT ` + auditColumns + `, seq FROM audit_log WHERE ` + whose + `
		AND (?3 = '' OR actor_id = ?3)
		AND (?4 = '' OR action = ?4 OR substr(?4, -1) = '.' AND substr(action, 1, length(?4)) = ?4)
		AND (?5 = '' OR outcome = ?5) AND (?6 IS NULL OR occurred_at >= ?6) AND (?7 IS NULL OR occurred_at < ?7)
		AND seq ` + way.After + ` ?1 AND seq ` + way.Before + ` ?8 ORDER BY seq` + way.Order + ` LIMIT ?9`,
		[]any{start, f.OrganizationID, f.ActorID, f.Action, string(f.Outcome), stamp(f.From), stamp(f.To), stop}}.read(ctx, t)
	if err == nil && next == "" && bounded && !f.Past(at) {
		next = way.From(w, stop)
	}
	return entries, next, err
}
