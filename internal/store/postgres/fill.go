package postgres

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// fillCommit is how long the server may take to make everything durable.
const fillCommit = time.Minute

// Fill implements store.Destination. The login must own the schema; others wait
// for Berth's tables until it is over. What other programs keep of organizations
// and people stays.
func (s *Store) Fill(ctx context.Context, fn func(store.Filling) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	const op = "fill database"
	c, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return fault(ctx, err, op)
	}
	defer closeConn(c)
	t, err := c.Begin(ctx)
	if err != nil {
		return fault(ctx, err, op)
	}
	number := &tx{Access: row.Access{Writes: true}}
	err = (filling{t}).run(ctx, fn)
	if err == nil {
		err = t.QueryRow(ctx, numbered).Scan(&number.xid, &number.run)
	}
	if err != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = t.Rollback(late) // if it fails, the end of the connection does the same
		if sqlstate(err) == insufficientPrivilege {
			return storage(err, op, "the login may not do that; use one that owns Berth's schema")
		}
		return fault(ctx, err, op)
	}
	// From here on the server decides the outcome.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillCommit)
	defer cancel()
	tag, err := c.Exec(late, "COMMIT")
	if err == nil && tag.String() != "COMMIT" {
		err = errors.New("the server answered COMMIT with " + tag.String())
	}
	if lost(err) || late.Err() != nil {
		_, err = s.outcome(ctx, number, err)
	}
	if berth.Is(err, berth.CodeOutcomeUnknown) {
		return (&berth.Error{Code: berth.CodeOutcomeUnknown, Op: op, Message: "The connection to the database was lost while it stored everything", Err: err}).
			WithHint("begin again: if everything is there, the database is refused because it is in use")
	}
	return fault(ctx, err, op)
}

// filling works as the owner of the tables, who is let past row-level security
// until the transaction ends.
type filling struct{ tx pgx.Tx }

