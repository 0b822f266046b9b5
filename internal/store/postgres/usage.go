package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// usageJSON is a period on its way into the database: many are written by one
// statement, which takes them as one parameter.
type usageJSON struct {
	ID         string    `json:"id"`
	Org        string    `json:"org"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"stop"`
	Resolution string    `json:"resolution"`
	CPUAvg     *float64  `json:"cpu_avg"`
	CPUMax     *float64  `json:"cpu_max"`
	Throttled  *int64    `json:"throttled"`
	MemoryAvg  *int64    `json:"memory_avg"`
	MemoryMax  *int64    `json:"memory_max"`
	Limit      any       `json:"memory_limit"` // MB
	OOM        *int64    `json:"oom"`
	Rx         *int64    `json:"rx"`
	Tx         *int64    `json:"tx"`
	Disk       *int64    `json:"disk"`
	Read       *int64    `json:"read"`
	Written    *int64    `json:"written"`
	Requests   *int64    `json:"requests"`
	Errors     *int64    `json:"errors"`
	Took       any       `json:"took"` // microseconds
	Samples    int       `json:"samples"`
}

// rounded is a number of bytes in megabytes, as row.Megabytes rounds.
func rounded(column string) string { return "(" + column + " + 524288) / 1048576" }

// PutUsage implements store.Usages.
func (t *tx) PutUsage(ctx context.Context, list []berth.Usage) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([]usageJSON, 0, len(list))
	for _, u := range list {
		if err := t.MayWrite(u.OrganizationID); err != nil {
			return err
		}
		rows = append(rows, usageJSON{
			berth.NewHistoryID(u.Start), u.OrganizationID, u.Start.UTC().Truncate(time.Microsecond), u.End.UTC().Truncate(time.Microsecond), string(u.Resolution),
			u.CPUPercentAvg.Pointer(), u.CPUPercentMax.Pointer(), u.Throttled.Pointer(), u.MemoryAvg.Pointer(), u.MemoryMax.Pointer(),
			row.Megabytes(u.MemoryLimit), u.OOMKills.Pointer(), u.NetworkRx.Pointer(), u.NetworkTx.Pointer(), u.Disk.Pointer(),
			u.DiskRead.Pointer(), u.DiskWritten.Pointer(), u.Requests.Pointer(), u.Errors.Pointer(), row.Per(u.ResponseTime, time.Microsecond), u.Samples,
		})
	}
	text, err := encodeJSON(rows)
	if err == nil {
		_, err = t.exec(ctx, putUsage, text)
	}
	return fault(ctx, err, "write usage")
}

// Of two periods with the same begin, the later one stands, as one after the
// other would leave it; one statement can't change a row twice.
var putUsage = `INSERT INTO public.tenant_resource_usage AS r (id, container_id, organization_id, recorded_at, period_start, period_end,
	resolution, cpu_usage_percent_avg, cpu_usage_percent_max, cpu_throttling_count, memory_usage_mb_avg, memory_usage_mb_max,
	memory_limit_mb, oom_kill_count, network_rx_bytes, network_tx_bytes, disk_usage_mb, disk_io_read_mb, disk_io_write_mb,
	request_count, error_count, avg_response_time_ms, created_at, memory_usage_bytes_avg, memory_usage_bytes_max,
	disk_usage_bytes, disk_io_read_bytes, disk_io_write_bytes, avg_response_time_us, samples)
	SELECT DISTINCT ON (u.org, u.resolution, u.start) u.id, c.id, u.org, u.stop, u.start, u.stop,
	u.resolution, u.cpu_avg, u.cpu_max, u.throttled, ` + rounded("u.memory_avg") + `, ` + rounded("u.memory_max") + `,
	u.memory_limit, u.oom, u.rx, u.tx, ` + rounded("u.disk") + `, ` + rounded("u.read") + `, ` + rounded("u.written") + `,
	u.requests, u.errors, (u.took + 500) / 1000, u.stop, u.memory_avg, u.memory_max,
	u.disk, u.read, u.written, u.took, u.samples
	FROM ROWS FROM (json_to_recordset($1::json) AS (id uuid, org uuid, start timestamptz, stop timestamptz, resolution text, cpu_avg numeric,
		cpu_max numeric, throttled bigint, memory_avg bigint, memory_max bigint, memory_limit bigint, oom bigint, rx bigint, tx bigint, disk bigint,
		read bigint, written bigint, requests bigint, errors bigint, took bigint, samples bigint)) WITH ORDINALITY
		AS u (id, org, start, stop, resolution, cpu_avg, cpu_max, throttled, memory_avg, memory_max, memory_limit, oom, rx, tx, disk,
		read, written, requests, errors, took, samples, place)
	JOIN LATERAL (SELECT coalesce(
		(SELECT t.id FROM public.tenant_containers t WHERE t.organization_id = u.org AND t.deprovisioned_at IS NULL),
		(SELECT t.id FROM public.tenant_containers t WHERE t.organization_id = u.org ORDER BY t.seq DESC LIMIT 1)) AS id) c ON c.id IS NOT NULL
	ORDER BY u.org, u.resolution, u.start, u.place DESC
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
	avg_response_time_us = excluded.avg_response_time_us, samples = excluded.samples`

