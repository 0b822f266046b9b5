package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// PutVolume implements store.Volumes. It keeps the seed's volume_mounts of the
// living tenant in step.
func (t *tx) PutVolume(ctx context.Context, v berth.VolumeRecord) error {
	if err := t.MayWrite(v.OrganizationID); err != nil {
		return err
	}
	n, err := t.exec(ctx, `INSERT INTO berth.volumes AS v (name, organization_id, mount, engine_id, created_at, kept_at, deleted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (name) DO UPDATE SET mount = excluded.mount, engine_id = excluded.engine_id,
		created_at = excluded.created_at, kept_at = excluded.kept_at, deleted_at = excluded.deleted_at
		WHERE v.organization_id = excluded.organization_id`,
		v.Name, v.OrganizationID, v.Mount, row.OrNull(v.EngineID), stamp(v.CreatedAt), stamp(v.KeptAt), stamp(v.DeletedAt))
	if err != nil {
		return fault(ctx, err, "write volume")
	}
	if n == 0 { // the name is another organization's
		return row.Forbidden()
	}
	_, err = t.exec(ctx, `UPDATE public.tenant_containers SET volume_mounts = `+mountsOf+`
		WHERE organization_id = $1 AND deprovisioned_at IS NULL`, v.OrganizationID)
	return fault(ctx, err, "write volume")
}

// ListVolumes implements store.Volumes.
func (t *tx) ListVolumes(ctx context.Context, organizationID string, p store.Page) ([]berth.VolumeRecord, string, error) {
	w, err := row.OpenWindow("volumes", p)
	if err != nil {
		return nil, "", err
	}
	mine, org := narrowed(t.ScopeOf(organizationID), "organization_id", "$1")
	return page[berth.VolumeRecord]{w, byKey(row.VolumeColumns, func(v berth.VolumeRecord) string { return v.Name }),
		`SELECT organization_id, name, mount, engine_id, created_at, kept_at FROM berth.volumes
		WHERE deleted_at IS NULL AND ` + mine + ` AND name COLLATE "C" > $2 ORDER BY name COLLATE "C" LIMIT $3`,
		[]any{org, w.Key}}.read(ctx, t)
}

// TenantVolumes implements store.Volumes. Whose volumes are wanted is asked for first,
// so that they are found by index steps, however many tenants an engine has.
func (t *tx) TenantVolumes(ctx context.Context, engine string) (map[string][]berth.VolumeRecord, error) {
	mine, org := narrowed(t.Scope(), "v.organization_id", "$1")
	of := "c.engine_id = $2"
	if engine == "" {
		of = "$2::text = '' AND c.engine_id IS NULL"
	}
	volumes := make(map[string][]berth.VolumeRecord)
	err := t.many(ctx, func(rows pgx.Rows) error {
		var v berth.VolumeRecord
		err := rows.Scan(row.VolumeColumns(&v)...)
		volumes[v.OrganizationID] = append(volumes[v.OrganizationID], v)
		return err
	}, `SELECT v.organization_id, v.name, v.mount, v.engine_id, v.created_at, v.kept_at FROM berth.volumes v
		WHERE v.deleted_at IS NULL AND `+mine+` AND v.organization_id = ANY (ARRAY (SELECT c.organization_id
			FROM public.tenant_containers c WHERE c.deprovisioned_at IS NULL AND `+of+`))`, org, engine)
	return volumes, fault(ctx, err, "list volumes of tenants")
}
