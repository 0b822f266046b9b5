package sqlite

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const tokenColumns = `id, name, prefix, hash, role, organization_id, scopes, created_by, created_at, expires_at, last_used_at, revoked_at`

// InsertToken implements store.Tokens.
func (t *tx) InsertToken(ctx context.Context, k berth.Token) error {
	if err := t.MayManage(k.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO tokens (`+tokenColumns+`, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM tokens))`,
		k.ID, k.Name, k.Prefix, k.Hash, string(k.Role), row.OrNull(k.OrganizationID), joinScopes(k.Scopes), row.OrNull(k.CreatedBy),
		stamp(k.CreatedAt), stamp(k.ExpiresAt), stamp(k.LastUsedAt), stamp(k.RevokedAt))
	if isDangling(err) {
		return row.NoOrganization(k.OrganizationID)
	}
	return fault(ctx, err, "insert token")
}

// TokenByHash implements store.Tokens.
func (t *tx) TokenByHash(ctx context.Context, hash []byte) (k berth.Token, ok bool, err error) {
	if !t.Everything() {
		return berth.Token{}, false, nil
	}
	ok, err = t.one(ctx, row.TokenColumns(&k), `SELECT `+tokenColumns+` FROM tokens WHERE hash = ?`, hash)
	return k, ok, fault(ctx, err, "read token")
}

// Token implements store.Tokens.
func (t *tx) Token(ctx context.Context, id string) (berth.Token, error) {
	var k berth.Token
	ok, err := t.one(ctx, row.TokenColumns(&k), `SELECT `+tokenColumns+` FROM tokens WHERE id = ?`, id)
	if err != nil {
		return berth.Token{}, fault(ctx, err, "read token")
	}
	if !ok || !t.Actor.MayManage(k.OrganizationID) {
		return berth.Token{}, row.NotFound("Token")
	}
	return k, nil
}

// ListTokens implements store.Tokens.
func (t *tx) ListTokens(ctx context.Context, organizationID string, p store.Page) ([]berth.Token, string, error) {
	w, err := row.OpenWindow("tokens", p)
	if err != nil {
		return nil, "", err
	}
	after, err := w.After()
	scope := t.ManagedScopeOf(organizationID)
	if err != nil || scope.None() {
		return []berth.Token{}, "", err
	}
	mine, org := narrowed(scope, "organization_id", "?1")
	return page[berth.Token]{w, bySeq(row.TokenColumns), `SELECT ` + tokenColumns + `, seq FROM tokens
		WHERE ` + mine + ` AND seq > ?2 ORDER BY seq LIMIT ?3`, []any{org, after}}.read(ctx, t)
}

// UpdateToken implements store.Tokens. A late note of use, written from an
// older copy, neither takes a revocation back nor moves the last use back.
func (t *tx) UpdateToken(ctx context.Context, k berth.Token) error {
	if err := t.Writable(); err != nil {
		return err
	}
	if _, err := t.Token(ctx, k.ID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2),
		last_used_at = nullif(max(coalesce(last_used_at, ''), coalesce(?3, '')), '') WHERE id = ?1`,
		k.ID, stamp(k.RevokedAt), stamp(k.LastUsedAt))
	return fault(ctx, err, "update token")
}
