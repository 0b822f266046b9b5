package postgres

import (
	"context"
	"time"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// Request implements store.Requests.
func (t *tx) Request(ctx context.Context, key string) (r store.Request, ok bool, err error) {
	if !t.Anything() {
		return store.Request{}, false, nil
	}
	ok, err = t.one(ctx, []any{&r.Key, &r.Fingerprint, row.Text(&r.DeploymentID), row.Number(&r.Status), &r.Answer, row.Time(&r.CreatedAt)},
		`SELECT idempotency_key, fingerprint, deployment_id, status, answer, created_at FROM berth.requests
		WHERE actor_id = $1 AND idempotency_key = $2`, t.Actor.ID, key)
	return r, ok, fault(ctx, err, "read request")
}

// mayAsk returns why the actor can't order anything.
func (t *tx) mayAsk() error {
	if t.Actor.Everywhere() {
		return t.Writable()
	}
	return t.MayWrite(t.Actor.OrganizationID)
}

// PutRequest implements store.Requests.
func (t *tx) PutRequest(ctx context.Context, r store.Request) error {
	if err := t.mayAsk(); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `INSERT INTO berth.requests (actor_id, idempotency_key, fingerprint, deployment_id, status, answer, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (actor_id, idempotency_key) DO UPDATE SET fingerprint = excluded.fingerprint,
		deployment_id = excluded.deployment_id, status = excluded.status, answer = excluded.answer, created_at = excluded.created_at`,
		t.Actor.ID, r.Key, r.Fingerprint, row.OrNull(r.DeploymentID), row.OrNull(r.Status), r.Answer, stamp(r.CreatedAt))
	if isDangling(err) {
		return row.NoDeployment(r.DeploymentID)
	}
	return fault(ctx, err, "write request")
}

// DropRequest implements store.Requests.
func (t *tx) DropRequest(ctx context.Context, key string) error {
	if err := t.mayAsk(); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM berth.requests WHERE actor_id = $1 AND idempotency_key = $2`, t.Actor.ID, key)
	return fault(ctx, err, "drop request")
}

// ForgetRequests implements store.Requests: of every actor for the
// installation's, else of its own.
func (t *tx) ForgetRequests(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.mayAsk(); err != nil {
		return 0, err
	}
	if before.IsZero() {
		return 0, row.Timeless()
	}
	old, actor := `SELECT ctid FROM berth.requests WHERE created_at < $1 AND $2::text IS NULL ORDER BY created_at LIMIT $3`, any(nil)
	if !t.Everything() {
		old, actor = `SELECT ctid FROM berth.requests WHERE actor_id = $2 AND created_at < $1 LIMIT $3`, t.Actor.ID
	}
	n, err := t.exec(ctx, `DELETE FROM berth.requests WHERE ctid = ANY (ARRAY(`+old+`))`, stamp(before), actor, limit)
	return int(n), fault(ctx, err, "forget requests")
}
