package sqlite

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// InsertEvent implements store.Journal.
func (t *tx) InsertEvent(ctx context.Context, e berth.Event) error {
	if err := t.MayWrite(e.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO events (id, organization_id, occurred_at, kind, message, deployment_id, seq)
		VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM events))`,
		e.ID, row.OrNull(e.OrganizationID), stamp(e.At), e.Kind, e.Message, row.OrNull(e.DeploymentID))
	return fault(ctx, err, "write event")
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
	read := page[berth.Event]{Window: w, scan: bySeq(row.EventColumns)}
	if s := t.ScopeOf(organizationID); s.All {
		read.query = `SELECT id, organization_id, occurred_at, kind, message, deployment_id, seq FROM events
			WHERE seq < ? AND (? OR organization_id IS NOT NULL) ORDER BY seq DESC LIMIT ?`
		read.args = []any{before, t.Everything()}
	} else {
		read.query = `SELECT id, organization_id, occurred_at, kind, message, deployment_id, seq FROM events
			WHERE organization_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?`
		read.args = []any{row.OrNull(s.OrganizationID), before}
	}
	return read.read(ctx, t)
}

// ForgetEvents implements store.Journal. The newest row stays because the next
// one is numbered after it.
func (t *tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE occurred_at < ?
		AND seq <= (SELECT seq FROM outbox) AND seq < (SELECT max(seq) FROM events) ORDER BY occurred_at, seq LIMIT ?)`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget events")
}

// InsertProbe implements store.Journal: a row of the organization's living
// tenant. Response times are kept in milliseconds, rounded up.
func (t *tx) InsertProbe(ctx context.Context, p berth.Probe) error {
	if err := t.MayWrite(p.OrganizationID); err != nil {
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
		berth.NewHistoryID(p.CheckedAt), p.OrganizationID, stamp(p.CheckedAt), string(p.Status), row.OrNull(row.Milliseconds(p.ResponseTime)),
		row.OrNull(p.HTTPStatus), row.OrNull(p.Cause), p.CPUPercent.Pointer(), p.MemoryMB.Pointer(), p.DiskMB.Pointer(),
		row.OrNull(p.Type), row.OrNull(p.Endpoint))
}

// ListProbes implements store.Journal.
func (t *tx) ListProbes(ctx context.Context, organizationID string, p store.Page) ([]berth.Probe, string, error) {
	w, err := row.OpenWindow("probes", p)
	if err != nil {
		return nil, "", err
	}
	before, err := w.Before()
	if err != nil || !t.MaySee(organizationID) {
		return []berth.Probe{}, "", err
	}
	return page[berth.Probe]{w, bySeq(row.ProbeColumns), `SELECT organization_id, checked_at, status, response_time_ms, http_status_code,
		error_message, check_type, check_endpoint, cpu_usage_percent, memory_usage_mb, disk_usage_mb, seq
		FROM tenant_health WHERE organization_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?`, []any{organizationID, before}}.read(ctx, t)
}
