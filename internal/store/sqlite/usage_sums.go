package sqlite

import (
	"context"
	"database/sql"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// usageLength is how long a period is, in microseconds: the text of a time has
// its seconds first and six digits of their parts behind.
const usageLength = `(unixepoch(period_end) - unixepoch(period_start)) * 1000000 + substr(period_end, 21, 6) - substr(period_start, 21, 6) AS length`

// sumUsage sums what berth.AverageUsage does. Its parts are the finer periods of a
// tenant, and one of the coarser that they are added to. What is wanted of the
// newest stands behind its time, of which the highest is taken.
const sumUsage = `WITH parts AS (
	SELECT *, ` + usageLength + ` FROM tenant_resource_usage
		WHERE organization_id = ?1 AND resolution = ?2 AND period_start >= ?3 AND period_start < ?4 AND period_end > period_start
	UNION ALL
	SELECT *, ` + usageLength + ` FROM tenant_resource_usage
		WHERE organization_id = ?1 AND resolution = ?5 AND period_start = ?6 AND period_end > period_start)
	SELECT min(period_start), max(period_end),
	sum(cpu_usage_percent_avg * length) / sum(length) FILTER (WHERE cpu_usage_percent_avg IS NOT NULL),
	max(cpu_usage_percent_max), sum(cpu_throttling_count),
	CAST(sum(1.0 * memory_usage_bytes_avg * length) / sum(length) FILTER (WHERE memory_usage_bytes_avg IS NOT NULL) + 0.5 AS INTEGER),
	max(memory_usage_bytes_max), CAST(substr(max(period_start || memory_limit_mb), 28) AS INTEGER),
	sum(oom_kill_count), sum(network_rx_bytes), sum(network_tx_bytes),
	CAST(substr(max(period_end || disk_usage_bytes), 28) AS INTEGER),
	sum(disk_io_read_bytes), sum(disk_io_write_bytes), sum(request_count), sum(error_count),
	CAST(sum(1.0 * avg_response_time_us * request_count)
		/ nullif(sum(request_count) FILTER (WHERE avg_response_time_us IS NOT NULL), 0) + 0.5 AS INTEGER),
	sum(samples)
	FROM parts GROUP BY substr(period_start, 1, CASE ?5 WHEN 'hour' THEN 13 ELSE 10 END) ORDER BY 1`

// SumUsage implements store.Usages.
func (t *tx) SumUsage(ctx context.Context, s store.UsageSum) ([]berth.Usage, error) {
	list := []berth.Usage{}
	if !t.MaySee(s.OrganizationID) {
		return list, nil
	}
	err := t.many(ctx, func(rows *sql.Rows) error {
		u := berth.Usage{OrganizationID: s.OrganizationID, Resolution: s.To}
		err := row.ScanUsage(rows.Scan, &u)
		list = append(list, u)
		return err
	}, sumUsage, s.OrganizationID, string(s.From), stamp(s.Begin), stamp(s.End), string(s.To), stamp(s.And))
	return list, fault(ctx, err, "sum usage")
}
