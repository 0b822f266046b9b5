package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// probeJSON is a probe on its way into the database: many are written by one
// statement, which takes them as one parameter.
type probeJSON struct {
	ID       string    `json:"id"`
	Org      string    `json:"org"`
	At       time.Time `json:"at"`
	Status   string    `json:"status"`
	Took     any       `json:"took"`
	Code     any       `json:"code"`
	Cause    any       `json:"cause"`
	CPU      *float64  `json:"cpu"`
	Memory   *int      `json:"memory"`
	Disk     *int      `json:"disk"`
	Type     any       `json:"type"`
	Endpoint any       `json:"endpoint"`
}

// insertProbes writes rows of living tenants, in their order, and returns how
// many.
func (t *tx) insertProbes(ctx context.Context, probes []berth.Probe) (int64, error) {
	rows := make([]probeJSON, 0, len(probes))
	for _, p := range probes {
		rows = append(rows, probeJSON{
			berth.NewHistoryID(p.CheckedAt), p.OrganizationID, p.CheckedAt.UTC().Truncate(time.Microsecond), string(p.Status), row.OrNull(row.Milliseconds(p.ResponseTime)),
			row.OrNull(p.HTTPStatus), row.OrNull(p.Cause), p.CPUPercent.Pointer(), p.MemoryMB.Pointer(), p.DiskMB.Pointer(), row.OrNull(p.Type), row.OrNull(p.Endpoint),
		})
	}
	list, err := encodeJSON(rows)
	if err != nil {
		return 0, err
	}
	return t.exec(ctx, `INSERT INTO public.tenant_health (id, container_id, organization_id, checked_at, status, response_time_ms,
		http_status_code, error_message, cpu_usage_percent, memory_usage_mb, disk_usage_mb, check_type, check_endpoint, created_at)
		SELECT p.id, c.id, p.org, p.at, p.status, p.took, p.code, p.cause, p.cpu, p.memory, p.disk, p.type, p.endpoint, p.at
		FROM ROWS FROM (json_to_recordset($1::json) AS (id uuid, org uuid, at timestamptz, status text, took integer, code integer, cause text,
			cpu numeric, memory bigint, disk bigint, type text, endpoint text)) WITH ORDINALITY
			AS p (id, org, at, status, took, code, cause, cpu, memory, disk, type, endpoint, place)
		JOIN public.tenant_containers c ON c.organization_id = p.org AND c.deprovisioned_at IS NULL ORDER BY p.place`, list)
}

// RecordProbes implements store.Health.
func (t *tx) RecordProbes(ctx context.Context, probes []berth.Probe) error {
	newest := map[string]time.Time{}
	for _, p := range probes {
		if err := t.MayWrite(p.OrganizationID); err != nil {
			return err
		}
		if at := p.CheckedAt.UTC().Truncate(time.Microsecond); newest[p.OrganizationID].Before(at) {
			newest[p.OrganizationID] = at
		}
	}
	if len(probes) == 0 {
		return nil
	}
	if _, err := t.insertProbes(ctx, probes); err != nil {
		return fault(ctx, err, "write probes")
	}
	checked, err := encodeJSON(newest)
	if err == nil {
		// The array has each tenant found by the index, not all of them read.
		_, err = t.exec(ctx, `UPDATE public.tenant_containers c SET last_health_check_at = n.value::timestamptz FROM json_each_text($1::json) n
			WHERE c.organization_id = n.key::uuid AND c.deprovisioned_at IS NULL
			AND c.organization_id = ANY (ARRAY(SELECT k::uuid FROM json_object_keys($1::json) k))
			AND (c.last_health_check_at IS NULL OR c.last_health_check_at < n.value::timestamptz)`, checked)
	}
	return fault(ctx, err, "note last check")
}

const healthColumns = `container_id, organization_id, resolution, period_start, healthy_count, unhealthy_count, timeout_count,
	response_time_ms_total, response_time_ms_max`

func scanPeriods(list *[]berth.HealthPeriod) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var h berth.HealthPeriod
		err := rows.Scan(&h.TenantID, &h.OrganizationID, row.Text(&h.Resolution), row.Time(&h.Start), &h.Healthy, &h.Unhealthy, &h.Timeouts,
			row.InMilliseconds(&h.ResponseTotal), row.InMilliseconds(&h.ResponseMax))
		*list = append(*list, h)
		return err
	}
}

