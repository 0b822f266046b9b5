package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
)

// migrations are applied in this order and never changed once released. Each
// must leave the schema usable by the release before it: the two run side by
// side while one takes over from the other, and a rollback keeps the schema.
var migrations = []string{
	// 1: what a tenant writes down
	`CREATE TABLE notes (
		id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		body       text NOT NULL,
		created_at timestamptz NOT NULL DEFAULT now()
	)`,
	// 2: work for the worker; runs counts how often a job was done
	`CREATE TABLE jobs (
		id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		millis     integer NOT NULL DEFAULT 0,
		done_at    timestamptz,
		runs       integer NOT NULL DEFAULT 0,
		created_at timestamptz NOT NULL DEFAULT now()
	)`,
	// 3: the next job is found without reading all that are done
	`CREATE INDEX jobs_pending ON jobs (id) WHERE done_at IS NULL`,
}

// migrationLock is the advisory lock that migrations of one tenant take turns
// with. The number has no meaning; it must never change.
const migrationLock = 7_414_502_193

// schemaTables are what migrations are recorded in. migration_runs has a row
// for each run, also for one that found nothing to do.
const schemaTables = `
	CREATE TABLE IF NOT EXISTS schema_migrations (
		version    integer PRIMARY KEY,
		applied_at timestamptz NOT NULL DEFAULT now()
	);
	CREATE TABLE IF NOT EXISTS migration_runs (
		id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		version     integer NOT NULL,
		ran_at      timestamptz NOT NULL DEFAULT now(),
		app_version text NOT NULL
	)`

// errOnPurpose is what MIGRATE_FAIL asks for.
var errOnPurpose = errors.New("MIGRATE_FAIL is set: failing on purpose")

// runMigrate brings the schema up to what this release needs, all in one
// transaction: a run that fails leaves no trace. It does not wait for the
// database; whoever starts it does.
func runMigrate(ctx context.Context, c config, logger *slog.Logger) error {
	p, err := c.pool("migrate")
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, p.ConnConfig)
	if err != nil {
		return fmt.Errorf("migrate: reach the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var from, to int
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		from, to, err = migrateTo(ctx, tx, c)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: nothing was changed: %w", err)
	}
	logger.Info("migrated", "from", from, "to", to)
	return nil
}

// migrateTo returns the schema version before and after. A schema newer than
// the release is left as it is.
func migrateTo(ctx context.Context, tx pgx.Tx, c config) (from, to int, err error) {
	// Waiting for another migration, and a long one, may take its time.
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
		return 0, 0, err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return 0, 0, fmt.Errorf("wait for another migration: %w", err)
	}
	if _, err := tx.Exec(ctx, schemaTables); err != nil {
		return 0, 0, fmt.Errorf("make the tables that migrations are recorded in: %w", err)
	}
	if err := tx.QueryRow(ctx, selectSchema).Scan(&from); err != nil {
		return 0, 0, fmt.Errorf("read the schema version: %w", err)
	}
	to = max(from, c.Schema)
	for v := from + 1; v <= to; v++ {
		if _, err := tx.Exec(ctx, migrations[v-1]); err != nil {
			return 0, 0, fmt.Errorf("migration %d: %w", v, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO schema_migrations (version) VALUES ($1)`, v); err != nil {
			return 0, 0, fmt.Errorf("record migration %d: %w", v, err)
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO migration_runs (version, app_version) VALUES ($1, $2)`, to, version); err != nil {
		return 0, 0, fmt.Errorf("record the run: %w", err)
	}
	if c.MigrateFail {
		return 0, 0, errOnPurpose
	}
	return from, to, nil
}

const selectSchema = `SELECT coalesce(max(version), 0) FROM schema_migrations`
