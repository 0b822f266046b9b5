package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// InsertSecret implements store.SecretVersions.
func (t *tx) InsertSecret(ctx context.Context, v store.SecretVersion) error {
	if err := t.MayManage(v.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO secret_versions (id, organization_id, name, ciphertext, created_at) VALUES (?, ?, ?, ?, ?)`,
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
	err = t.many(ctx, func(rows *sql.Rows) error {
		var v store.SecretVersion
		if err := rows.Scan(&v.ID, &v.OrganizationID, &v.Name, &v.Ciphertext, row.Time(&v.CreatedAt)); err != nil {
			return err
		}
		list = append(list, v)
		return nil
	}, `SELECT v.id, v.organization_id, v.name, v.ciphertext, v.created_at FROM json_each(?) j
		CROSS JOIN secret_versions v ON v.id = j.value WHERE v.organization_id = ?`, named, organizationID)
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

// PutCredential implements store.Credentials.
func (t *tx) PutCredential(ctx context.Context, c store.StoredCredential) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO registry_credentials (registry, username, ciphertext, updated_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (registry) DO UPDATE SET username = excluded.username, ciphertext = excluded.ciphertext, updated_at = excluded.updated_at`,
		c.Registry, c.Username, c.Ciphertext, stamp(c.UpdatedAt))
	return fault(ctx, err, "write credential")
}

// Credential implements store.Credentials.
func (t *tx) Credential(ctx context.Context, registry string) (c store.StoredCredential, ok bool, err error) {
	if !t.Everything() {
		return store.StoredCredential{}, false, nil
	}
	ok, err = t.one(ctx, row.CredentialColumns(&c), `SELECT registry, username, ciphertext, updated_at FROM registry_credentials WHERE registry = ?`, registry)
	return c, ok, fault(ctx, err, "read credential")
}

// ListCredentials implements store.Credentials.
func (t *tx) ListCredentials(ctx context.Context, p store.Page) ([]store.StoredCredential, string, error) {
	w, err := row.OpenWindow("credentials", p)
	if err != nil || !t.Everything() {
		return []store.StoredCredential{}, "", err
	}
	return page[store.StoredCredential]{w, byKey(row.CredentialColumns, func(c store.StoredCredential) string { return c.Registry }),
		`SELECT registry, username, ciphertext, updated_at FROM registry_credentials WHERE registry > ? ORDER BY registry LIMIT ?`,
		[]any{w.Key}}.read(ctx, t)
}

// DeleteCredential implements store.Credentials.
func (t *tx) DeleteCredential(ctx context.Context, registry string) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	n, err := t.exec(ctx, `DELETE FROM registry_credentials WHERE registry = ?`, registry)
	if err != nil {
		return fault(ctx, err, "delete credential")
	}
	if n == 0 {
		return row.NoCredential(registry)
	}
	return nil
}