// SumHealth implements store.Health.
func (t *tx) SumHealth(ctx context.Context, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error) {
	list := []berth.HealthPeriod{}
	mine, org := narrowed(t.Scope(), "organization_id", "$3")
	var err error
	switch r {
	case berth.ByHour:
		err = t.many(ctx, scanPeriods(&list), `SELECT container_id, organization_id, 'hour', NULL::timestamptz,
			count(*) FILTER (WHERE status = 'healthy'), count(*) FILTER (WHERE status = 'unhealthy'),
			count(*) FILTER (WHERE status = 'timeout'), sum(coalesce(response_time_ms, 0))::bigint, max(coalesce(response_time_ms, 0))
			FROM public.tenant_health WHERE checked_at >= $1 AND checked_at < $2 AND `+mine+`
			GROUP BY organization_id, container_id ORDER BY organization_id, container_id`, stamp(from), stamp(to), org)
	case berth.ByDay:
		err = t.many(ctx, scanPeriods(&list), `SELECT container_id, organization_id, 'day', NULL::timestamptz,
			sum(healthy_count)::bigint, sum(unhealthy_count)::bigint, sum(timeout_count)::bigint, sum(response_time_ms_total)::bigint, max(response_time_ms_max)
			FROM berth.tenant_health_rollups WHERE resolution = 'hour' AND period_start >= $1 AND period_start < $2 AND `+mine+`
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
	if len(periods) == 0 {
		return nil
	}
	rows := make([]periodJSON, 0, len(periods))
	for _, h := range periods {
		if err := t.MayWrite(h.OrganizationID); err != nil {
			return err
		}
		rows = append(rows, periodJSON{h.TenantID, h.OrganizationID, string(h.Resolution), h.Start.UTC().Truncate(time.Microsecond),
			h.Healthy, h.Unhealthy, h.Timeouts, row.Milliseconds(h.ResponseTotal), row.Milliseconds(h.ResponseMax)})
	}
	list, err := encodeJSON(rows)
	if err != nil {
		return fault(ctx, err, "write health periods")
	}
	// Of two for one period, the later one stands, as one after the other would
	// leave it; one statement can't change a row twice.
	_, err = t.guarded(ctx, `INSERT INTO berth.tenant_health_rollups AS r (`+healthColumns+`)
		SELECT DISTINCT ON (tenant, resolution, start) tenant, org, resolution, start, healthy, unhealthy, timeouts, total, most
		FROM ROWS FROM (json_to_recordset($1::json) AS (tenant uuid, org uuid, resolution text, start timestamptz, healthy bigint, unhealthy bigint,
			timeouts bigint, total bigint, most bigint)) WITH ORDINALITY
			AS p (tenant, org, resolution, start, healthy, unhealthy, timeouts, total, most, place)
		ORDER BY tenant, resolution, start, place DESC
		ON CONFLICT (container_id, resolution, period_start) DO UPDATE SET healthy_count = excluded.healthy_count,
		unhealthy_count = excluded.unhealthy_count, timeout_count = excluded.timeout_count,
		response_time_ms_total = excluded.response_time_ms_total, response_time_ms_max = excluded.response_time_ms_max
		WHERE r.organization_id = excluded.organization_id
			AND excluded.healthy_count + excluded.unhealthy_count + excluded.timeout_count >= r.healthy_count + r.unhealthy_count + r.timeout_count`, list)
	if isDangling(err) {
		return row.NoTenant(periods[0].OrganizationID)
	}
	return fault(ctx, err, "write health periods")
}

// ListHealth implements store.Health.
func (t *tx) ListHealth(ctx context.Context, organizationID string, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error) {
	list := []berth.HealthPeriod{}
	if !t.MaySee(organizationID) {
		return list, nil
	}
	err := t.many(ctx, scanPeriods(&list), `SELECT `+healthColumns+` FROM berth.tenant_health_rollups
		WHERE organization_id = $1 AND resolution = $2 AND period_start >= $3 AND period_start < $4 ORDER BY period_start, container_id`,
		uuidOrNull(organizationID), string(r), stamp(from), stamp(to))
	return list, fault(ctx, err, "list health periods")
}

// HealthSpan implements store.Health.
func (t *tx) HealthSpan(ctx context.Context, r berth.Resolution, before time.Time) (oldest, newest time.Time, err error) {
	if !t.Everything() {
		return oldest, newest, nil
	}
	if r == "" {
		_, err = t.one(ctx, []any{row.Time(&oldest), row.Time(&newest)},
			`SELECT min(checked_at), max(checked_at) FROM public.tenant_health WHERE checked_at < $1`, stamp(before))
	} else {
		_, err = t.one(ctx, []any{row.Time(&oldest), row.Time(&newest)}, `SELECT min(period_start), max(period_start)
			FROM berth.tenant_health_rollups WHERE resolution = $1 AND period_start < $2`, string(r), stamp(before))
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
		n, err = t.exec(ctx, `DELETE FROM public.tenant_health WHERE seq IN
			(SELECT seq FROM public.tenant_health WHERE checked_at < $1 ORDER BY checked_at, seq LIMIT $2)`, stamp(before), limit)
	} else {
		n, err = t.exec(ctx, `DELETE FROM berth.tenant_health_rollups WHERE (container_id, resolution, period_start) IN
			(SELECT container_id, resolution, period_start FROM berth.tenant_health_rollups
			WHERE resolution = $1 AND period_start < $2 ORDER BY period_start LIMIT $3)`, string(r), stamp(before), limit)
	}
	return int(n), fault(ctx, err, "drop health")
}

// periodJSON is a period on its way into the database.
type periodJSON struct {
	Tenant     string    `json:"tenant"`
	Org        string    `json:"org"`
	Resolution string    `json:"resolution"`
	Start      time.Time `json:"start"`
	Healthy    int       `json:"healthy"`
	Unhealthy  int       `json:"unhealthy"`
	Timeouts   int       `json:"timeouts"`
	Total      int64     `json:"total"`
	Most       int64     `json:"most"`
}
