package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// database is the tenant's PostgreSQL. Its pool drops connections that broke
// and makes new ones, so a restart of the database is a few failed requests.
type database struct {
	pool   *pgxpool.Pool
	schema int // the version that this release needs
}

// openDatabase does not connect: the web starts, and says that it is unwell,
// while the database is away.
func openDatabase(ctx context.Context, c config, service string) (*database, error) {
	p, err := c.pool(service)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, p)
	if err != nil {
		return nil, err
	}
	return &database{pool: pool, schema: c.Schema}, nil
}

func (d *database) close() { d.pool.Close() }

type note struct {
	ID        int64     `json:"id"`
	Body      string    `json:"body"`
	CreatedAt time.Time `json:"createdAt"`
}

type noteList struct {
	Notes []note `json:"notes"` // the newest, newest first
	Total int64  `json:"total"` // of all
}

type jobCounts struct {
	Pending int64 `json:"pending"`
	Done    int64 `json:"done"`
	Runs    int64 `json:"runs"` // how often jobs were done: Done, unless one was done twice
}

type stats struct {
	MigrationRuns  int64 `json:"migrationRuns"`
	DatabaseStarts int64 `json:"databaseStarts"`
	LockRefusals   int64 `json:"lockRefusals"` // servers that found the volume in use
}

// unwell says which of the things that the web depends on fails.
type unwell struct {
	what string
	err  error
}

func (u unwell) Error() string { return u.what + ": " + u.err.Error() }
func (u unwell) Unwrap() error { return u.err }

// Ready fails with an unwell if the app can't do its work.
func (d *database) Ready(ctx context.Context) error {
	have := 0
	err := d.one(ctx, selectSchema, nil, &have)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "42P01": // undefined_table
		return unwell{"schema", errors.New("no migration has run")}
	case err != nil:
		return unwell{"database", err}
	case have < d.schema: // a newer one serves an older release too
		return unwell{"schema", fmt.Errorf("is at version %d, this release needs %d", have, d.schema)}
	}
	return nil
}

func (d *database) AddNote(ctx context.Context, body string) (id int64, err error) {
	err = d.one(ctx, `INSERT INTO notes (body) VALUES ($1) RETURNING id`, []any{body}, &id)
	return id, err
}

func (d *database) Notes(ctx context.Context, limit int) (noteList, error) {
	list := noteList{}
	rows, err := d.pool.Query(ctx, `SELECT id, body, created_at FROM notes ORDER BY id DESC LIMIT $1`, limit)
	if err != nil {
		return list, err
	}
	if list.Notes, err = pgx.CollectRows(rows, pgx.RowToStructByPos[note]); err != nil {
		return list, err
	}
	return list, d.one(ctx, `SELECT count(*) FROM notes`, nil, &list.Total)
}

// AddJobs puts n jobs down, each of which takes some milliseconds.
func (d *database) AddJobs(ctx context.Context, n, millis int) error {
	_, err := d.pool.Exec(ctx, `INSERT INTO jobs (millis) SELECT $2::integer FROM generate_series(1, $1::integer)`, n, millis)
	return err
}

func (d *database) Jobs(ctx context.Context) (jobCounts, error) {
	var c jobCounts
	err := d.one(ctx, `SELECT count(*) FILTER (WHERE done_at IS NULL), count(done_at), coalesce(sum(runs), 0) FROM jobs`,
		nil, &c.Pending, &c.Done, &c.Runs)
	return c, err
}

// Stats asks the database image's own functions for what happened on the
// volume; see ../db/entry.sh.
func (d *database) Stats(ctx context.Context) (stats, error) {
	var s stats
	err := d.one(ctx, `SELECT (SELECT count(*) FROM migration_runs), server.starts(), server.refusals()`,
		nil, &s.MigrationRuns, &s.DatabaseStarts, &s.LockRefusals)
	return s, err
}

// Take does one pending job, if there is one that no other worker has in hand.
// The job is done when work has returned nil and the transaction is committed;
// until then it is locked, and returned by a rollback, or by the end of the
// connection if this process dies.
func (d *database) Take(ctx context.Context, work func(context.Context, job) error) (found bool, err error) {
	err = pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		var j job
		err := tx.QueryRow(ctx, `SELECT id, millis FROM jobs WHERE done_at IS NULL ORDER BY id
			LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&j.ID, &j.Millis)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		if err := work(ctx, j); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE jobs SET done_at = now(), runs = runs + 1 WHERE id = $1`, j.ID)
		return err
	})
	return found && err == nil, err
}

// one reads one row. It asks again, once, if the statement never left: the pool
// handed out a connection that a restart of the database had broken.
func (d *database) one(ctx context.Context, sql string, args []any, into ...any) error {
	err := d.pool.QueryRow(ctx, sql, args...).Scan(into...)
	if err != nil && pgconn.SafeToRetry(err) && ctx.Err() == nil {
		err = d.pool.QueryRow(ctx, sql, args...).Scan(into...)
	}
	return err
}
