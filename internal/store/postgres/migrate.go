package postgres

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/supabase"
)

// migration is one file of the schema.
type migration struct {
	version int64
	name    string
	sql     string // without the BEGIN and COMMIT around it
}

// migrationLock is the one that the files take themselves, for the Supabase CLI.
const migrationLock = `SELECT pg_advisory_xact_lock(7239481041701)`

// recordTable keeps what was applied. The Supabase CLI has its own record; what
// it laid is laid once more, which does no harm, and then recorded here too.
const recordTable = `CREATE TABLE IF NOT EXISTS berth.schema_migrations (
		version    BIGINT PRIMARY KEY,
		name       TEXT NOT NULL,
		applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
	);
	ALTER TABLE berth.schema_migrations ENABLE ROW LEVEL SECURITY;
	DROP POLICY IF EXISTS system ON berth.schema_migrations;
	CREATE POLICY system ON berth.schema_migrations FOR SELECT TO berth_system USING (true);
	REVOKE ALL ON berth.schema_migrations FROM PUBLIC, anon, authenticated, service_role, berth_api;
	GRANT SELECT ON berth.schema_migrations TO berth_system`

// load reads the files of a folder, in the order of their versions.
func load(files fs.FS, folder string) ([]migration, error) {
	names, err := fs.Glob(files, folder+"/*.sql")
	if err != nil {
		return nil, err
	}
	var list []migration
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		base := strings.TrimSuffix(path.Base(name), ".sql")
		digits, _, _ := strings.Cut(base, "_")
		version, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, err
		}
		before, rest, begins := strings.Cut(string(data), "\nBEGIN;\n")
		body, after, ends := strings.Cut(rest, "\nCOMMIT;\n")
		if !begins || !ends || strings.TrimSpace(after) != "" {
			return nil, errors.New(name + " is not one transaction from BEGIN; to COMMIT;")
		}
		list = append(list, migration{version, base, before + "\n" + body})
	}
	slices.SortFunc(list, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	return list, nil
}

// migrate brings the schema up to date, or with keep only looks whether it is.
func (s *Store) migrate(ctx context.Context, keep bool) error {
	return s.alone(ctx, "migrate database", func(c *pgx.Conn) error {
		up, err := load(supabase.Migrations, "migrations")
		if err != nil {
			return err
		}
		have, err := version(ctx, c)
		if err != nil {
			return err
		}
		switch want := up[len(up)-1].version; {
		case have > want:
			return (&berth.Error{Code: berth.CodeStorageUnavailable, Op: "open database",
				Message: "The database was written by a newer Berth: its schema is version " + strconv.FormatInt(have, 10) +
					", this program knows up to " + strconv.FormatInt(want, 10)}).
				WithHint("run the newer program, or restore a backup from before the upgrade")
		case have < want && keep:
			return (&berth.Error{Code: berth.CodeStorageUnavailable, Op: "open database",
				Message: "The schema of the database is version " + strconv.FormatInt(have, 10) +
					", this program needs version " + strconv.FormatInt(want, 10)}).
				WithHint("run berth migrate with a login that owns the schema")
		}
		for _, m := range up {
			if m.version <= have {
				continue
			}
			if err := apply(ctx, c, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply lays one file and records it, both or neither. Of two that do so at
// once, the second finds it done.
func apply(ctx context.Context, c *pgx.Conn, m migration) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, migrationLock); err != nil {
			return err
		}
		have, err := recorded(ctx, tx)
		if err != nil || have >= m.version {
			return err
		}
		if err := refusal(script(ctx, tx, m.sql)); err != nil {
			return err
		}
		if err := script(ctx, tx, recordTable); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO berth.schema_migrations (version, name) VALUES ($1, $2)`, m.version, m.name)
		return err
	})
}

// script runs several statements.
func script(ctx context.Context, tx pgx.Tx, sql string) error {
	return tx.Conn().PgConn().Exec(ctx, sql).Close()
}

// MigrateDown takes the schema back to a version, 0 for none of Berth's: all the
// way or not at all. What the newer files keep is lost: back up first.
func (s *Store) MigrateDown(ctx context.Context, to int64) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	down, err := load(supabase.Rollbacks, "rollbacks")
	if err != nil {
		return fault(ctx, err, "migrate database")
	}
	slices.Reverse(down)
	return s.alone(ctx, "migrate database", func(c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, migrationLock); err != nil {
				return err
			}
			for _, m := range down {
				if m.version <= to {
					break
				}
				if err := revert(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func revert(ctx context.Context, tx pgx.Tx, m migration) error {
	have, err := recorded(ctx, tx)
	if err != nil || have < m.version {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM berth.schema_migrations WHERE version = $1`, m.version); err != nil {
		return err
	}
	if have, err = recorded(ctx, tx); err == nil && have == 0 {
		_, err = tx.Exec(ctx, `DROP TABLE berth.schema_migrations`) // the schema goes with the first file
	}
	if err != nil {
		return err
	}
	return refusal(script(ctx, tx, m.sql))
}

// refusal is what a file of the schema itself says against being applied.
func refusal(err error) error {
	var p *pgconn.PgError
	if errors.As(err, &p) && p.Code == raisedException {
		return berth.Errorf(berth.CodeInvalidRequest, "The schema refuses: %s", p.Message).WithHint("%s", cmp.Or(p.Hint, "see the file's first lines"))
	}
	return err
}

// Version returns the version of the schema, 0 if there is none.
func (s *Store) Version(ctx context.Context) (v int64, err error) {
	leave, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	err = s.alone(ctx, "read version of schema", func(c *pgx.Conn) (err error) {
		v, err = version(ctx, c)
		return err
	})
	return v, err
}

// version reads it as berth_system, for a login that owns nothing.
func version(ctx context.Context, c *pgx.Conn) (v int64, err error) {
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		v, err = recorded(ctx, tx)
		return err
	})
	return v, err
}

func recorded(ctx context.Context, tx pgx.Tx) (v int64, err error) {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('berth.schema_migrations') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM berth.schema_migrations`).Scan(&v)
	return v, err
}

// alone runs fn on a connection of its own, again for a time if the server
// can't be reached or is starting. Nothing of what fn had begun is left then.
func (s *Store) alone(ctx context.Context, op string, fn func(*pgx.Conn) error) error {
	var until time.Time
	for wait := retryWait; ; wait *= 2 {
		c, err := pgx.ConnectConfig(ctx, s.config.Copy())
		if err == nil {
			err = fn(c)
			closeConn(c)
		}
		now := time.Now()
		if until.IsZero() {
			until = now.Add(retryFor)
		}
		if err == nil || !retryable(err) || now.Add(wait).After(until) || !pause(ctx, wait) {
			if sqlstate(err) == insufficientPrivilege {
				return storage(err, op, "the login may not do that; use one that owns Berth's schema, or that is a member of berth_api and berth_system")
			}
			return fault(ctx, err, op)
		}
	}
}
