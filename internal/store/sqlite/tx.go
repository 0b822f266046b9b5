package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// tx is one transaction of one actor. Every row that it reads or writes is
// checked against the actor.
type tx struct {
	row.Access
	*session
	failed error // of a statement: SQLite may have rolled back, so nothing more may run
}

// nouns is the transaction as its users see it.
func (t *tx) nouns() store.Tx {
	return store.Tx{
		Tenants: t, Deployments: t, SecretVersions: t, Credentials: t, Blueprints: t, Volumes: t,
		Requests: t, Tokens: t, Journal: t, Usages: t, UsageMarks: t, Health: t,
		Channels: t, Deliveries: t, Outbox: t, Images: t, ForeignObjects: t, Organizations: t, Users: t,
		Memberships: t, Sessions: t, Invitations: t, Audit: t, Sealings: t, Installations: t, Histories: t, Tombstones: t,
	}
}

// statement returns query prepared, unless one before it failed: then the
// transaction may be over already, and what came next would stand alone.
func (t *tx) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	st, err := t.stmt(ctx, query)
	return st, t.note(err)
}

// note remembers the failure of a statement. A row that a constraint refuses
// is not one: SQLite takes back that statement only.
func (t *tx) note(err error) error {
	if err != nil && !errors.Is(err, sqlite3.CONSTRAINT) {
		t.failed = err
	}
	return err
}

// exec runs one statement and returns how many rows it changed. Errors are the
// driver's, for the caller to interpret.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := t.statement(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, t.note(err)
	}
	n, err := res.RowsAffected()
	return n, t.note(err)
}

// one reads one row into dst; ok is false if there is none.
func (t *tx) one(ctx context.Context, dst []any, query string, args ...any) (ok bool, err error) {
	st, err := t.statement(ctx, query)
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(ctx, args...).Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, t.note(err)
}

// many calls scan for each row.
func (t *tx) many(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	st, err := t.statement(ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return t.note(err)
	}
	defer rows.Close() // Err below says what went wrong
	for rows.Next() {
		if err := scan(rows); err != nil {
			return t.note(err)
		}
	}
	return t.note(rows.Err())
}

// Installation implements store.Installations.
func (t *tx) Installation(ctx context.Context) (string, error) {
	var id string
	if !t.Anything() {
		return "", row.NotFound("Installation")
	}
	ok, err := t.one(ctx, []any{&id}, `SELECT id FROM installation`)
	if err != nil {
		return "", fault(ctx, err, "read installation")
	}
	if !ok {
		return "", row.NotFound("Installation")
	}
	return id, nil
}

// install names the installation if it has no name yet.
func (t *tx) install(ctx context.Context, id string, now time.Time) error {
	_, err := t.exec(ctx, `INSERT INTO installation (only, id, created_at) VALUES (1, ?, ?) ON CONFLICT DO NOTHING`, id, stamp(now))
	return fault(ctx, err, "name installation")
}

// stamp is a time as it is stored: of a fixed width, so that times sort as text;
// the zero time is NULL.
func stamp(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UTC().Truncate(time.Microsecond).Format(store.CanonicalTime)
}

// encoding is how SQLite takes times and JSON.
var encoding = row.Encoding{Time: stamp, JSON: encodeJSON}

// narrowed is the condition, on one parameter, by which a list shows a scope,
// and the parameter's value. Nobody's is NULL, which equals no row's.
func narrowed(s row.Scope, column, parameter string) (condition string, value any) {
	if s.All {
		return parameter + " IS NULL", nil
	}
	return column + " = " + parameter, row.OrNull(s.OrganizationID)
}
