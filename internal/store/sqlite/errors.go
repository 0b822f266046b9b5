package sqlite

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"github.com/unite-hub/berth"
)

// fault turns what the driver returned into an error of Berth's, by SQLite's
// result code. Errors that have a code, and the end of ctx, pass as they are.
func fault(ctx context.Context, err error, op string) error {
	if err == nil {
		return nil
	}
	var known *berth.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil && (errors.Is(err, sqlite3.INTERRUPT) || errors.Is(err, ctx.Err())) {
		return ctx.Err()
	}
	is := func(codes ...sqlite3.ErrorCode) bool {
		for _, c := range codes {
			if errors.Is(err, c) {
				return true
			}
		}
		return false
	}
	switch {
	case is(sqlite3.FULL):
		return storage(err, op, "the disk that holds Berth's state is full; free some space and try again")
	case is(sqlite3.READONLY, sqlite3.PERM, sqlite3.CANTOPEN, sqlite3.AUTH):
		return storage(err, op, "the state directory must be writable by the user that runs Berth; a disk that failed may have been remounted read-only")
	case is(sqlite3.IOERR):
		return storage(err, op, "the disk that holds Berth's state fails or is full; see the kernel's log")
	case is(sqlite3.BUSY, sqlite3.LOCKED, sqlite3.PROTOCOL):
		return storage(err, op, "another program holds the database; only one Berth may use a state directory")
	case is(sqlite3.CORRUPT, sqlite3.NOTADB):
		return storage(err, op, "the database is damaged; stop Berth and restore a backup")
	case is(sqlite3.NOMEM):
		return storage(err, op, "the machine is out of memory")
	}
	return &berth.Error{Code: berth.CodeInternal, Op: op, Message: "The database refused a statement", Err: err,
		Hint: "this is a fault of Berth; please report it"}
}

func storage(err error, op, hint string, args ...any) error {
	return (&berth.Error{Code: berth.CodeStorageUnavailable, Op: op, Message: "The database can't be used", Err: err}).
		WithHint(hint, args...)
}

// isDuplicate reports whether a unique index refused the row. SQLite says
// which one only in text, so callers ask the tables instead: nothing changes
// between the two statements of a write transaction.
func isDuplicate(err error) bool { return errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) }

// isDangling reports whether a row refers to one that is not there.
func isDangling(err error) bool { return errors.Is(err, sqlite3.CONSTRAINT_FOREIGNKEY) }
