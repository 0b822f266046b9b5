package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/move"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// Schema is which version a PostgreSQL database has, and which one this program
// needs. 0 is none.
type Schema struct {
	Before int64 `json:"before"`
	Now    int64 `json:"now"`
	Latest int64 `json:"latest"`
}

// Moved is how many rows of a table were moved and found the same.
type Moved = move.Moved

// LookAtSchema changes nothing.
func LookAtSchema(ctx context.Context, url string) (s Schema, err error) {
	if err := onlyPostgres("database-url", url); err != nil {
		return s, err
	}
	s.Now, s.Latest, err = postgres.Look(ctx, postgres.Options{URL: url})
	s.Before = s.Now
	return s, err
}

// MigrateUp brings the schema up to date.
func MigrateUp(ctx context.Context, url string) (Schema, error) {
	return changeSchema(ctx, url, func(o postgres.Options) error {
		s, err := postgres.Open(ctx, o)
		if err != nil {
			return err
		}
		return s.Close()
	})
}

// MigrateDown takes the schema back to an earlier version. What the files above
// it keep is lost.
func MigrateDown(ctx context.Context, url string, to int64) (Schema, error) {
	return changeSchema(ctx, url, func(o postgres.Options) error { return postgres.Down(ctx, o, to) })
}

func changeSchema(ctx context.Context, url string, change func(postgres.Options) error) (Schema, error) {
	before, err := LookAtSchema(ctx, url)
	if err != nil {
		return before, err
	}
	if err := change(postgres.Options{URL: url}); err != nil {
		return before, err
	}
	s, err := LookAtSchema(ctx, url)
	s.Before = before.Now
	return s, err
}

func onlyPostgres(flag, url string) error {
	switch {
	case isPostgres(url):
		return nil
	case strings.HasPrefix(url, "sqlite:"):
		return berth.Errorf(berth.CodeInvalidRequest, "--%s names a SQLite file", flag).WithField(flag).
			WithHint("berth serve brings a file up to date itself, when it starts; give a postgres:// URL")
	}
	scheme, _, _ := strings.Cut(url, ":") // the rest may hold a password
	return invalid(flag, scheme+":…", "must begin with postgres://", "give such as postgres://berth@localhost/berth")
}

// Move brings the installation in a SQLite file into an empty PostgreSQL
// database. The file is brought up to date as serve does it, and else only read.
func Move(ctx context.Context, stateDir, from, to string) (list []Moved, err error) {
	if isPostgres(from) {
		return nil, berth.Errorf(berth.CodeNotSupportedYet, "An installation can't be moved out of PostgreSQL").WithField("from").
			WithHint("only --from sqlite:PATH --to postgres://… is there; what PostgreSQL holds, berth backup saves")
	}
	if !strings.HasPrefix(from, "sqlite:") {
		scheme, _, _ := strings.Cut(from, ":")
		return nil, invalid("from", scheme+":…", "must begin with sqlite:", "give sqlite:PATH, or sqlite: for the file in the state directory")
	}
	if err := onlyPostgres("to", to); err != nil {
		return nil, err
	}
	path, query, err := parseDatabase(Config{StateDir: stateDir, DatabaseURL: from})
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, berth.Errorf(berth.CodeInvalidRequest, "There is no database to move: %w", err).WithField("from").
			WithHint("give the file that berth serve uses, berth.db in its state directory")
	}
	unlock, err := lockFile(stateDir, path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	origin, err := sqlite.Open(ctx, sqlite.Options{Path: path, Query: query})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, origin.Close()) }()
	destination, err := postgres.Open(ctx, postgres.Options{URL: to})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, destination.Close()) }()
	return move.Run(ctx, origin, destination)
}

// lockFile takes what serve takes before it opens a file: the state directory,
// and the directory of the file, which is the same unless serve was told
// otherwise.
func lockFile(stateDir, path string) (unlock func(), err error) {
	var held closers
	unlock = func() { _ = held.close() } // of locks: never fails
	dirs := []string{filepath.Dir(path)}
	if known, err := os.Stat(stateDir); err == nil {
		if of, err := os.Stat(dirs[0]); err == nil && !os.SameFile(known, of) {
			dirs = append(dirs, stateDir)
		}
	}
	for _, dir := range dirs {
		free, err := lockState(dir)
		if err != nil {
			unlock()
			return nil, berth.Errorf(berth.CodeStorageUnavailable, "The installation can't be moved now: %w", err).
				WithHint("stop Berth first; give the --state-dir that it was started with")
		}
		held.add(func() error { free(); return nil })
	}
	return unlock, nil
}
