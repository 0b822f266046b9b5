package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// tx is one transaction of one actor. Every row that it reads or writes is
// checked against the actor, here and by the database.
type tx struct {
	row.Access
	conn   *pgx.Conn
	xid    string // number of a write transaction
	run    string // of the server that gave it
	store  string // id of the Store
	failed error  // of a statement: the server takes no more in this transaction
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

// note remembers the failure of a statement.
func (t *tx) note(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// exec runs one statement and returns how many rows it changed. Errors are the
// driver's, for the caller to interpret.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if t.failed != nil {
		return 0, t.failed
	}
	tag, err := t.conn.Exec(ctx, query, clean(args)...)
	return tag.RowsAffected(), t.note(err)
}

// guarded is exec for a row that a constraint may refuse: the transaction goes
// on then. It takes one round trip, two if the row is refused.
func (t *tx) guarded(ctx context.Context, query string, args ...any) (n int64, err error) {
	if t.failed != nil {
		return 0, t.failed
	}
	b := &pgx.Batch{}
	b.Queue("SAVEPOINT guarded")
	b.Queue(query, clean(args)...).Exec(func(tag pgconn.CommandTag) error { n = tag.RowsAffected(); return nil })
	b.Queue("RELEASE guarded")
	err = t.conn.SendBatch(ctx, b).Close()
	if err == nil {
		return n, nil
	}
	_, duplicate := violated(err, uniqueViolation)
	if !duplicate && !isDangling(err) {
		return 0, t.note(err)
	}
	if _, back := t.conn.Exec(ctx, "ROLLBACK TO guarded"); back != nil {
		return 0, t.note(back)
	}
	return 0, err
}

// one reads one row into dst; ok is false if there is none.
func (t *tx) one(ctx context.Context, dst []any, query string, args ...any) (ok bool, err error) {
	if t.failed != nil {
		return false, t.failed
	}
	err = t.conn.QueryRow(ctx, query, clean(args)...).Scan(dst...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, t.note(err)
}

// many calls scan for each row.
func (t *tx) many(ctx context.Context, scan func(pgx.Rows) error, query string, args ...any) error {
	if t.failed != nil {
		return t.failed
	}
	rows, err := t.conn.Query(ctx, query, clean(args)...)
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
	ok, err := t.one(ctx, []any{&id}, `SELECT id FROM berth.installation`)
	if err != nil {
		return "", fault(ctx, err, "read installation")
	}
	if !ok {
		return "", row.NotFound("Installation")
	}
	return id, nil
}

// install names the installation if it has no name yet.
func (s *Store) install(ctx context.Context) error {
	return s.InTx(ctx, berth.System(), func(x store.Tx) error {
		_, err := x.Installations.(*tx).exec(ctx, `INSERT INTO berth.installation (id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			berth.NewID(), stamp(time.Now()))
		return fault(ctx, err, "name installation")
	})
}