func (f filling) run(ctx context.Context, fn func(store.Filling) error) error {
	for _, statement := range []string{plain, `SET LOCAL client_encoding = 'UTF8'`, queue} {
		if _, err := f.tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	there, err := tablesOf(ctx, f.tx)
	if err != nil {
		return err
	}
	if err := force(ctx, f.tx, there, false); err != nil {
		return err
	}
	if err := f.unused(ctx, there); err != nil {
		return err
	}
	// Memberships that other programs keep.
	if err := f.as(ctx, roleSystem, func() error {
		_, err := f.tx.Exec(ctx, `CREATE TEMPORARY TABLE theirs ON COMMIT DROP AS SELECT user_id, organization_id FROM berth.memberships`)
		return err
	}); err != nil {
		return err
	}
	if err := fn(f); err != nil {
		return err
	}
	if err := numberOn(ctx, f.tx); err != nil {
		return err
	}
	return force(ctx, f.tx, there, true)
}

// unused refuses a database that another installation has, or another control
// plane. What Open and the migrations write makes way.
func (f filling) unused(ctx context.Context, tables []backupTable) error {
	for _, t := range tables {
		query := `SELECT EXISTS (SELECT FROM ` + t.quoted() + `)`
		switch t.Table {
		case "public.organizations", "public.user_profiles", "public.user_organizations":
			continue // may be other programs'
		case "berth.installation", "berth.outbox":
			if _, err := f.tx.Exec(ctx, `DELETE FROM `+t.quoted()); err != nil {
				return err
			}
			continue
		case "berth.engine_leases":
			query = `SELECT EXISTS (SELECT FROM berth.engine_leases WHERE expires_at > clock_timestamp())`
		}
		var used bool
		if err := f.tx.QueryRow(ctx, query).Scan(&used); err != nil {
			return err
		}
		if used {
			return berth.Errorf(berth.CodeInvalidRequest, "The database is in use: %s holds rows", t.Table).
				WithHint("give one in which no Berth has been started; two installations are never merged")
		}
	}
	return nil
}

// as runs fn in a role, and then goes on as the owner.
func (f filling) as(ctx context.Context, role string, fn func() error) error {
	const take = `SELECT set_config('role', $1, true)`
	if _, err := f.tx.Exec(ctx, take, role); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	_, err := f.tx.Exec(ctx, take, "none")
	return err
}

// Put implements store.Filling.
func (f filling) Put(ctx context.Context, t store.Table, each func(yield func(store.Row) error) error) error {
	p := mappingOf(t)
	if p.put == "" {
		return f.copy(ctx, p.table, t, each)
	}
	return f.as(ctx, roleSystem, func() error { return f.putThrough(ctx, p, t, each) })
}

// putThrough lets functions of the schema take the rows, which know how tables
// that may be other programs' look.
func (f filling) putThrough(ctx context.Context, p mapping, t store.Table, each func(yield func(store.Row) error) error) error {
	columns := quoted(p.columns(t))
	if _, err := f.tx.Exec(ctx, `CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT `+columns+` FROM `+p.table+` WITH NO DATA`); err != nil {
		return err
	}
	if err := f.copy(ctx, "pg_temp.incoming", t, each); err != nil {
		return err
	}
	if p.there != "" {
		var one string
		err := f.tx.QueryRow(ctx, p.there).Scan(&one)
		if err == nil {
			return berth.Errorf(berth.CodeInvalidRequest, "The database has one of %s already: %s", t.Name, one).
				WithHint("remove it there or in the installation that moves; two are never merged")
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
	}
	if err := script(ctx, f.tx, p.put); err != nil {
		return refused(t, err)
	}
	_, err := f.tx.Exec(ctx, `DROP TABLE pg_temp.incoming`)
	return err
}

// copy streams rows into a table.
func (f filling) copy(ctx context.Context, into string, t store.Table, each func(yield func(store.Row) error) error) error {
	reader, writer := io.Pipe()
	produced := make(chan error, 1)
	go func() {
		w := newCopyWriter(writer, t)
		err := each(w.row)
		if err == nil {
			err = w.Flush()
		}
		_ = writer.CloseWithError(err) // never fails; nil is the end
		produced <- err
	}()
	_, err := f.tx.Conn().PgConn().CopyFrom(ctx, reader, `COPY `+into+` (`+quoted(mappingOf(t).columns(t))+`) FROM STDIN`)
	_ = reader.Close() // never fails; ends the producer, if the server did not want all
	if source := <-produced; source != nil && !errors.Is(source, io.ErrClosedPipe) {
		return source
	}
	return refused(t, err)
}

// refused names the table and the row that the database does not take.
func refused(t store.Table, err error) error {
	var p *pgconn.PgError
	if !errors.As(err, &p) || !strings.HasPrefix(p.Code, "22") && !strings.HasPrefix(p.Code, "23") {
		return err
	}
	return (&berth.Error{Code: berth.CodeInvalidRequest, Message: "The database does not take a row of " + t.Name + ": " + p.Message, Err: err}).
		WithHint("%s", strings.TrimSpace("nothing was moved. "+p.Detail+" "+p.Where))
}

// Each implements store.Rows.
func (f filling) Each(ctx context.Context, t store.Table, fn func(store.Row) error) error {
	p := mappingOf(t)
	if p.role == "" {
		return f.each(ctx, p, t, fn)
	}
	return f.as(ctx, p.role, func() error { return f.each(ctx, p, t, fn) })
}

func (f filling) each(ctx context.Context, p mapping, t store.Table, fn func(store.Row) error) error {
	found, err := f.tx.Query(ctx, p.query(t))
	if err != nil {
		return err
	}
	defer found.Close() // Err below says what went wrong
	buffers := make([][]byte, len(t.Columns))
	for i := range buffers {
		buffers[i] = make([]byte, 0, 64) // not nil: that is NULL
	}
	row := make(store.Row, len(t.Columns))
	for found.Next() {
		for i, raw := range found.RawValues() {
			row[i] = nil
			if raw == nil {
				continue
			}
			if buffers[i], err = canonical(buffers[i][:0], t.Columns[i].Kind, raw); err != nil {
				return err
			}
			row[i] = buffers[i]
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	return found.Err()
}
