package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// PutUsage implements store.Usages.
func (t *tx) PutUsage(ctx context.Context, list []berth.Usage) error {
	for _, u := range list {
		if err := t.MayWrite(u.OrganizationID); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO tenant_resource_usage (id, container_id, organization_id, recorded_at, period_start, period_end,
			resolution, cpu_usage_percent_avg, cpu_usage_percent_max, cpu_throttling_count, memory_usage_mb_avg, memory_usage_mb_max,
			memory_limit_mb, oom_kill_count, network_rx_bytes, network_tx_bytes, disk_usage_mb, disk_io_read_mb, disk_io_write_mb,
			request_count, error_count, avg_response_time_ms, created_at, memory_usage_bytes_avg, memory_usage_bytes_max,
			disk_usage_bytes, disk_io_read_bytes, disk_io_write_bytes, avg_response_time_us, samples)
			SELECT ?1, id, organization_id, ?4, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?4,
			?21, ?22, ?23, ?24, ?25, ?26, ?27
			FROM tenant_containers WHERE id = coalesce(
			(SELECT id FROM tenant_containers WHERE organization_id = ?2 AND deprovisioned_at IS NULL),
			(SELECT id FROM tenant_containers WHERE organization_id = ?2 AND deprovisioned_at IS NOT NULL ORDER BY seq DESC LIMIT 1))
			ON CONFLICT (organization_id, resolution, period_start) DO UPDATE SET recorded_at = excluded.recorded_at,
			period_end = excluded.period_end, cpu_usage_percent_avg = excluded.cpu_usage_percent_avg,
			cpu_usage_percent_max = excluded.cpu_usage_percent_max, cpu_throttling_count = excluded.cpu_throttling_count,
			memory_usage_mb_avg = excluded.memory_usage_mb_avg, memory_usage_mb_max = excluded.memory_usage_mb_max,
			memory_limit_mb = excluded.memory_limit_mb, oom_kill_count = excluded.oom_kill_count,
			network_rx_bytes = excluded.network_rx_bytes, network_tx_bytes = excluded.network_tx_bytes,
			disk_usage_mb = excluded.disk_usage_mb, disk_io_read_mb = excluded.disk_io_read_mb,
			disk_io_write_mb = excluded.disk_io_write_mb, request_count = excluded.request_count, error_count = excluded.error_count,
			avg_response_time_ms = excluded.avg_response_time_ms, memory_usage_bytes_avg = excluded.memory_usage_bytes_avg,
			memory_usage_bytes_max = excluded.memory_usage_bytes_max, disk_usage_bytes = excluded.disk_usage_bytes,
			disk_io_read_bytes = excluded.disk_io_read_bytes, disk_io_write_bytes = excluded.disk_io_write_bytes,
			avg_response_time_us = excluded.avg_response_time_us, samples = excluded.samples`,
			berth.NewHistoryID(u.Start), u.OrganizationID, stamp(u.Start), stamp(u.End), string(u.Resolution),
			given(u.CPUPercentAvg), given(u.CPUPercentMax), given(u.Throttled), row.Megabytes(u.MemoryAvg), row.Megabytes(u.MemoryMax),
			row.Megabytes(u.MemoryLimit), given(u.OOMKills), given(u.NetworkRx), given(u.NetworkTx), row.Megabytes(u.Disk),
			row.Megabytes(u.DiskRead), row.Megabytes(u.DiskWritten), given(u.Requests), given(u.Errors), row.Per(u.ResponseTime, time.Millisecond),
			given(u.MemoryAvg), given(u.MemoryMax), given(u.Disk), given(u.DiskRead), given(u.DiskWritten), row.Per(u.ResponseTime, time.Microsecond), u.Samples)
		if err != nil {
			return fault(ctx, err, "write usage")
		}
	}
	return nil
}

// ListUsage implements store.Usages.
func (t *tx) ListUsage(ctx context.Context, q store.UsageQuery) ([]berth.Usage, error) {
	list := []berth.Usage{}
	if !t.MaySee(q.OrganizationID) {
		return list, nil
	}
	err := t.many(ctx, func(rows *sql.Rows) error {
		u := berth.Usage{OrganizationID: q.OrganizationID, Resolution: q.Resolution}
		err := row.ScanUsage(rows.Scan, &u)
		list = append(list, u)
		return err
	}, `SELECT period_start, period_end, cpu_usage_percent_avg, cpu_usage_percent_max, cpu_throttling_count, memory_usage_bytes_avg,
		memory_usage_bytes_max, memory_limit_mb, oom_kill_count, network_rx_bytes, network_tx_bytes, disk_usage_bytes,
		disk_io_read_bytes, disk_io_write_bytes, request_count, error_count, avg_response_time_us, samples
		FROM tenant_resource_usage WHERE organization_id = ? AND resolution = ? AND period_start >= ? AND period_start < ?
		ORDER BY period_start LIMIT ?`, q.OrganizationID, string(q.Resolution), stamp(q.From), stamp(q.To), q.Limit)
	return list, fault(ctx, err, "list usage")
}

// OrganizationsToSum implements store.Usages.
func (t *tx) OrganizationsToSum(ctx context.Context, finer, coarser berth.Resolution, before time.Time) ([]string, error) {
	mine, org := narrowed(t.Scope(), "id", "?1")
	list := []string{}
	err := t.many(ctx, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		list = append(list, id)
		return nil
	}, `SELECT id FROM organizations o WHERE `+mine+` AND
		(SELECT period_end FROM tenant_resource_usage WHERE organization_id = o.id AND resolution = ?2 AND period_start < ?4 ORDER BY period_start DESC LIMIT 1)
		<> coalesce((SELECT period_end FROM tenant_resource_usage WHERE organization_id = o.id AND resolution = ?3 AND period_start < ?4
		ORDER BY period_start DESC LIMIT 1), '') ORDER BY id`, org, string(finer), string(coarser), stamp(before))
	return list, fault(ctx, err, "list organizations whose usage is to be summed up")
}

// DropUsage implements store.Usages.
func (t *tx) DropUsage(ctx context.Context, organizationID string, resolution berth.Resolution, from, to time.Time) error {
	if err := t.MayWrite(organizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM tenant_resource_usage WHERE organization_id = ? AND resolution = ? AND period_start >= ? AND period_start < ?`,
		organizationID, string(resolution), stamp(from), stamp(to))
	return fault(ctx, err, "drop usage")
}

