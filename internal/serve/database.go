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

// shared is a database that several control planes may have open.
type shared interface {
	database
	store.Leases
	// Listen calls ring for each tenant that another control plane took an order
	// for, until ctx ends. Rings may be lost.
	Listen(ctx context.Context, ring func(organizationID string)) error
}

// openDatabase opens the keys and the database that they belong to.
func (s *server) openDatabase(ctx context.Context) error {
	if isPostgres(s.DatabaseURL) {
		return s.openPostgres(ctx)
	}
	var err error
	if s.box, err = openKeys(s.StateDir, s.database); err != nil {
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
	mark, err := s.keyMark(ctx)
	if err != nil {
		return err
	}
	if mark == nil {
		if s.box, err = secret.Create(s.StateDir); err != nil {
			return err
		}
		if mark, err = s.markKeys(ctx); err != nil {
			return err
		}
	} else if s.box, err = secret.Load(s.StateDir); err != nil {
		return err
	}
	if _, err := s.box.Open(mark, keyContext); err != nil {
		return berth.Errorf(berth.CodeStorageUnavailable, "The keys in %s are not those of the database: %w", s.StateDir, err).
			WithHint("several control planes on one database need the same %s: copy it from the state directory of the first, mode 0600", secret.FileName)
	}
	return nil
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// keyContext binds the value by which a database knows its keys.
const keyContext = "installation|key"

// keyMark is what the database holds of its keys; nil for a new one.
func (s *server) keyMark(ctx context.Context) (mark []byte, err error) {
	err = s.store.View(ctx, berth.System(), func(tx store.Tx) error {
		mark, err = tx.KeyMark(ctx)
		return err
	})
	return mark, err
}

// markKeys makes the keys those of the database, unless another control plane
// was faster, and returns the mark.
func (s *server) markKeys(ctx context.Context) (mark []byte, err error) {
	sealed, err := s.box.Seal([]byte("berth"), keyContext)
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
