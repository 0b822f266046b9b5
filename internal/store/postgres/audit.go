package postgres

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const auditColumns = `seq, id, organization_id, at, actor_id, actor_name, actor_role, address, request_id,
	action, target, outcome, code, before, after, prev_hash, hash`

// AppendAudit implements store.Audit. The hash covers what is stored: text that
// the database can take.
func (t *tx) AppendAudit(ctx context.Context, e *berth.AuditEntry) error {
	if err := t.Writable(); err != nil {
		return err
	}
	if !t.MaySee(e.OrganizationID) {
		return row.Forbidden()
	}
	next := *e
	for _, s := range []*string{&next.ID, &next.ActorID, &next.ActorName, &next.Address, &next.RequestID, &next.Action, &next.Target, &next.Before, &next.After} {
		*s = cleanText(*s)
	}
	next.At = e.At.UTC().Truncate(time.Microsecond)
	next.Seq, next.PrevHash = 0, nil
	_, err := t.one(ctx, []any{&next.Seq, &next.PrevHash}, `SELECT seq, hash FROM berth.audit_log
		WHERE `+ofOrganization(e.OrganizationID, "$1")+` ORDER BY organization_id DESC, seq DESC LIMIT 1`, uuidOrNull(e.OrganizationID))
	if err != nil {
		return fault(ctx, err, "append to audit")
	}
	next.Seq++
	next.Hash = next.Sum()
	_, err = t.exec(ctx, `INSERT INTO berth.audit_log (`+auditColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		next.Seq, next.ID, uuidOrNull(next.OrganizationID), stamp(next.At), next.ActorID, next.ActorName, string(next.ActorRole), next.Address, next.RequestID,
		next.Action, next.Target, string(next.Outcome), string(next.Code), next.Before, next.After, next.PrevHash, next.Hash)
	if err != nil {
		return fault(ctx, err, "append to audit")
	}
	*e = next
	return nil
}

// ListAudit implements store.Audit.
func (t *tx) ListAudit(ctx context.Context, f store.AuditFilter) ([]berth.AuditEntry, string, error) {
	place, index := "seq", "organization_id" // in the chain
	if f.Everything {
		place, index = "written", "written"
	}
	way := row.AuditWay(f.Ascending)
	order := " ORDER BY " + index + way.Order + ", " + place + way.Order
	w, err := row.OpenWindow(way.List+" by "+place, f.Page)
	if err != nil {
		return nil, "", err
	}
	start, err := way.Start(w)
	if err != nil || f.Everything && !t.Everything() || !f.Everything && !t.Actor.MayManage(f.OrganizationID) {
		return []berth.AuditEntry{}, "", err
	}
	whose := ofOrganization(f.OrganizationID, "$2")
	if f.Everything {
		whose, f.OrganizationID = "$2::uuid IS NULL", ""
	}
	most, narrowed := f.MostReads()
	if !narrowed {
		most = w.Size + 1
	}
	// The inner LIMIT has the planner go along the index, however rare it believes
	// what is wanted to be.
	entries, next, err := page[berth.AuditEntry]{w, bySeq(row.AuditEntryColumns), `SELECT ` + auditColumns + `, ` + place + ` FROM (
			SELECT * FROM berth.audit_log WHERE ` + whose + ` AND ` + place + ` ` + way.After + ` $1` + order + ` LIMIT $8) whole
		WHERE ($3 = '' OR actor_id = $3)
		AND ($4 = '' OR action = $4 OR right($4, 1) = '.' AND starts_with(action, $4))
		AND ($5 = '' OR outcome = $5) AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)` + order + ` LIMIT $9`,
		[]any{start, uuidOrNull(f.OrganizationID), f.ActorID, f.Action, string(f.Outcome), stamp(f.From), stamp(f.To), most}}.read(ctx, t)
	if err != nil || next != "" || !narrowed {
		return entries, next, err
	}
	var stop int64 // the first that was not read: it is one snapshot
	var at time.Time
	more, err := t.one(ctx, []any{&stop, row.Time(&at)}, `SELECT `+place+`, at FROM berth.audit_log WHERE `+whose+`
		AND `+place+` `+way.After+` $1`+order+` LIMIT 1 OFFSET $3`, start, uuidOrNull(f.OrganizationID), most)
	if err != nil {
		return nil, "", fault(ctx, err, "list audit")
	}
	if more && !f.Past(at) {
		next = way.From(w, stop)
	}
	return entries, next, nil
}

// ofOrganization narrows rows to those of an organization, or of none, in words
// that an index serves. So that it serves the order too, which NULL is no constant
// for, it is to begin with organization_id.
func ofOrganization(organizationID, parameter string) string {
	if organizationID == "" {
		return "organization_id IS NULL AND " + parameter + "::uuid IS NULL"
	}
	return "organization_id = " + parameter + "::uuid"
}
