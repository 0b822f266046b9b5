package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// RecordProbes implements store.Health.
func (t *tx) RecordProbes(ctx context.Context, probes []berth.Probe) error {
	for _, p := range probes {
		if err := t.MayWrite(p.OrganizationID); err != nil {
			return err
		}
	}
	for _, p := range probes {
		n, err := t.insertProbe(ctx, p)
		if err != nil {
			return fault(ctx, err, "write probe")
		}
		if n == 0 {
			continue // deprovisioned meanwhile
		}
		if _, err := t.exec(ctx, `UPDATE tenant_containers SET last_health_check_at = ?2
			WHERE organization_id = ?1 AND deprovisioned_at IS NULL AND (last_health_check_at IS NULL OR last_health_check_at < ?2)`,
			p.OrganizationID, stamp(p.CheckedAt)); err != nil {
			return fault(ctx, err, "note last check")
		}
	}
	return nil
}

const healthColumns = `container_id, organization_id, resolution, period_start, healthy_count, unhealthy_count, timeout_count,
	response_time_ms_total, response_time_ms_max`

func scanPeriods(list *[]berth.HealthPeriod) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var h berth.HealthPeriod
		var total, most int64
		err := rows.Scan(&h.TenantID, &h.OrganizationID, row.Text(&h.Resolution), row.Time(&h.Start), &h.Healthy, &h.Unhealthy, &h.Timeouts, &total, &most)
		h.ResponseTotal, h.ResponseMax = time.Duration(total)*time.Millisecond, time.Duration(most)*time.Millisecond
		*list = append(*list, h)
		return err
	}
}

// SumHealth implements store.Health.
func (t *tx) SumHealth(ctx context.Context, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error) {
	list := []berth.HealthPeriod{}
	mine, org := narrowed(t.Scope(), "organization_id", "?3")
	var err error
	switch r {
	case berth.ByHour:
		err = t.many(ctx, scanPeriods(&list), `SELECT container_id, organization_id, 'hour', NULL,
			sum(CASE WHEN status = 'healthy' THEN 1 ELSE 0 END), sum(CASE WHEN status = 'unhealthy' THEN 1 ELSE 0 END),
			sum(CASE WHEN status = 'timeout' THEN 1 ELSE 0 END), sum(coalesce(response_time_ms, 0)), max(coalesce(response_time_ms, 0))
			FROM tenant_health WHERE checked_at >= ?1 AND checked_at < ?2 AND `+mine+`
			GROUP BY organization_id, container_id ORDER BY organization_id, container_id`, stamp(from), stamp(to), org)
	case berth.ByDay:
		err = t.many(ctx, scanPeriods(&list), `SELECT container_id, organization_id, 'day', NULL,
			sum(healthy_count), sum(unhealthy_count), sum(timeout_count), sum(response_time_ms_total), max(response_time_ms_max)
			FROM tenant_health_rollups WHERE resolution = 'hour' AND period_start >= ?1 AND period_start < ?2 AND `+mine+`
			GROUP BY organization_id, container_id ORDER BY organization_id, container_id`, stamp(from), stamp(to), org)
	default:
		return nil, row.NotSummedBy(r)
	}
	for i := range list {
		list[i].Start = from.UTC()
	}
	return list, fault(ctx, err, "sum health")
}

// PutHealth implements store.Health.
func (t *tx) PutHealth(ctx context.Context, periods []berth.HealthPeriod) error {
	for _, h := range periods {
		if err := t.MayWrite(h.OrganizationID); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO tenant_health_rollups (`+healthColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (container_id, resolution, period_start) DO UPDATE SET healthy_count = excluded.healthy_count,
			unhealthy_count = excluded.unhealthy_count, timeout_count = excluded.timeout_count,
			response_time_ms_total = excluded.response_time_ms_total, response_time_ms_max = excluded.response_time_ms_max
			WHERE tenant_health_rollups.organization_id = excluded.organization_id
			AND excluded.healthy_count + excluded.unhealthy_count + excluded.timeout_count >= tenant_health_rollups.healthy_count + tenant_health_rollups.unhealthy_count + tenant_health_rollups.timeout_count`,
			h.TenantID, h.OrganizationID, string(h.Resolution), stamp(h.Start), h.Healthy, h.Unhealthy, h.Timeouts,
			row.Milliseconds(h.ResponseTotal), row.Milliseconds(h.ResponseMax))
		if isDangling(err) {
			return row.NoTenant(h.OrganizationID)
		}
		if err != nil {
			return fault(ctx, err, "write health period")
		}
	}
	return nil
}

// ListHealth implements store.Health.
func (t *tx) ListHealth(ctx context.Context, organizationID string, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error) {
	list := []berth.HealthPeriod{}
	if !t.MaySee(organizationID) {
		return list, nil
	}
	err := t.many(ctx, scanPeriods(&list), `SELECT `+healthColumns+` FROM tenant_health_rollups
		WHERE organization_id = ? AND resolution = ? AND period_start >= ? AND period_start < ? ORDER BY period_start, container_id`,
		organizationID, string(r), stamp(from), stamp(to))
	return list, fault(ctx, err, "list health periods")
}

// HealthSpan implements store.Health.
func (t *tx) HealthSpan(ctx context.Context, r berth.Resolution, before time.Time) (oldest, newest time.Time, err error) {
	if !t.Everything() {
		return oldest, newest, nil
	}
	// Plain columns: of an expression, the driver guesses whether it is a time.
	if r == "" {
		if _, err = t.one(ctx, []any{row.Time(&oldest)}, `SELECT checked_at FROM tenant_health WHERE checked_at < ? ORDER BY checked_at LIMIT 1`, stamp(before)); err == nil {
			_, err = t.one(ctx, []any{row.Time(&newest)}, `SELECT checked_at FROM tenant_health WHERE checked_at < ? ORDER BY checked_at DESC LIMIT 1`, stamp(before))
		}
		return oldest, newest, fault(ctx, err, "read span of probes")
	}
	if _, err = t.one(ctx, []any{row.Time(&oldest)}, `SELECT period_start FROM tenant_health_rollups
		WHERE resolution = ? AND period_start < ? ORDER BY period_start LIMIT 1`, string(r), stamp(before)); err == nil {
		_, err = t.one(ctx, []any{row.Time(&newest)}, `SELECT period_start FROM tenant_health_rollups
			WHERE resolution = ? AND period_start < ? ORDER BY period_start DESC LIMIT 1`, string(r), stamp(before))
	}
	return oldest, newest, fault(ctx, err, "read span of health")
}

// ForgetHealth implements store.Health.
func (t *tx) ForgetHealth(ctx context.Context, r berth.Resolution, before time.Time, limit int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	var n int64
	var err error
	if r == "" {
		n, err = t.exec(ctx, `DELETE FROM tenant_health WHERE seq IN
			(SELECT seq FROM tenant_health WHERE checked_at < ? ORDER BY checked_at, seq LIMIT ?)`, stamp(before), limit)
	} else {
		n, err = t.exec(ctx, `DELETE FROM tenant_health_rollups WHERE (container_id, resolution, period_start) IN
			(SELECT container_id, resolution, period_start FROM tenant_health_rollups
			WHERE resolution = ? AND period_start < ? ORDER BY period_start LIMIT ?)`, string(r), stamp(before), limit)
	}
	return int(n), fault(ctx, err, "drop health")
}
