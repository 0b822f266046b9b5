package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// sumUsage sums what berth.AverageUsage does. Its parts are the finer periods of a
// tenant, and one of the coarser that they are added to.
const sumUsage = `WITH parts AS (
	SELECT *, extract(epoch FROM period_end - period_start)::float8 AS length FROM public.tenant_resource_usage
		WHERE organization_id = $1 AND resolution = $2 AND period_start >= $3 AND period_start < $4 AND period_end > period_start
	UNION ALL
	SELECT *, extract(epoch FROM period_end - period_start)::float8 FROM public.tenant_resource_usage
		WHERE organization_id = $1 AND resolution = $5 AND period_start = $6 AND period_end > period_start)
	SELECT min(period_start), max(period_end),
	sum(cpu_usage_percent_avg::float8 * length) / sum(length) FILTER (WHERE cpu_usage_percent_avg IS NOT NULL),
	max(cpu_usage_percent_max)::float8, sum(cpu_throttling_count)::bigint,
	floor(sum(memory_usage_bytes_avg * length) / sum(length) FILTER (WHERE memory_usage_bytes_avg IS NOT NULL) + 0.5)::bigint,
	max(memory_usage_bytes_max), (array_agg(memory_limit_mb ORDER BY period_start DESC) FILTER (WHERE memory_limit_mb IS NOT NULL))[1],
	sum(oom_kill_count)::bigint, sum(network_rx_bytes)::bigint, sum(network_tx_bytes)::bigint,
	(array_agg(disk_usage_bytes ORDER BY period_end DESC) FILTER (WHERE disk_usage_bytes IS NOT NULL))[1],
	sum(disk_io_read_bytes)::bigint, sum(disk_io_write_bytes)::bigint, sum(request_count)::bigint, sum(error_count)::bigint,
	floor(sum(avg_response_time_us::float8 * request_count)
		/ nullif(sum(request_count) FILTER (WHERE avg_response_time_us IS NOT NULL), 0)::float8 + 0.5)::bigint,
	sum(samples)::bigint
	FROM parts GROUP BY date_trunc($5, period_start AT TIME ZONE 'UTC') ORDER BY 1`

// SumUsage implements store.Usages.
func (t *tx) SumUsage(ctx context.Context, s store.UsageSum) ([]berth.Usage, error) {
	list := []berth.Usage{}
	if !t.MaySee(s.OrganizationID) {
		return list, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		u := berth.Usage{OrganizationID: s.OrganizationID, Resolution: s.To}
		err := row.ScanUsage(rows.Scan, &u)
		list = append(list, u)
		return err
	}, sumUsage, uuidOrNull(s.OrganizationID), string(s.From), stamp(s.Begin), stamp(s.End), string(s.To), stamp(s.And))
	return list, fault(ctx, err, "sum usage")
}
