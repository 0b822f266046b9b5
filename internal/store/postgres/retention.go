package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth/internal/store"
)

// LongHistories implements store.Histories.
func (t *tx) LongHistories(ctx context.Context, keep int) ([]string, error) {
	if !t.System() {
		return []string{}, nil
	}
	list, err := t.texts(ctx, `SELECT o.id FROM public.organizations o WHERE (SELECT d.seq FROM public.tenant_deployments d
		WHERE d.organization_id = o.id ORDER BY d.seq LIMIT 1 OFFSET $1) IS NOT NULL ORDER BY o.id`, keep)
	return list, fault(ctx, err, "list long histories")
}

// SurplusDeployments implements store.Histories.
func (t *tx) SurplusDeployments(ctx context.Context, s store.Surplus) ([]string, error) {
	if !t.System() || s.Keep <= 0 {
		return []string{}, nil
	}
	spare, err := encodeJSON(append([]string{}, s.Spare...))
	if err != nil {
		return nil, fault(ctx, err, "list surplus deployments")
	}
	var oldest int64 // of those that stay
	ok, err := t.one(ctx, []any{&oldest}, `SELECT seq FROM public.tenant_deployments WHERE organization_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2`,
		s.OrganizationID, s.Keep-1)
	if err != nil || !ok {
		return []string{}, fault(ctx, err, "list surplus deployments")
	}
	const surplus = ` WHERE d.organization_id = $1 AND d.seq < $2 AND d.status <> 'pending'
		AND d.id <> ALL (ARRAY(SELECT jsonb_array_elements_text($3::jsonb)::uuid))
		AND NOT EXISTS (SELECT 1 FROM berth.requests r WHERE r.deployment_id = d.id)
		AND NOT EXISTS (SELECT 1 FROM public.tenant_deployments r WHERE r.rollback_deployment_id = d.id AND r.seq >= $2)
		ORDER BY d.seq DESC LIMIT $4`
	query, args := `SELECT d.id FROM public.tenant_deployments d`+surplus, []any{s.OrganizationID, oldest, spare, s.Limit}
	if s.Among != nil {
		among, err := encodeJSON(s.Among)
		if err != nil {
			return nil, fault(ctx, err, "list surplus deployments")
		}
		// OFFSET 0 has them found by their ids first: the planner may take the history for shorter than it is.
		query, args = `SELECT d.id FROM (SELECT id, organization_id, seq, status FROM public.tenant_deployments
			WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text($5::jsonb)::uuid)) OFFSET 0) d`+surplus, append(args, among)
	}
	list, err := t.texts(ctx, query, args...)
	return list, fault(ctx, err, "list surplus deployments")
}

// DropDeployments implements store.Histories.
func (t *tx) DropDeployments(ctx context.Context, ids []string) error {
	if err := t.MayTrim(); err != nil {
		return err
	}
	named, err := encodeJSON(append([]string{}, ids...))
	if err != nil {
		return fault(ctx, err, "drop deployments")
	}
	for _, statement := range []string{
		`UPDATE public.tenant_deployments SET rollback_deployment_id = NULL WHERE rollback_deployment_id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)::uuid))`,
		`DELETE FROM public.tenant_deployments WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)::uuid)) AND status <> 'pending'`,
	} {
		if _, err := t.exec(ctx, statement, named); err != nil {
			return fault(ctx, err, "drop deployments")
		}
	}
	return nil
}

// UnusedSecrets implements store.Histories.
func (t *tx) UnusedSecrets(ctx context.Context, organizationID string, limit int) ([]string, error) {
	if !t.System() {
		return []string{}, nil
	}
	list, err := t.texts(ctx, `SELECT v.id FROM berth.secret_versions v WHERE v.organization_id = $1 AND v.id NOT IN (
		SELECT e.value FROM public.tenant_containers c CROSS JOIN LATERAL jsonb_each_text(
			CASE jsonb_typeof(c.environment_vars) WHEN 'object' THEN c.environment_vars ELSE '{}' END) e
		WHERE c.organization_id = $1 AND e.value IS NOT NULL
		UNION ALL SELECT e.value FROM public.tenant_deployments d
		CROSS JOIN LATERAL (VALUES (d.new_config -> 'environment'), (d.previous_config -> 'environment')) s (environment)
		CROSS JOIN LATERAL jsonb_each_text(CASE jsonb_typeof(s.environment) WHEN 'object' THEN s.environment ELSE '{}' END) e
		WHERE d.organization_id = $1 AND e.value IS NOT NULL) LIMIT $2`, organizationID, limit)
	return list, fault(ctx, err, "list unused secrets")
}

