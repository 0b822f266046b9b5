package postgres

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const eventColumns = `id, organization_id, occurred_at, kind, message, deployment_id`

// InsertEvent implements store.Journal.
func (t *tx) InsertEvent(ctx context.Context, e berth.Event) error {
	if err := t.MayWrite(e.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO berth.events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
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
		read.query = `SELECT ` + eventColumns + `, seq FROM berth.events
			WHERE seq < $1 AND ($2 OR organization_id IS NOT NULL) ORDER BY seq DESC LIMIT $3`
		read.args = []any{before, t.Everything()}
	} else {
		read.query = `SELECT ` + eventColumns + `, seq FROM berth.events
			WHERE organization_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`
		read.args = []any{uuidOrNull(s.OrganizationID), before}
	}
	return read.read(ctx, t)
}

// ForgetEvents implements store.Journal.
func (t *tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.events WHERE seq IN (SELECT seq FROM berth.events WHERE occurred_at < $1
		AND seq <= (SELECT seq FROM berth.outbox) AND seq < (SELECT max(seq) FROM berth.events) ORDER BY occurred_at, seq LIMIT $2)`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget events")
}

// InsertProbe implements store.Journal: a row of the organization's living
// tenant. Response times are kept in milliseconds, rounded up.
func (t *tx) InsertProbe(ctx context.Context, p berth.Probe) error {
	if err := t.MayWrite(p.OrganizationID); err != nil {
		return err
	}
	n, err := t.insertProbes(ctx, []berth.Probe{p})
	if err == nil && n == 0 {
		return row.NoTenant(p.OrganizationID)
	}
	return fault(ctx, err, "write probe")
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
		error_message, check_type, check_endpoint, cpu_usage_percent::float8, memory_usage_mb, disk_usage_mb, seq
		FROM public.tenant_health WHERE organization_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`,
		[]any{uuidOrNull(organizationID), before}}.read(ctx, t)
}
