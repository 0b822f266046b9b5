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

// InsertProbe implements store.Journal: a row of the organization's living
// tenant. Response times are kept in milliseconds, rounded up.
func (t *tx) InsertProbe(ctx context.Context, p berth.Probe) error {
	if err := t.mayWrite(p.OrganizationID); err != nil {
		return err
	}
	milliseconds := int64((p.ResponseTime + time.Millisecond - 1) / time.Millisecond)
	n, err := t.exec(ctx, `INSERT INTO tenant_health (id, container_id, organization_id, checked_at, status, response_time_ms,
		http_status_code, error_message, check_type, check_endpoint, created_at, seq)
		SELECT ?1, id, organization_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?3, (SELECT coalesce(max(seq), 0) + 1 FROM tenant_health)
		FROM tenant_containers WHERE organization_id = ?2 AND deprovisioned_at IS NULL`,
		berth.NewID(), p.OrganizationID, stamp(p.CheckedAt), string(p.Status), orNull(milliseconds),
		orNull(p.HTTPStatus), orNull(p.Cause), orNull(p.Type), orNull(p.Endpoint))
	if err != nil {
		return fault(ctx, err, "write probe")
	}
	if n == 0 {
		return errNoTenant(p.OrganizationID)
	}
	return nil
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
		var milliseconds int
		if err := rows.Scan(instant(&p.CheckedAt), text(&p.Status), number(&milliseconds), number(&p.HTTPStatus),
			text(&p.Cause), text(&p.Type), text(&p.Endpoint)); err != nil {
			return err
		}
		p.ResponseTime = time.Duration(milliseconds) * time.Millisecond
		list = append(list, p)
		return nil
	}, `SELECT checked_at, status, response_time_ms, http_status_code, error_message, check_type, check_endpoint
		FROM tenant_health WHERE organization_id = ? ORDER BY seq DESC LIMIT ?`, organizationID, size)
	return list, fault(ctx, err, "list probes")
}
