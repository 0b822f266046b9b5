package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// tx is one transaction of one actor. Every row that it reads or writes is
// checked against the actor.
type tx struct {
	*session
	actor  berth.Actor
	writes bool
	failed error // of a statement: SQLite may have rolled back, so nothing more may run
}

var _ store.Tx = (*tx)(nil)

// everything reports whether the actor sees what belongs to the installation,
// and with it every organization.
func (t *tx) everything() bool { return t.actor.Installation() }

// anything reports whether the actor sees any organization at all.
func (t *tx) anything() bool {
	return t.actor.Everywhere() || t.actor.MaySee(t.actor.OrganizationID)
}

// scope returns the arguments with which a list is narrowed to the
// organizations that the actor sees: "(? OR organization_id = ?)". For the
// actor who sees nothing, no row matches, because no row's organization is
// empty.
func (t *tx) scope() (all bool, organizationID string) {
	if !t.anything() {
		return false, ""
	}
	return t.actor.Everywhere(), t.actor.OrganizationID
}

// scopeOf is scope for a list that may be asked of one organization; "" for
// all.
func (t *tx) scopeOf(organizationID string) (all bool, narrowed string) {
	switch {
	case organizationID == "":
		return t.scope()
	case t.actor.MaySee(organizationID):
		return false, organizationID
	}
	return false, ""
}

// writable returns why this transaction must not write at all.
func (t *tx) writable() error {
	if !t.writes {
		return row.ReadOnly()
	}
	return nil
}

// mayWrite returns why the actor must not write a row of the organization, or
// with "" of the installation.
func (t *tx) mayWrite(organizationID string) error {
	if err := t.writable(); err != nil {
		return err
	}
	if !t.actor.MayWrite(organizationID) {
		return row.Forbidden()
	}
	return nil
}

// mayManage is mayWrite for tokens, invitations, memberships and channels.
func (t *tx) mayManage(organizationID string) error {
	if err := t.writable(); err != nil {
		return err
	}
	if !t.actor.MayManage(organizationID) {
		return row.Forbidden()
	}
	return nil
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

// Installation implements store.Tx.
func (t *tx) Installation(ctx context.Context) (string, error) {
	var id string
	if !t.anything() {
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

// timeFormat has a fixed width, so that times sort as text.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// stamp is a time as it is stored; the zero time is NULL.
func stamp(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UTC().Truncate(time.Microsecond).Format(timeFormat)
}

// orNull stores the zero value, which means unknown or none, as NULL.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// column reads one column into *dst; NULL gives the zero value.
type column[T any] struct {
	dst   *T
	parse func(any) (T, error)
}

// Scan implements sql.Scanner.
func (c column[T]) Scan(v any) error {
	var zero T
	if v == nil {
		*c.dst = zero
		return nil
	}
	got, err := c.parse(v)
	if err != nil {
		return err
	}
	*c.dst = got
	return nil
}

func text[T ~string](dst *T) any {
	return column[T]{dst, func(v any) (T, error) {
		s, ok := v.(string)
		if !ok {
			return "", fmt.Errorf("text column holds a %T", v)
		}
		return T(s), nil
	}}
}

func number(dst *int) any {
	return column[int]{dst, func(v any) (int, error) {
		n, ok := v.(int64)
		if !ok {
			return 0, fmt.Errorf("integer column holds a %T", v)
		}
		return int(n), nil
	}}
}

func instant(dst *time.Time) any {
	return column[time.Time]{dst, func(v any) (time.Time, error) {
		s, ok := v.(string)
		if !ok {
			return time.Time{}, fmt.Errorf("time column holds a %T", v)
		}
		return time.Parse(timeFormat, s)
	}}
}

func prefix(dst *netip.Prefix) any {
	return column[netip.Prefix]{dst, func(v any) (netip.Prefix, error) {
		s, ok := v.(string)
		if !ok {
			return netip.Prefix{}, fmt.Errorf("subnet column holds a %T", v)
		}
		return netip.ParsePrefix(s)
	}}
}
