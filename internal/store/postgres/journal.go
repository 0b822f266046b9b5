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
	if err := t.mayWrite(e.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO berth.events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
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
		read.query = `SELECT ` + eventColumns + `, seq FROM berth.events
			WHERE seq < $1 AND ($2 OR organization_id IS NOT NULL) ORDER BY seq DESC LIMIT $3`
		read.args = []any{before, t.everything()}
	} else {
		read.query = `SELECT ` + eventColumns + `, seq FROM berth.events
			WHERE organization_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`
		read.args = []any{org, before}
	}
	return read.read(ctx, t)
}

// ForgetEvents implements store.Journal.
func (t *tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.mayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.events WHERE seq IN (SELECT seq FROM
		(SELECT seq, occurred_at FROM berth.events ORDER BY seq LIMIT $1) oldest WHERE occurred_at < $2)
		AND seq <= (SELECT seq FROM berth.outbox) AND seq < (SELECT max(seq) FROM berth.events)`, limit, stamp(before))
	return int(n), fault(ctx, err, "forget events")
}

// InsertProbe implements store.Journal: a row of the organization's living
// tenant. Response times are kept in milliseconds, rounded up.
func (t *tx) InsertProbe(ctx context.Context, p berth.Probe) error {
	if err := t.mayWrite(p.OrganizationID); err != nil {
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
	if err != nil || !t.actor.MaySee(organizationID) {
		return []berth.Probe{}, "", err
	}
	return page[berth.Probe]{w, bySeq(probeRow), `SELECT organization_id, checked_at, status, response_time_ms, http_status_code,
		error_message, check_type, check_endpoint, cpu_usage_percent::float8, memory_usage_mb, disk_usage_mb, seq
		FROM public.tenant_health WHERE organization_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`,
		[]any{uuidOrNull(organizationID), before}}.read(ctx, t)
}

func probeRow(p *berth.Probe) []any {
	return []any{&p.OrganizationID, instant(&p.CheckedAt), text(&p.Status), inMilliseconds(&p.ResponseTime), number(&p.HTTPStatus),
		text(&p.Cause), text(&p.Type), text(&p.Endpoint), maybe(&p.CPUPercent), maybe(&p.MemoryMB), maybe(&p.DiskMB)}
}

// inMilliseconds reads a duration.
func inMilliseconds(dst *time.Duration) any {
	return column[int64, time.Duration]{dst, func(n int64) (time.Duration, error) { return time.Duration(n) * time.Millisecond, nil }}
}
