package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/durable"
)

// Backup implements store.Store. The copy is one file without a log: what a
// reader sees at this moment, without the remains of deleted rows. It gets its
// name when it is complete, checked and on disk.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	const op = "back up database"
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return berth.Errorf(berth.CodeInvalidRequest, "Backup file exists already").WithField("path").
			WithHint("choose another name; %s is there", berth.Quote(path))
	}
	select {
	case <-s.closed:
		return errClosed()
	default:
	}
	dir := filepath.Dir(path)
	failed := func(err error) error {
		return storage(err, op, "make sure that %s exists, is writable and has space", dir)
	}
	// A directory, because SQLite makes files beside the copy.
	work, err := os.MkdirTemp(dir, ".berth-backup-*") // mode 0700
	if err != nil {
		return failed(err)
	}
	defer func() {
		if gone := os.RemoveAll(work); gone != nil && err == nil {
			_ = os.Remove(path) // a failed backup leaves no file
			err = failed(gone)
		}
	}()
	temp := filepath.Join(work, "copy")
	if err := s.copyTo(ctx, temp); err != nil {
		return err
	}
	if err := verify(ctx, temp); err != nil {
		return err
	}
	if err := syncFile(temp); err != nil {
		return failed(err)
	}
	// Link, not rename: it never takes the place of a file that came meanwhile.
	if err := os.Link(temp, path); err != nil {
		return failed(err)
	}
	if err := durable.SyncDir(dir); err != nil {
		_ = os.Remove(path)
		return failed(err)
	}
	return nil
}

// syncFile makes the content of a file durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// copyTo writes the copy on a connection of its own, so that neither readers
// nor the writer wait for it, and its memory is given back.
func (s *Store) copyTo(ctx context.Context, temp string) error {
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close() // SQLite accepts an empty file, and keeps its mode
	}
	if err != nil {
		return storage(err, "back up database", "make sure that %s is writable and has space", filepath.Dir(filepath.Dir(temp)))
	}
	ses, err := openSession(ctx, Options{Path: s.path, Query: s.query}, "ro")
	if err != nil {
		return err
	}
	defer ses.close() // read only
	if _, err := ses.conn.ExecContext(ctx, "VACUUM INTO ?", temp); err != nil {
		return fault(ctx, err, "back up database")
	}
	return nil
}

// verify reads the copy and checks it whole.
func verify(ctx context.Context, temp string) error {
	ses, err := openSession(ctx, Options{Path: temp}, "ro")
	if err != nil {
		return err
	}
	defer ses.close() // read only
	var verdict string
	if err := ses.conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return fault(ctx, err, "check backup")
	}
	if verdict != "ok" {
		return storage(fmt.Errorf("integrity check: %s", verdict), "check backup", "the disk may be failing; see the kernel's log")
	}
	return nil
}
