package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// InsertEvent implements store.Journal.
func (t *tx) InsertEvent(ctx context.Context, e berth.Event) error {
	if err := t.mayWrite(e.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO events (id, organization_id, occurred_at, kind, message, deployment_id, seq)
		VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM events))`,
		e.ID, orNull(e.OrganizationID), stamp(e.At), e.Kind, e.Message, orNull(e.DeploymentID))
	return fault(ctx, err, "write event")
}

func eventRow(e *berth.Event) []any {
	return []any{&e.ID, text(&e.OrganizationID), instant(&e.At), &e.Kind, &e.Message, text(&e.DeploymentID)}
}

// ListEvents implements store.Journal.
func (t *tx) ListEvents(ctx context.Context, organizationID string, p store.Page) ([]berth.Event, string, error) {
	w, err := row.OpenWindow("events", p)
	if err != nil {
		return nil, "", err
	}
	before, err := w.Before()
	if err != nil {
		return nil, "", err
	}
	read := page[berth.Event]{Window: w, scan: bySeq(eventRow)}
	if all, org := t.scopeOf(organizationID); all {
		read.query = `SELECT id, organization_id, occurred_at, kind, message, deployment_id, seq FROM events
			WHERE seq < ? AND (? OR organization_id IS NOT NULL) ORDER BY seq DESC LIMIT ?`
		read.args = []any{before, t.everything()}
	} else {
		read.query = `SELECT id, organization_id, occurred_at, kind, message, deployment_id, seq FROM events
			WHERE organization_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?`
		read.args = []any{org, before}
	}
	return read.read(ctx, t)
}

// ForgetEvents implements store.Journal. The newest row stays because the next
// one is numbered after it.
func (t *tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.mayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM events WHERE seq IN (SELECT seq FROM
		(SELECT seq, occurred_at FROM events ORDER BY seq LIMIT ?) WHERE occurred_at < ?)
		AND seq <= (SELECT seq FROM outbox) AND seq < (SELECT max(seq) FROM events)`, limit, stamp(before))
	return int(n), fault(ctx, err, "forget events")
}

// InsertProbe implements store.Journal: a row of the organization's living
// tenant. Response times are kept in milliseconds, rounded up.
func (t *tx) InsertProbe(ctx context.Context, p berth.Probe) error {
	if err := t.mayWrite(p.OrganizationID); err != nil {
		return err
	}
	n, err := t.insertProbe(ctx, p)
	if err != nil {
		return fault(ctx, err, "write probe")
	}
	if n == 0 {
		return row.NoTenant(p.OrganizationID)
	}
	return nil
}

// insertProbe returns 0 if the organization has no living tenant.
func (t *tx) insertProbe(ctx context.Context, p berth.Probe) (int64, error) {
	return t.exec(ctx, `INSERT INTO tenant_health (id, container_id, organization_id, checked_at, status, response_time_ms,
		http_status_code, error_message, cpu_usage_percent, memory_usage_mb, disk_usage_mb, check_type, check_endpoint, created_at, seq)
		SELECT ?1, id, organization_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?3, (SELECT coalesce(max(seq), 0) + 1 FROM tenant_health)
		FROM tenant_containers WHERE organization_id = ?2 AND deprovisioned_at IS NULL`,
		berth.NewHistoryID(p.CheckedAt), p.OrganizationID, stamp(p.CheckedAt), string(p.Status), orNull(row.Milliseconds(p.ResponseTime)),
		orNull(p.HTTPStatus), orNull(p.Cause), p.CPUPercent.Pointer(), p.MemoryMB.Pointer(), p.DiskMB.Pointer(),
		orNull(p.Type), orNull(p.Endpoint))
}

// maybe reads a column that may be NULL.
func maybe[T any](dst *berth.Maybe[T]) any {
	return column[berth.Maybe[T]]{dst, func(v any) (berth.Maybe[T], error) {
		var n sql.Null[T]
		err := n.Scan(v)
		return berth.Maybe[T]{Value: n.V, Known: n.Valid}, err
	}}
}

// ListProbes implements store.Journal.
func (t *tx) ListProbes(ctx context.Context, organizationID string, p store.Page) ([]berth.Probe, string, error) {
	w, err := row.OpenWindow("probes", p)
	if err != nil {
		return nil, "", err
	}
	before, err := w.Before()
	if err != nil || !t.actor.MaySee(organizationID) {
		return []berth.Probe{}, "", err
	}
	return page[berth.Probe]{w, bySeq(probeRow), `SELECT organization_id, checked_at, status, response_time_ms, http_status_code,
		error_message, check_type, check_endpoint, cpu_usage_percent, memory_usage_mb, disk_usage_mb, seq
		FROM tenant_health WHERE organization_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?`, []any{organizationID, before}}.read(ctx, t)
}

func probeRow(p *berth.Probe) []any {
	return []any{&p.OrganizationID, instant(&p.CheckedAt), text(&p.Status), inMilliseconds(&p.ResponseTime), number(&p.HTTPStatus),
		text(&p.Cause), text(&p.Type), text(&p.Endpoint), maybe(&p.CPUPercent), maybe(&p.MemoryMB), maybe(&p.DiskMB)}
}

// inMilliseconds reads a duration.
func inMilliseconds(dst *time.Duration) any {
	return column[time.Duration]{dst, func(v any) (time.Duration, error) {
		n, ok := v.(int64)
		if !ok {
			return 0, fmt.Errorf("integer column holds a %T", v)
		}
		return time.Duration(n) * time.Millisecond, nil
	}}
}
