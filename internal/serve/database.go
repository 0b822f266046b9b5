package serve

import (
	"context"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// database is a store that this process opened.
type database interface {
	store.Store
	Close() error
}

// openDatabase opens the keys and the database.
func (s *server) openDatabase(ctx context.Context) error {
	if isPostgres(s.DatabaseURL) {
		return s.openPostgres(ctx)
	}
	return s.openSQLite(ctx)
}

// checkKeys refuses keys that are not the database's. One that was made before
// databases knew theirs is asked for what they opened.
func (s *server) checkKeys(ctx context.Context) error {
	if err := s.service.CheckKeys(ctx); err != nil {
		return err
	}
	mark, err := s.markKeys(ctx)
	if err != nil {
		return err
	}
	if _, err := s.box.Open(mark, berth.KeyMarkContext); err != nil {
		return berth.Errorf(berth.CodeStorageUnavailable, "The keys in %s are not those of the database: %w", s.Keys.path(s.StateDir), err).
			WithHint("put back the file that belongs to it; control planes that share a database share one %s: copy it, mode 0600, or name it with --key-file", secret.FileName)
	}
	return nil
}

func (s *server) openSQLite(ctx context.Context) (err error) {
	if s.box, err = openKeys(ctx, s.parsed); err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, sqlite.Options{Path: s.database, Query: s.query})
	if err != nil {
		return err
	}
	s.store = db
	s.closers.add(db.Close)
	return nil
}

// openPostgres makes keys only for a database that has none yet: another
// control plane's secrets would not open with them.
func (s *server) openPostgres(ctx context.Context) error {
	db, err := postgres.Open(ctx, postgres.Options{URL: s.DatabaseURL})
	if err != nil {
		return err
	}
	s.store, s.shared = db, db
	s.closers.add(db.Close)
	keys := s.Keys.path(s.StateDir)
	mark, err := s.keyMark(ctx)
	switch {
	case err != nil:
		return err
	case mark == nil:
		s.box, err = secret.CreateFile(ctx, keys, s.kms)
	default:
		s.box, err = secret.LoadFile(ctx, keys, s.kms)
	}
	return err
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// keyMark is what the database holds of its keys; nil for a new one.
func (s *server) keyMark(ctx context.Context) (mark []byte, err error) {
	err = s.store.View(ctx, berth.System(), func(tx store.Tx) error {
		mark, err = tx.KeyMark(ctx)
		return err
	})
	return mark, err
}

// markKeys makes the keys those of the database if it has none, and returns its
// mark.
func (s *server) markKeys(ctx context.Context) (mark []byte, err error) {
	if mark, err = s.keyMark(ctx); err != nil || mark != nil {
		return mark, err
	}
	sealed, err := s.box.Seal([]byte("berth"), berth.KeyMarkContext)
	if err != nil {
		return nil, err
	}
	err = s.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if mark, err = tx.KeyMark(ctx); err != nil || mark != nil {
			return err
		}
		mark = sealed
		return tx.SetKeyMark(ctx, sealed)
	})
	return mark, err
}
