package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/unite-hub/berth/internal/store"
)

// LongHistories implements store.Histories.
func (t *tx) LongHistories(ctx context.Context, keep int) ([]string, error) {
	if !t.System() {
		return []string{}, nil
	}
	list, err := t.texts(ctx, `SELECT o.id FROM organizations o WHERE (SELECT d.seq FROM tenant_deployments d
		WHERE d.organization_id = o.id ORDER BY d.seq LIMIT 1 OFFSET ?) IS NOT NULL ORDER BY o.id`, keep)
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
	ok, err := t.one(ctx, []any{&oldest}, `SELECT seq FROM tenant_deployments WHERE organization_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?`,
		s.OrganizationID, s.Keep-1)
	if err != nil || !ok {
		return []string{}, fault(ctx, err, "list surplus deployments")
	}
	const surplus = ` WHERE d.organization_id = ?1 AND d.seq < ?2 AND d.status <> 'pending'
		AND d.id NOT IN (SELECT value FROM json_each(?3))
		AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.deployment_id = d.id)
		AND NOT EXISTS (SELECT 1 FROM tenant_deployments r WHERE r.rollback_deployment_id = d.id AND r.seq >= ?2)
		ORDER BY d.seq DESC LIMIT ?4`
	query, args := `SELECT d.id FROM tenant_deployments d`+surplus, []any{s.OrganizationID, oldest, spare, s.Limit}
	if s.Among != nil {
		among, err := encodeJSON(s.Among)
		if err != nil {
			return nil, fault(ctx, err, "list surplus deployments")
		}
		// The ids come first, or SQLite would walk the history for them.
		query, args = `SELECT d.id FROM json_each(?5) j CROSS JOIN tenant_deployments d ON d.id = j.value`+surplus, append(args, among)
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
		`UPDATE tenant_deployments SET rollback_deployment_id = NULL WHERE rollback_deployment_id IN (SELECT value FROM json_each(?))`,
		`DELETE FROM tenant_deployments WHERE id IN (SELECT value FROM json_each(?)) AND status <> 'pending'`,
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
	list, err := t.texts(ctx, `SELECT v.id FROM secret_versions v WHERE v.organization_id = ?1 AND v.id NOT IN (
		SELECT e.value FROM tenant_containers c, json_each(c.environment_vars) e
		WHERE c.organization_id = ?1 AND c.deprovisioned_at IS NULL AND e.value IS NOT NULL
		UNION ALL SELECT e.value FROM tenant_containers c, json_each(c.environment_vars) e
		WHERE c.organization_id = ?1 AND c.deprovisioned_at IS NOT NULL AND e.value IS NOT NULL
		UNION ALL SELECT e.value FROM tenant_deployments d, json_each(d.new_config, '$.environment') e
		WHERE d.organization_id = ?1 AND e.value IS NOT NULL
		UNION ALL SELECT e.value FROM tenant_deployments d, json_each(d.previous_config, '$.environment') e
		WHERE d.organization_id = ?1 AND e.value IS NOT NULL) LIMIT ?2`, organizationID, limit)
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
	_, err = t.exec(ctx, `DELETE FROM secret_versions WHERE id IN (SELECT value FROM json_each(?))`, named)
	return fault(ctx, err, "drop secrets")
}

// mayGo is which tombstones c from before ?1 may go.
const mayGo = `c.deprovisioned_at < ?1
	AND NOT EXISTS (SELECT 1 FROM volumes v WHERE v.organization_id = c.organization_id AND v.deleted_at IS NULL
		AND (v.kept_at IS NOT NULL OR NOT EXISTS (SELECT 1 FROM tenant_containers l
			WHERE l.organization_id = c.organization_id AND l.deprovisioned_at IS NULL)))
	AND NOT EXISTS (SELECT 1 FROM tenant_deployments o WHERE o.container_id = c.id AND o.status = 'pending')`

// OldTombstones implements store.Tombstones.
func (t *tx) OldTombstones(ctx context.Context, before time.Time) ([]store.Removed, error) {
	list := []store.Removed{}
	if !t.System() {
		return list, nil
	}
	err := t.many(ctx, func(rows *sql.Rows) error {
		var r store.Removed
		err := rows.Scan(&r.TenantID, &r.OrganizationID)
		list = append(list, r)
		return err
	}, `SELECT c.id, c.organization_id FROM tenant_containers c WHERE `+mayGo+` ORDER BY c.deprovisioned_at`, stamp(before))
	return list, fault(ctx, err, "list old tombstones")
}

// EmptyTombstone implements store.Tombstones.
func (t *tx) EmptyTombstone(ctx context.Context, r store.Removed, before time.Time, limit int) (n int, err error) {
	if err := t.MayTrim(); err != nil {
		return 0, err
	}
	var there int
	ok, err := t.one(ctx, []any{&there}, `SELECT 1 FROM tenant_containers c WHERE c.id = ?2 AND `+mayGo, stamp(before), r.TenantID)
	if err != nil || !ok {
		return 0, fault(ctx, err, "empty tombstone")
	}
	for _, statement := range []string{
		`DELETE FROM tenant_health_rollups WHERE (container_id, resolution, period_start) IN (SELECT container_id, resolution, period_start
			FROM tenant_health_rollups WHERE organization_id = ?1 AND container_id = ?2 LIMIT ?3)`,
		`DELETE FROM tenant_health WHERE seq IN (SELECT seq FROM tenant_health WHERE organization_id = ?1 AND container_id = ?2 LIMIT ?3)`,
		`DELETE FROM tenant_resource_usage WHERE id IN (SELECT id FROM tenant_resource_usage WHERE organization_id = ?1 AND container_id = ?2 LIMIT ?3)`,
	} {
		dropped, err := t.exec(ctx, statement, r.OrganizationID, r.TenantID, limit-n)
		if err != nil {
			return n, fault(ctx, err, "empty tombstone")
		}
		if n += int(dropped); n >= limit {
			return n, nil
		}
	}
	ids, err := t.texts(ctx, `SELECT d.id FROM tenant_deployments d WHERE d.organization_id = ?1 AND d.container_id = ?2
		AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.deployment_id = d.id) ORDER BY d.seq DESC LIMIT ?3`, r.OrganizationID, r.TenantID, limit-n)
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
	_, err := t.exec(ctx, `DELETE FROM tenant_containers AS c WHERE c.id = ?2 AND `+mayGo+`
		AND NOT EXISTS (SELECT 1 FROM tenant_deployments d WHERE d.container_id = c.id)`, stamp(before), r.TenantID)
	return fault(ctx, err, "drop tombstone")
}

// ForgetTokens implements store.Tokens.
func (t *tx) ForgetTokens(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayTrim(); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < ?1
		UNION ALL SELECT id FROM tokens WHERE revoked_at < ?1 AND (expires_at IS NULL OR expires_at >= ?1) LIMIT ?2)`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget tokens")
}

// ForgetInvitations implements store.Invitations.
func (t *tx) ForgetInvitations(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayTrim(); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM invitations WHERE id IN (SELECT id FROM invitations WHERE expires_at < ?1
		UNION ALL SELECT id FROM invitations WHERE revoked_at < ?1 AND expires_at >= ?1 LIMIT ?2)`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget invitations")
}

// texts reads the one column of each row.
func (t *tx) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	list := []string{}
	err := t.many(ctx, func(rows *sql.Rows) error {
		var s string
		err := rows.Scan(&s)
		list = append(list, s)
		return err
	}, query, args...)
	return list, err
}
