package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/unite-hub/berth"
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

// ListEvents implements store.Journal.
func (t *tx) ListEvents(ctx context.Context, organizationID string, limit int) ([]berth.Event, error) {
	size, err := pageSize(limit)
	if err != nil {
		return nil, err
	}
	list := []berth.Event{}
	all, org := t.scope()
	if organizationID != "" {
		if !t.actor.MaySee(organizationID) {
			return list, nil
		}
		all, org = false, organizationID
	}
	scan := func(rows *sql.Rows) error {
		var e berth.Event
		if err := rows.Scan(&e.ID, text(&e.OrganizationID), instant(&e.At), &e.Kind, &e.Message, text(&e.DeploymentID)); err != nil {
			return err
		}
		list = append(list, e)
		return nil
	}
	if all {
		err = t.many(ctx, scan, `SELECT id, organization_id, occurred_at, kind, message, deployment_id FROM events ORDER BY seq DESC LIMIT ?`, size)
	} else {
		err = t.many(ctx, scan, `SELECT id, organization_id, occurred_at, kind, message, deployment_id FROM events
			WHERE organization_id = ? ORDER BY seq DESC LIMIT ?`, org, size)
	}
	return list, fault(ctx, err, "list events")
}

// ForgetEvents implements store.Journal. The newest stays because the next one
// is numbered after it. Events lie in the order of their time, but for a clock
// that was set: looking at the first ones only needs no index on the time.
func (t *tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.mayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM events WHERE occurred_at < ? AND seq IN (SELECT seq FROM events
		WHERE seq <= (SELECT seq FROM outbox) AND seq < (SELECT max(seq) FROM events) ORDER BY seq LIMIT ?)`, stamp(before), limit)
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
		return errNoTenant(p.OrganizationID)
	}
	return nil
}

// insertProbe returns 0 if the organization has no living tenant.
func (t *tx) insertProbe(ctx context.Context, p berth.Probe) (int64, error) {
	return t.exec(ctx, `INSERT INTO tenant_health (id, container_id, organization_id, checked_at, status, response_time_ms,
		http_status_code, error_message, cpu_usage_percent, memory_usage_mb, disk_usage_mb, check_type, check_endpoint, created_at, seq)
		SELECT ?1, id, organization_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?3, (SELECT coalesce(max(seq), 0) + 1 FROM tenant_health)
		FROM tenant_containers WHERE organization_id = ?2 AND deprovisioned_at IS NULL`,
		berth.NewID(), p.OrganizationID, stamp(p.CheckedAt), string(p.Status), orNull(milliseconds(p.ResponseTime)),
		orNull(p.HTTPStatus), orNull(p.Cause), p.CPUPercent.Pointer(), p.MemoryMB.Pointer(), p.DiskMB.Pointer(),
		orNull(p.Type), orNull(p.Endpoint))
}

// milliseconds rounds up, so that an answer is not taken for none.
func milliseconds(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// maybe reads a column that may be NULL.
func maybe[T any](dst *berth.Maybe[T]) any {
	return column[berth.Maybe[T]]{dst, func(v any) (berth.Maybe[T], error) {
		var n sql.Null[T]
		err := n.Scan(v)
		return berth.Maybe[T]{Value: n.V, Known: n.Valid}, err
	}}
}

// ListProbes implements store.Journal.
func (t *tx) ListProbes(ctx context.Context, organizationID string, limit int) ([]berth.Probe, error) {
	size, err := pageSize(limit)
	if err != nil {
		return nil, err
	}
	list := []berth.Probe{}
	if !t.actor.MaySee(organizationID) {
		return list, nil
	}
	err = t.many(ctx, func(rows *sql.Rows) error {
		p := berth.Probe{OrganizationID: organizationID}
		var took int
		if err := rows.Scan(instant(&p.CheckedAt), text(&p.Status), number(&took), number(&p.HTTPStatus),
			text(&p.Cause), text(&p.Type), text(&p.Endpoint),
			maybe(&p.CPUPercent), maybe(&p.MemoryMB), maybe(&p.DiskMB)); err != nil {
			return err
		}
		p.ResponseTime = time.Duration(took) * time.Millisecond
		list = append(list, p)
		return nil
	}, `SELECT checked_at, status, response_time_ms, http_status_code, error_message, check_type, check_endpoint,
		cpu_usage_percent, memory_usage_mb, disk_usage_mb
		FROM tenant_health WHERE organization_id = ? ORDER BY seq DESC LIMIT ?`, organizationID, size)
	return list, fault(ctx, err, "list probes")
}