// ListUsage implements store.Usages.
func (t *tx) ListUsage(ctx context.Context, q store.UsageQuery) ([]berth.Usage, error) {
	list := []berth.Usage{}
	if !t.MaySee(q.OrganizationID) {
		return list, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		u := berth.Usage{OrganizationID: q.OrganizationID, Resolution: q.Resolution}
		err := row.ScanUsage(rows.Scan, &u)
		list = append(list, u)
		return err
	}, `SELECT period_start, period_end, cpu_usage_percent_avg::float8, cpu_usage_percent_max::float8, cpu_throttling_count, memory_usage_bytes_avg,
		memory_usage_bytes_max, memory_limit_mb, oom_kill_count, network_rx_bytes, network_tx_bytes, disk_usage_bytes,
		disk_io_read_bytes, disk_io_write_bytes, request_count, error_count, avg_response_time_us, samples
		FROM public.tenant_resource_usage WHERE organization_id = $1 AND resolution = $2 AND period_start >= $3 AND period_start < $4
		ORDER BY period_start LIMIT $5`, uuidOrNull(q.OrganizationID), string(q.Resolution), stamp(q.From), stamp(q.To), q.Limit)
	return list, fault(ctx, err, "list usage")
}

// OrganizationsToSum implements store.Usages.
func (t *tx) OrganizationsToSum(ctx context.Context, finer, coarser berth.Resolution, before time.Time) ([]string, error) {
	mine, org := narrowed(t.Scope(), "organization_id", "$1")
	// From the tenants, who are few: of the periods, each would be looked at.
	list, err := t.texts(ctx, `SELECT o.organization_id FROM (SELECT DISTINCT organization_id FROM public.tenant_containers
		WHERE `+mine+`) o
		WHERE (SELECT period_end FROM public.tenant_resource_usage u WHERE u.organization_id = o.organization_id
		AND resolution = $2 AND period_start < $4 ORDER BY period_start DESC LIMIT 1)
		<> coalesce((SELECT period_end FROM public.tenant_resource_usage u WHERE u.organization_id = o.organization_id
		AND resolution = $3 AND period_start < $4 ORDER BY period_start DESC LIMIT 1), '-infinity') ORDER BY 1`,
		org, string(finer), string(coarser), stamp(before))
	return list, fault(ctx, err, "list organizations whose usage is to be summed up")
}

// DropUsage implements store.Usages.
func (t *tx) DropUsage(ctx context.Context, organizationID string, resolution berth.Resolution, from, to time.Time) error {
	if err := t.MayWrite(organizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM public.tenant_resource_usage WHERE organization_id = $1 AND resolution = $2 AND period_start >= $3 AND period_start < $4`,
		organizationID, string(resolution), stamp(from), stamp(to))
	return fault(ctx, err, "drop usage")
}

// ForgetUsage implements store.Usages.
func (t *tx) ForgetUsage(ctx context.Context, resolution berth.Resolution, before time.Time, most int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM public.tenant_resource_usage WHERE id IN (SELECT id FROM public.tenant_resource_usage
		WHERE resolution = $1 AND period_start < $2 ORDER BY period_start LIMIT $3)`, string(resolution), stamp(before), most)
	return int(n), fault(ctx, err, "forget usage")
}

// markJSON is a mark on its way into the database.
type markJSON struct {
	Org      string        `json:"org"`
	End      time.Time     `json:"stop"`
	Counters []row.Counter `json:"counters"`
}

// PutMarks implements store.UsageMarks.
func (t *tx) PutMarks(ctx context.Context, list []berth.Mark) error {
	last := map[string]markJSON{} // one statement can't change a row twice
	for _, m := range list {
		if err := t.MayWrite(m.OrganizationID); err != nil {
			return err
		}
		last[m.OrganizationID] = markJSON{m.OrganizationID, m.End.UTC().Truncate(time.Microsecond), row.NewCounters(m.Samples)}
	}
	if len(last) == 0 {
		return nil
	}
	text, err := encodeJSON(slices.Collect(maps.Values(last)))
	if err == nil {
		_, err = t.exec(ctx, `INSERT INTO berth.usage_marks (organization_id, period_end, counters)
			SELECT org, stop, counters FROM json_to_recordset($1::json) AS m (org uuid, stop timestamptz, counters jsonb)
			ON CONFLICT (organization_id) DO UPDATE SET period_end = excluded.period_end, counters = excluded.counters`, text)
	}
	return fault(ctx, err, "write counters")
}

// Marks implements store.UsageMarks.
func (t *tx) Marks(ctx context.Context) ([]berth.Mark, error) {
	mine, org := narrowed(t.Scope(), "organization_id", "$1")
	list := []berth.Mark{}
	err := t.many(ctx, func(rows pgx.Rows) error {
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
		(SELECT disk_usage_bytes FROM public.tenant_resource_usage u WHERE u.organization_id = m.organization_id AND resolution = 'minute'
			ORDER BY period_start DESC LIMIT 1),
		(SELECT disk_usage_bytes FROM public.tenant_resource_usage u WHERE u.organization_id = m.organization_id AND resolution = 'hour'
			ORDER BY period_start DESC LIMIT 1))
		FROM berth.usage_marks m WHERE `+mine+` ORDER BY organization_id`, org)
	return list, fault(ctx, err, "read counters")
}

// ForgetMarks implements store.UsageMarks.
func (t *tx) ForgetMarks(ctx context.Context) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM berth.usage_marks m WHERE NOT EXISTS (SELECT FROM public.tenant_containers c
		WHERE c.organization_id = m.organization_id AND c.deprovisioned_at IS NULL)`)
	return fault(ctx, err, "forget counters")
}