// DropSecrets implements store.Histories.
func (t *tx) DropSecrets(ctx context.Context, ids []string) error {
	if err := t.MayTrim(); err != nil {
		return err
	}
	named, err := encodeJSON(append([]string{}, ids...))
	if err != nil {
		return fault(ctx, err, "drop secrets")
	}
	_, err = t.exec(ctx, `DELETE FROM berth.secret_versions WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))`, named)
	return fault(ctx, err, "drop secrets")
}

// mayGo is which tombstones c from before $1 may go.
const mayGo = `c.deprovisioned_at < $1
	AND NOT EXISTS (SELECT 1 FROM berth.volumes v WHERE v.organization_id = c.organization_id AND v.deleted_at IS NULL
		AND (v.kept_at IS NOT NULL OR NOT EXISTS (SELECT 1 FROM public.tenant_containers l
			WHERE l.organization_id = c.organization_id AND l.deprovisioned_at IS NULL)))
	AND NOT EXISTS (SELECT 1 FROM public.tenant_deployments o WHERE o.container_id = c.id AND o.status = 'pending')`

// OldTombstones implements store.Tombstones.
func (t *tx) OldTombstones(ctx context.Context, before time.Time) ([]store.Removed, error) {
	list := []store.Removed{}
	if !t.System() {
		return list, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var r store.Removed
		err := rows.Scan(&r.TenantID, &r.OrganizationID)
		list = append(list, r)
		return err
	}, `SELECT c.id, c.organization_id FROM public.tenant_containers c WHERE `+mayGo+` ORDER BY c.deprovisioned_at`, stamp(before))
	return list, fault(ctx, err, "list old tombstones")
}

// EmptyTombstone implements store.Tombstones.
func (t *tx) EmptyTombstone(ctx context.Context, r store.Removed, before time.Time, limit int) (n int, err error) {
	if err := t.MayTrim(); err != nil {
		return 0, err
	}
	var there int
	ok, err := t.one(ctx, []any{&there}, `SELECT 1 FROM public.tenant_containers c WHERE c.id = $2 AND `+mayGo, stamp(before), r.TenantID)
	if err != nil || !ok {
		return 0, fault(ctx, err, "empty tombstone")
	}
	for _, statement := range []string{
		`DELETE FROM berth.tenant_health_rollups WHERE (container_id, resolution, period_start) IN (SELECT container_id, resolution, period_start
			FROM berth.tenant_health_rollups WHERE organization_id = $1 AND container_id = $2 LIMIT $3)`,
		`DELETE FROM public.tenant_health WHERE seq IN (SELECT seq FROM public.tenant_health WHERE organization_id = $1 AND container_id = $2 LIMIT $3)`,
		`DELETE FROM public.tenant_resource_usage WHERE id IN (SELECT id FROM public.tenant_resource_usage WHERE organization_id = $1 AND container_id = $2 LIMIT $3)`,
	} {
		dropped, err := t.exec(ctx, statement, r.OrganizationID, r.TenantID, limit-n)
		if err != nil {
			return n, fault(ctx, err, "empty tombstone")
		}
		if n += int(dropped); n >= limit {
			return n, nil
		}
	}
	ids, err := t.texts(ctx, `SELECT d.id FROM public.tenant_deployments d WHERE d.organization_id = $1 AND d.container_id = $2
		AND NOT EXISTS (SELECT 1 FROM berth.requests r WHERE r.deployment_id = d.id) ORDER BY d.seq DESC LIMIT $3`, r.OrganizationID, r.TenantID, limit-n)
	if err != nil || len(ids) == 0 {
		return n, fault(ctx, err, "empty tombstone")
	}
	return n + len(ids), t.DropDeployments(ctx, ids)
}

// DropTombstone implements store.Tombstones.
func (t *tx) DropTombstone(ctx context.Context, r store.Removed, before time.Time) error {
	if err := t.MayTrim(); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM public.tenant_containers AS c WHERE c.id = $2 AND `+mayGo+`
		AND NOT EXISTS (SELECT 1 FROM public.tenant_deployments d WHERE d.container_id = c.id)`, stamp(before), r.TenantID)
	return fault(ctx, err, "drop tombstone")
}

// ForgetTokens implements store.Tokens.
func (t *tx) ForgetTokens(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayTrim(); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.tokens WHERE id = ANY (ARRAY((SELECT id FROM berth.tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
		UNION ALL (SELECT id FROM berth.tokens WHERE revoked_at < $1 AND (expires_at IS NULL OR expires_at >= $1) ORDER BY revoked_at LIMIT $2) LIMIT $2))`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget tokens")
}

// ForgetInvitations implements store.Invitations.
func (t *tx) ForgetInvitations(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayTrim(); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.invitations WHERE id = ANY (ARRAY((SELECT id FROM berth.invitations WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
		UNION ALL (SELECT id FROM berth.invitations WHERE revoked_at < $1 AND expires_at >= $1 ORDER BY revoked_at LIMIT $2) LIMIT $2))`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget invitations")
}
