package postgres

import (
	"context"
	"strings"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// sealedIn is where each kind of sealed value is: table, and column of the id.
var sealedIn = map[string][2]string{
	"secret":       {"berth.secret_versions", "id"},
	"registry":     {"berth.registry_credentials", "registry"},
	"channel":      {"berth.channels", "id"},
	"installation": {"berth.installation", `"only"::text`},
}

func sealedRow(s *store.Sealed) []any {
	return []any{&s.Kind, &s.ID, text(&s.OrganizationID), &s.Name, &s.Ciphertext}
}

// ListSealed implements store.Sealings.
func (t *tx) ListSealed(ctx context.Context, p store.Page) ([]store.Sealed, string, error) {
	w, err := row.OpenWindow("sealed", p)
	if err != nil || !t.everything() {
		return []store.Sealed{}, "", err
	}
	kind, id, _ := strings.Cut(w.Key, ":")
	return page[store.Sealed]{w, byKey(sealedRow, func(s store.Sealed) string { return s.Kind + ":" + s.ID }), `SELECT * FROM (
		SELECT 'channel' AS kind, id, organization_id, '' AS name, ciphertext FROM berth.channels WHERE ciphertext IS NOT NULL
		UNION ALL SELECT 'installation', "only"::text, NULL, '', ciphertext FROM berth.installation WHERE ciphertext IS NOT NULL
		UNION ALL SELECT 'registry', registry, NULL, '', ciphertext FROM berth.registry_credentials
		UNION ALL SELECT 'secret', id, organization_id, name, ciphertext FROM berth.secret_versions) s
		WHERE (kind COLLATE "C", id COLLATE "C") > ($1, $2) ORDER BY kind COLLATE "C", id COLLATE "C" LIMIT $3`, []any{kind, id}}.read(ctx, t)
}

// Reseal implements store.Sealings.
func (t *tx) Reseal(ctx context.Context, s store.Sealed, ciphertext []byte) error {
	if err := t.mayWrite(""); err != nil {
		return err
	}
	in, ok := sealedIn[s.Kind]
	if !ok {
		return row.NeverSealed(s.Kind)
	}
	n, err := t.exec(ctx, `UPDATE `+in[0]+` SET ciphertext = $1 WHERE `+in[1]+` = $2 AND ciphertext = $3`, ciphertext, s.ID, s.Ciphertext)
	if err == nil && n == 0 {
		return row.Stale("The sealed value")
	}
	return fault(ctx, err, "seal anew")
}

// KeyMark implements store.Tx.
func (t *tx) KeyMark(ctx context.Context) (sealed []byte, err error) {
	if !t.everything() {
		return nil, row.Forbidden()
	}
	_, err = t.one(ctx, []any{&sealed}, `SELECT ciphertext FROM berth.installation`)
	return sealed, fault(ctx, err, "read key mark")
}

// SetKeyMark implements store.Tx.
func (t *tx) SetKeyMark(ctx context.Context, sealed []byte) error {
	if err := t.mayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE berth.installation SET ciphertext = $1`, sealed)
	return fault(ctx, err, "write key mark")
}
