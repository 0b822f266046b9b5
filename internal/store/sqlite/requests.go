package sqlite

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
		`SELECT idempotency_key, fingerprint, deployment_id, status, answer, created_at FROM requests
		WHERE actor_id = ? AND idempotency_key = ?`, t.Actor.ID, key)
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
	var answer any
	if r.Answer != nil {
		answer = r.Answer
	}
	_, err := t.exec(ctx, `INSERT INTO requests (actor_id, idempotency_key, fingerprint, deployment_id, status, answer, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (actor_id, idempotency_key) DO UPDATE SET fingerprint = excluded.fingerprint,
		deployment_id = excluded.deployment_id, status = excluded.status, answer = excluded.answer, created_at = excluded.created_at`,
		t.Actor.ID, r.Key, r.Fingerprint, row.OrNull(r.DeploymentID), row.OrNull(r.Status), answer, stamp(r.CreatedAt))
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
	_, err := t.exec(ctx, `DELETE FROM requests WHERE actor_id = ? AND idempotency_key = ?`, t.Actor.ID, key)
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
	old, actor := `created_at < ?1 AND ?2 IS NULL ORDER BY created_at`, any(nil)
	if !t.Everything() {
		old, actor = `actor_id = ?2 AND created_at < ?1`, t.Actor.ID
	}
	n, err := t.exec(ctx, `DELETE FROM requests WHERE (actor_id, idempotency_key) IN (SELECT actor_id, idempotency_key FROM requests
		WHERE `+old+` LIMIT ?3)`, stamp(before), actor, limit)
	return int(n), fault(ctx, err, "forget requests")
}
