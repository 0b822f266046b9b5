package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const deploymentColumns = `d.id, d.container_id, d.organization_id, d.deployment_type, d.status, d.generation, d.previous_config,
	d.new_config, d.want, d.previous_want, d.can_rollback, d.rollback_deployment_id, d.volumes, d.adopt, d.error_message,
	d.deployed_by_actor, d.deployment_notes, d.created_at, d.started_at, d.completed_at, d.steps`

// Deployment implements store.Deployments.
func (t *tx) Deployment(ctx context.Context, id string) (berth.Deployment, error) {
	var d berth.Deployment
	ok, err := t.one(ctx, row.DeploymentColumns(&d), `SELECT `+deploymentColumns+` FROM public.tenant_deployments d WHERE d.id = $1`, uuidOrNull(id))
	if err != nil {
		return berth.Deployment{}, fault(ctx, err, "read deployment")
	}
	if !ok || !t.MaySee(d.OrganizationID) {
		return berth.Deployment{}, row.NoDeployment(id)
	}
	return d, nil
}

// OpenDeployment implements store.Deployments.
func (t *tx) OpenDeployment(ctx context.Context, organizationID string) (d berth.Deployment, ok bool, err error) {
	if !t.MaySee(organizationID) {
		return berth.Deployment{}, false, nil
	}
	ok, err = t.one(ctx, row.DeploymentColumns(&d), `SELECT `+deploymentColumns+` FROM public.tenant_containers c
		JOIN public.tenant_deployments d ON d.container_id = c.id AND d.status = 'pending'
		WHERE c.organization_id = $1 AND c.deprovisioned_at IS NULL`, uuidOrNull(organizationID))
	if err != nil || !ok {
		return berth.Deployment{}, false, fault(ctx, err, "read open deployment")
	}
	return d, true, nil
}

// ListDeployments implements store.Deployments.
func (t *tx) ListDeployments(ctx context.Context, organizationID string, p store.Page) ([]berth.Deployment, string, error) {
	w, err := row.OpenWindow("deployments", p)
	if err != nil {
		return nil, "", err
	}
	before, err := w.Before()
	if err != nil || !t.MaySee(organizationID) {
		return []berth.Deployment{}, "", err
	}
	return page[berth.Deployment]{w, bySeq(row.DeploymentColumns), `SELECT ` + deploymentColumns + `, d.seq FROM public.tenant_deployments d
		WHERE d.organization_id = $1 AND d.seq < $2 ORDER BY d.seq DESC LIMIT $3`, []any{uuidOrNull(organizationID), before}}.read(ctx, t)
}

// InsertDeployment implements store.Deployments.
func (t *tx) InsertDeployment(ctx context.Context, d berth.Deployment) error {
	if err := t.MayWrite(d.OrganizationID); err != nil {
		return err
	}
	values, err := row.DeploymentValues(encoding, d)
	if err != nil {
		return fault(ctx, err, "insert deployment")
	}
	_, err = t.guarded(ctx, `WITH told AS (SELECT pg_notify('`+notifyChannel+`', $24 || ' ' || $2::text))
		INSERT INTO public.tenant_deployments (id, organization_id, status, generation, previous_image_tag, new_image_tag,
		previous_config, new_config, want, previous_want, can_rollback, rollback_deployment_id, volumes, error_message,
		deployment_notes, started_at, completed_at, steps, container_id, deployment_type, deployed_by_actor, created_at, adopt)
		SELECT $1, $2::text::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23 FROM told`,
		append(values, d.TenantID, string(d.Type), row.OrNull(d.By), stamp(d.CreatedAt), d.Adopt, t.store)...)
	if constraint, _ := violated(err, uniqueViolation); constraint == "tenant_deployments_open" {
		return row.DeploymentUnderWay()
	}
	if isDangling(err) {
		return row.NoTenant(d.OrganizationID)
	}
	return fault(ctx, err, "insert deployment")
}

// UpdateDeployment implements store.Deployments. Whose it is, what type it
// has, who ordered it and when, and whether it may adopt, stay as they were
// inserted.
func (t *tx) UpdateDeployment(ctx context.Context, d berth.Deployment) error {
	if err := t.MayWrite(d.OrganizationID); err != nil {
		return err
	}
	values, err := row.DeploymentValues(encoding, d)
	if err != nil {
		return fault(ctx, err, "update deployment")
	}
	changed, err := t.exec(ctx, `UPDATE public.tenant_deployments SET status = $3, generation = $4,
		previous_image_tag = $5, new_image_tag = $6, previous_config = $7, new_config = $8, want = $9, previous_want = $10,
		can_rollback = $11, rollback_deployment_id = $12, volumes = $13, error_message = $14, deployment_notes = $15,
		started_at = $16, completed_at = $17, steps = $18
		WHERE id = $1 AND organization_id = $2::text::uuid AND status = 'pending'`, values...)
	switch {
	case err != nil:
		return fault(ctx, err, "update deployment")
	case changed > 0 && d.Status == berth.DeploymentSuperseded: // by whom else than who carries it out
		return t.ring(ctx, d.OrganizationID)
	case changed > 0:
		return nil
	}
	var there int
	ok, err := t.one(ctx, []any{&there}, `SELECT 1 FROM public.tenant_deployments WHERE id = $1 AND organization_id = $2`, d.ID, d.OrganizationID)
	if err != nil {
		return fault(ctx, err, "update deployment")
	}
	if !ok {
		return row.NoDeployment(d.ID)
	}
	return row.Stale("The deployment")
}

// OpenDeployments implements store.Deployments.
func (t *tx) OpenDeployments(ctx context.Context, engine berth.Maybe[string]) (map[string]string, error) {
	mine, org := narrowed(t.Scope(), "d.organization_id", "$1")
	open := make(map[string]string)
	err := t.many(ctx, func(rows pgx.Rows) error {
		var organizationID, id string
		err := rows.Scan(&organizationID, &id)
		open[organizationID] = id
		return err
	}, `SELECT d.organization_id, d.id FROM public.tenant_deployments d
		WHERE d.status = 'pending' AND `+mine+` AND (SELECT $2::text IS NULL OR c.engine_id IS NOT DISTINCT FROM nullif($2, '')
			FROM public.tenant_containers c WHERE c.id = d.container_id AND c.deprovisioned_at IS NULL)`, // no join: they are few
		org, engine.Pointer())
	return open, fault(ctx, err, "list open deployments")
}

// texts reads a column of text or ids.
func (t *tx) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	list := []string{}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var s string
		err := rows.Scan(&s)
		list = append(list, s)
		return err
	}, query, args...)
	return list, err
}
