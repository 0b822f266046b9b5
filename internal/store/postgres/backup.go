package postgres

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/durable"
)

// A backup is one gzip file of lines, in this order:
//
//	{"format":"berth-postgres","formatVersion":1,"schema":45}
//	{"table":"public.organizations","columns":["id", …]}
//	rows of the table, as COPY writes them
//	\.
//	… the further tables, each after those it refers to
//	{"tables":[{"table":"public.organizations","rows":7,"sum":"…"}, …]}
//
// sum is the sum of the SHA-256 of the rows, which does not depend on their
// order. What the migrations note of themselves is not in it.

const (
	backupFormat  = "berth-postgres"
	backupVersion = 1
	endOfTable    = `\.`
)

type backupHead struct {
	Format        string `json:"format"`
	FormatVersion int    `json:"formatVersion"`
	Schema        int64  `json:"schema"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`

	foreign bool // row-level security is not forced on its owner: it is another program's
}

type backupTail struct {
	Tables []tableSum `json:"tables"`
}

type tableSum struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Sum   string `json:"sum"`
}

// plain makes COPY write the same text wherever it runs, and lets it take its
// time.
const plain = `SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, YMD', true), set_config('bytea_output', 'hex', true),
	set_config('extra_float_digits', '1', true), set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)`

// Backup implements store.Store: all of Berth's tables, as one snapshot sees
// them. The file gets its name when it is complete, checked and on disk.
func (s *Store) Backup(ctx context.Context, file string) (err error) {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	const op = "back up database"
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return berth.Errorf(berth.CodeInvalidRequest, "Backup file exists already").WithField("path").
			WithHint("choose another name; %s is there", berth.Quote(file))
	}
	dir := filepath.Dir(file)
	failed := func(err error) error {
		var pathError *fs.PathError
		if !errors.As(err, &pathError) {
			return fault(ctx, err, op)
		}
		return storage(err, op, "make sure that %s exists, is writable and has space", dir)
	}
	temp, err := os.CreateTemp(dir, ".berth-backup-*") // mode 0600
	if err != nil {
		return failed(err)
	}
	defer func() {
		_ = temp.Close() // a second time, unless something failed
		if gone := os.Remove(temp.Name()); gone != nil && err == nil {
			_ = os.Remove(file) // a failed backup leaves no file
			err = failed(gone)
		}
	}()
	if err := s.alone(ctx, op, func(c *pgx.Conn) error { return copyOut(ctx, c, temp) }); err != nil {
		return failed(err)
	}
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return failed(err)
	}
	if _, err := readBackup(temp, nil); err != nil {
		return failed(err)
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return failed(err)
	}
	// Link, not rename: it never takes the place of a file that came meanwhile.
	if err := os.Link(temp.Name(), file); err != nil {
		return failed(&fs.PathError{Op: "link", Path: file, Err: err})
	}
	if err := durable.SyncDir(dir); err != nil {
		_ = os.Remove(file)
		return failed(err)
	}
	return nil
}

// copyOut writes every table to an empty file.
func copyOut(ctx context.Context, c *pgx.Conn, f *os.File) error {
	if err := errors.Join(f.Truncate(0), seek(f)); err != nil { // of an attempt before
		return err
	}
	compressed := gzip.NewWriter(f)
	w := bufio.NewWriter(compressed)
	err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, plain); err != nil {
			return err
		}
		schema, err := recorded(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT set_config('role', $1, true)`, roleSystem); err != nil {
			return err
		}
		tables, err := tablesOf(ctx, tx)
		if err != nil {
			return err
		}
		line := json.NewEncoder(w)
		if err := line.Encode(backupHead{backupFormat, backupVersion, schema}); err != nil {
			return err
		}
		var tail backupTail
		for _, t := range tables {
			if err := line.Encode(t); err != nil {
				return err
			}
			sum, err := copyTable(ctx, tx, t, w)
			if err != nil {
				return err
			}
			tail.Tables = append(tail.Tables, sum)
			if _, err := w.WriteString(endOfTable + "\n"); err != nil {
				return err
			}
		}
		return line.Encode(tail)
	})
	if err != nil {
		return err
	}
	return errors.Join(w.Flush(), compressed.Close())
}

func seek(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// copyTable writes the rows of a table and returns what they sum up to.
func copyTable(ctx context.Context, tx pgx.Tx, t backupTable, w io.Writer) (tableSum, error) {
	sum := &rowSum{to: w}
	_, err := tx.Conn().PgConn().CopyTo(ctx, sum, `COPY (SELECT `+quoted(t.Columns)+` FROM `+t.quoted()+`) TO STDOUT`)
	return sum.of(t.Table), err
}

// tablesOf lists Berth's tables and those it leans on, each after those that it
// refers to.
func tablesOf(ctx context.Context, tx pgx.Tx) ([]backupTable, error) {
	rows, err := tx.Query(ctx, `SELECT n.nspname || '.' || c.relname,
		(SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
		coalesce((SELECT array_agg(DISTINCT fn.nspname || '.' || f.relname) FROM pg_catalog.pg_constraint k
			JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
			WHERE k.conrelid = c.oid AND k.contype = 'f' AND f.oid <> c.oid), '{}'), NOT c.relforcerowsecurity
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND (n.nspname = 'berth' AND c.relname NOT IN ('made', 'schema_migrations') OR n.nspname = 'public' AND c.relname IN
			('organizations', 'user_profiles', 'user_organizations', 'tenant_containers', 'tenant_health', 'tenant_resource_usage', 'tenant_deployments'))
		ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	type node struct {
		backupTable
		needs []string
	}
	open, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n node, err error) {
		err = row.Scan(&n.Table, &n.Columns, &n.needs, &n.foreign)
		return n, err
	})
	if err != nil {
		return nil, err
	}
	waits := map[string]bool{}
	for _, n := range open {
		waits[n.Table] = true
	}
	var list []backupTable
	for len(open) > 0 {
		var later []node
		for _, n := range open {
			ready := true
			for _, name := range n.needs {
				ready = ready && !waits[name]
			}
			if !ready {
				later = append(later, n)
				continue
			}
			list = append(list, n.backupTable)
			delete(waits, n.Table)
		}
		if len(later) == len(open) {
			return nil, fmt.Errorf("the tables refer to each other in a circle: %s", later[0].Table)
		}
		open = later
	}
	return list, nil
}

func (t backupTable) quoted() string {
	schema, name, _ := strings.Cut(t.Table, ".")
	return pgx.Identifier{schema, name}.Sanitize()
}

func quoted(columns []string) string {
	list := make([]string, 0, len(columns))
	for _, c := range columns {
		list = append(list, pgx.Identifier{c}.Sanitize())
	}
	return strings.Join(list, ", ")
}
