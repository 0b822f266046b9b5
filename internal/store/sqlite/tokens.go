package sqlite

import (
	"context"
	"database/sql"

	"github.com/unite-hub/berth"
)

// Tokens are the installation's: only an actor who sees every organization may
// handle them.

const tokenColumns = `id, name, prefix, hash, role, created_at, expires_at, last_used_at, revoked_at`

func tokenRow(t *berth.Token) []any {
	return []any{&t.ID, &t.Name, &t.Prefix, &t.Hash, text(&t.Role), instant(&t.CreatedAt), instant(&t.ExpiresAt),
		instant(&t.LastUsedAt), instant(&t.RevokedAt)}
}

// InsertToken implements store.Tokens.
func (t *tx) InsertToken(ctx context.Context, k berth.Token) error {
	if err := t.mayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO tokens (id, name, prefix, hash, role, created_at, expires_at, last_used_at, revoked_at, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM tokens))`,
		k.ID, k.Name, k.Prefix, k.Hash, string(k.Role), stamp(k.CreatedAt), stamp(k.ExpiresAt), stamp(k.LastUsedAt), stamp(k.RevokedAt))
	return fault(ctx, err, "insert token")
}

// TokenByHash implements store.Tokens.
func (t *tx) TokenByHash(ctx context.Context, hash []byte) (k berth.Token, ok bool, err error) {
	if !t.everything() {
		return berth.Token{}, false, nil
	}
	ok, err = t.one(ctx, tokenRow(&k), `SELECT `+tokenColumns+` FROM tokens WHERE hash = ?`, hash)
	return k, ok, fault(ctx, err, "read token")
}

// ListTokens implements store.Tokens.
func (t *tx) ListTokens(ctx context.Context) ([]berth.Token, error) {
	list := []berth.Token{}
	if !t.everything() {
		return list, nil
	}
	err := t.many(ctx, func(rows *sql.Rows) error {
		list = append(list, berth.Token{})
		return rows.Scan(tokenRow(&list[len(list)-1])...)
	}, `SELECT `+tokenColumns+` FROM tokens ORDER BY seq`)
	return list, fault(ctx, err, "list tokens")
}

// UpdateToken implements store.Tokens. A late note of use, written from an
// older copy, neither takes a revocation back nor moves the last use back.
func (t *tx) UpdateToken(ctx context.Context, k berth.Token) error {
	if err := t.mayWrite(""); err != nil {
		return err
	}
	n, err := t.exec(ctx, `UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2),
		last_used_at = nullif(max(coalesce(last_used_at, ''), coalesce(?3, '')), '') WHERE id = ?1`,
		k.ID, stamp(k.RevokedAt), stamp(k.LastUsedAt))
	if err != nil {
		return fault(ctx, err, "update token")
	}
	if n == 0 {
		return errNotFound("Token")
	}
	return nil
}
