package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/durable"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a file as Berth's ("Brth").
const applicationID = 1114797160

// markOurs comes before anything else is written: whatever moment the power
// fails at, the next start knows the file again.
const markOurs = "PRAGMA application_id = 1114797160"

// uri names the file to SQLite. Its log gets the mode of the file.
func uri(o Options, mode string) string {
	path := (&url.URL{Path: filepath.ToSlash(o.Path)}).EscapedPath()
	// SQLite takes a plus for a plus.
	modeof := strings.ReplaceAll(url.QueryEscape(o.Path), "+", "%20")
	u := "file:" + path + "?mode=" + mode + "&modeof=" + modeof
	if o.Query != "" {
		u += "&" + o.Query
	}
	return u
}

// prepareFile makes the directory and an empty file, so that SQLite never
// makes one that others can read.
func prepareFile(path string) error {
	failed := func(err error) error {
		return storage(err, "open database", "make sure that the state directory exists, is writable and has space: %s", filepath.Dir(path))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return failed(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return failed(err)
	}
	if err := f.Close(); err != nil {
		return failed(err)
	}
	return nil
}

// secureFiles takes the files from everyone but the owner, also those that an
// earlier version or a restore left open, and makes their names durable.
func secureFiles(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Chmod(name, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storage(err, "protect database", "the user that runs Berth must own %s", name)
		}
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return storage(err, "open database", "check the disk that holds %s", path)
	}
	return nil
}

// check refuses a file that is damaged or not Berth's. It reads the file once,
// on a connection of its own, so that what that needs is given back.
func check(ctx context.Context, o Options) error {
	s, err := openSession(ctx, o, "rw")
	if err != nil {
		return damaged(err, o.Path)
	}
	defer s.close() // nothing was written

	var verdict string
	var id, objects int
	err = s.conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	if err == nil {
		err = s.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects)
	}
	if err == nil {
		err = s.conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id)
	}
	switch {
	case err != nil:
		return damaged(fault(ctx, err, "check database"), o.Path)
	case verdict != "ok":
		return damaged(errors.New(verdict), o.Path)
	case objects > 0 && id != applicationID:
		return berth.Errorf(berth.CodeStorageUnavailable, "%s is not Berth's database", o.Path).
			WithHint("it was made by another program (application id %d); choose another state directory", id)
	}
	return nil
}

// damaged adds the way out to an error that means that the file can't be
// trusted, and leaves other errors as they are.
func damaged(err error, path string) error {
	var b *berth.Error
	if errors.As(err, &b) && !errors.Is(err, sqlite3.CORRUPT) && !errors.Is(err, sqlite3.NOTADB) {
		return err
	}
	return (&berth.Error{
		Code: berth.CodeStorageUnavailable, Op: "open database", Err: err,
		Message: "The database " + path + " is damaged",
	}).WithHint("tenants keep running. Stop Berth, move %s, %s-wal and %s-shm away, put a backup in the place of %s, and start again",
		path, path, path, path)
}

// migrate brings the schema up to date, each step in a transaction of its own.
func migrate(ctx context.Context, o Options, files fs.FS) error {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return fault(ctx, err, "migrate database")
	}
	db, err := driver.Open(uri(o, "rw"), func(c *sqlite3.Conn) error {
		// WAL is a property of the file: set once, before anything is written.
		return c.Exec(pragmas + "PRAGMA journal_mode = WAL;")
	})
	if err != nil {
		return fault(ctx, err, "open database")
	}
	defer db.Close() // what was committed is on disk already
	db.SetMaxOpenConns(1)
	if err := requireWAL(ctx, db); err != nil {
		return err
	}
	var id int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fault(ctx, err, "open database")
	}
	if id != applicationID { // an empty file: check refused all others
		if _, err := db.ExecContext(ctx, markOurs); err != nil {
			return fault(ctx, err, "migrate database")
		}
	}

	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fault(ctx, err, "migrate database")
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fault(ctx, err, "migrate database")
	}
	if have > want {
		return (&berth.Error{Code: berth.CodeStorageUnavailable, Op: "open database",
			Message: "The database was written by a newer Berth: its schema is version " + strconv.FormatInt(have, 10) +
				", this program knows up to " + strconv.FormatInt(want, 10)}).
			WithHint("run the newer program, or restore a backup from before the upgrade")
	}
	if have == want {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fault(ctx, err, "migrate database")
	}
	return nil
}

func requireWAL(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fault(ctx, err, "open database")
	}
	if !strings.EqualFold(mode, "wal") {
		return berth.Errorf(berth.CodeStorageUnavailable, "The database can't use a write-ahead log; its journal mode is %s", mode).
			WithHint("put the state directory on a local file system that supports locks and shared memory")
	}
	return nil
}