// ForgetUsage implements store.Usages.
func (t *tx) ForgetUsage(ctx context.Context, resolution berth.Resolution, before time.Time, most int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM tenant_resource_usage WHERE id IN (SELECT id FROM tenant_resource_usage
		WHERE resolution = ? AND period_start < ? ORDER BY period_start LIMIT ?)`, string(resolution), stamp(before), most)
	return int(n), fault(ctx, err, "forget usage")
}

// PutMarks implements store.UsageMarks.
func (t *tx) PutMarks(ctx context.Context, list []berth.Mark) error {
	for _, m := range list {
		if err := t.MayWrite(m.OrganizationID); err != nil {
			return err
		}
		text, err := encodeJSON(row.NewCounters(m.Samples))
		if err != nil {
			return fault(ctx, err, "write counters")
		}
		if _, err := t.exec(ctx, `INSERT INTO usage_marks (organization_id, period_end, counters) VALUES (?, ?, ?)
			ON CONFLICT (organization_id) DO UPDATE SET period_end = excluded.period_end, counters = excluded.counters`,
			m.OrganizationID, stamp(m.End), text); err != nil {
			return fault(ctx, err, "write counters")
		}
	}
	return nil
}

// Marks implements store.UsageMarks.
func (t *tx) Marks(ctx context.Context) ([]berth.Mark, error) {
	mine, org := narrowed(t.Scope(), "organization_id", "?1")
	list := []berth.Mark{}
	err := t.many(ctx, func(rows *sql.Rows) error {
		var m berth.Mark
		var text string
		if err := rows.Scan(&m.OrganizationID, row.Time(&m.End), &text, row.Maybe(&m.Disk)); err != nil {
			return err
		}
		var err error
		if m.Samples, err = row.ParseCounters(text); err != nil {
			return err
		}
		list = append(list, m)
		return nil
	}, `SELECT organization_id, period_end, counters, coalesce(
		(SELECT disk_usage_bytes FROM tenant_resource_usage u WHERE u.organization_id = m.organization_id AND resolution = 'minute'
			ORDER BY period_start DESC LIMIT 1),
		(SELECT disk_usage_bytes FROM tenant_resource_usage u WHERE u.organization_id = m.organization_id AND resolution = 'hour'
			ORDER BY period_start DESC LIMIT 1))
		FROM usage_marks m WHERE `+mine+` ORDER BY organization_id`, org)
	return list, fault(ctx, err, "read counters")
}

// ForgetMarks implements store.UsageMarks.
func (t *tx) ForgetMarks(ctx context.Context) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM usage_marks WHERE NOT EXISTS (SELECT 1 FROM tenant_containers c
		WHERE c.organization_id = usage_marks.organization_id AND c.deprovisioned_at IS NULL)`)
	return fault(ctx, err, "forget counters")
}

// given is what is stored of a value that may not be known.
func given[T any](v berth.Maybe[T]) any {
	if !v.Known {
		return nil
	}
	return v.Value
}
