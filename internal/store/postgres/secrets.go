package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// InsertSecret implements store.SecretVersions.
func (t *tx) InsertSecret(ctx context.Context, v store.SecretVersion) error {
	if err := t.MayManage(v.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO berth.secret_versions (id, organization_id, name, ciphertext, created_at) VALUES ($1, $2, $3, $4, $5)`,
		v.ID, v.OrganizationID, v.Name, v.Ciphertext, stamp(v.CreatedAt))
	return fault(ctx, err, "insert secret")
}

// Secrets implements store.SecretVersions.
func (t *tx) Secrets(ctx context.Context, organizationID string, ids []string) ([]store.SecretVersion, error) {
	wanted := slices.Compact(slices.Sorted(slices.Values(ids)))
	list := make([]store.SecretVersion, 0, len(wanted))
	if len(wanted) == 0 {
		return list, nil
	}
	if !t.Actor.MayManage(organizationID) {
		return nil, row.NotFound("Secret")
	}
	named, err := encodeJSON(wanted)
	if err != nil {
		return nil, fault(ctx, err, "read secrets")
	}
	err = t.many(ctx, func(rows pgx.Rows) error {
		var v store.SecretVersion
		err := rows.Scan(&v.ID, &v.OrganizationID, &v.Name, &v.Ciphertext, row.Time(&v.CreatedAt))
		list = append(list, v)
		return err
	}, `SELECT id, organization_id, name, ciphertext, created_at FROM berth.secret_versions
		WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb))) AND organization_id = $2`, named, uuidOrNull(organizationID))
	if err != nil {
		return nil, fault(ctx, err, "read secrets")
	}
	if len(list) < len(wanted) {
		return nil, row.NotFound("Secret")
	}
	return list, nil
}

// Credentials belong to the installation: an actor who is bound to an
// organization, or only deploys, sees none of them.

const credentialColumns = `registry, username, ciphertext, updated_at`

// PutCredential implements store.Credentials.
func (t *tx) PutCredential(ctx context.Context, c store.StoredCredential) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO berth.registry_credentials (`+credentialColumns+`) VALUES ($1, $2, $3, $4)
		ON CONFLICT (registry) DO UPDATE SET username = excluded.username, ciphertext = excluded.ciphertext, updated_at = excluded.updated_at`,
		c.Registry, c.Username, c.Ciphertext, stamp(c.UpdatedAt))
	return fault(ctx, err, "write credential")
}

// Credential implements store.Credentials.
func (t *tx) Credential(ctx context.Context, registry string) (c store.StoredCredential, ok bool, err error) {
	if !t.Everything() {
		return store.StoredCredential{}, false, nil
	}
	ok, err = t.one(ctx, row.CredentialColumns(&c), `SELECT `+credentialColumns+` FROM berth.registry_credentials WHERE registry = $1`, registry)
	return c, ok, fault(ctx, err, "read credential")
}

// ListCredentials implements store.Credentials.
func (t *tx) ListCredentials(ctx context.Context, p store.Page) ([]store.StoredCredential, string, error) {
	w, err := row.OpenWindow("credentials", p)
	if err != nil || !t.Everything() {
		return []store.StoredCredential{}, "", err
	}
	return page[store.StoredCredential]{w, byKey(row.CredentialColumns, func(c store.StoredCredential) string { return c.Registry }),
		`SELECT ` + credentialColumns + ` FROM berth.registry_credentials
		WHERE registry COLLATE "C" > $1 ORDER BY registry COLLATE "C" LIMIT $2`, []any{w.Key}}.read(ctx, t)
}

// DeleteCredential implements store.Credentials.
func (t *tx) DeleteCredential(ctx context.Context, registry string) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.registry_credentials WHERE registry = $1`, registry)
	if err != nil {
		return fault(ctx, err, "delete credential")
	}
	if n == 0 {
		return row.NoCredential(registry)
	}
	return nil
}
