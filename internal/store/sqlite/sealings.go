package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// sealedIn is where each kind of sealed value is, by kind: the column of its id,
// the select of the others, and the condition that there is one.
var sealedIn = []sealedColumn{
	{"channel", "channels", "id", "organization_id, ''", "ciphertext IS NOT NULL"},
	{"installation", "installation", `CAST(only AS TEXT)`, "NULL, ''", "ciphertext IS NOT NULL"},
	{"registry", "registry_credentials", "registry", "NULL, ''", "true"},
	{"secret", "secret_versions", "id", "organization_id, name", "true"},
}

type sealedColumn struct{ kind, table, id, others, there string }

// ListSealed implements store.Sealings: kind by kind, each in the order of its
// primary key.
func (t *tx) ListSealed(ctx context.Context, p store.Page) ([]store.Sealed, string, error) {
	w, err := row.OpenWindow("sealed", p)
	if err != nil || !t.Everything() {
		return []store.Sealed{}, "", err
	}
	kind, id, _ := strings.Cut(w.Key, ":")
	list := []store.Sealed{}
	for _, in := range sealedIn {
		if in.kind < kind {
			continue
		}
		after := ""
		if in.kind == kind {
			after = id
		}
		err := t.many(ctx, func(rows *sql.Rows) error {
			s := store.Sealed{Kind: in.kind}
			err := rows.Scan(&s.ID, row.Text(&s.OrganizationID), &s.Name, &s.Ciphertext)
			list = append(list, s)
			return err
		}, `SELECT `+in.id+`, `+in.others+`, ciphertext FROM `+in.table+` WHERE `+in.there+` AND `+in.id+` > ?1
			ORDER BY `+in.id+` LIMIT ?2`, after, w.Size+1-len(list))
		if err != nil {
			return nil, "", fault(ctx, err, "list sealed")
		}
		if len(list) > w.Size { // the row behind the page: there is a next one
			last := list[w.Size-1]
			return list[:w.Size], w.Cursor(last.Kind + ":" + last.ID), nil
		}
	}
	return list, "", nil
}

// Reseal implements store.Sealings.
func (t *tx) Reseal(ctx context.Context, s store.Sealed, ciphertext []byte) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	at := slices.IndexFunc(sealedIn, func(in sealedColumn) bool { return in.kind == s.Kind })
	if at < 0 {
		return row.NeverSealed(s.Kind)
	}
	in := sealedIn[at]
	n, err := t.exec(ctx, `UPDATE `+in.table+` SET ciphertext = ? WHERE `+in.id+` = ? AND ciphertext = ?`, ciphertext, s.ID, s.Ciphertext)
	if err == nil && n == 0 {
		return row.Stale("The sealed value")
	}
	return fault(ctx, err, "seal anew")
}

// KeyMark implements store.Installations.
func (t *tx) KeyMark(ctx context.Context) (sealed []byte, err error) {
	if !t.Everything() {
		return nil, row.Forbidden()
	}
	_, err = t.one(ctx, []any{&sealed}, `SELECT ciphertext FROM installation`)
	return sealed, fault(ctx, err, "read key mark")
}

// SetKeyMark implements store.Installations.
func (t *tx) SetKeyMark(ctx context.Context, sealed []byte) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE installation SET ciphertext = ?`, sealed)
	return fault(ctx, err, "write key mark")
}
