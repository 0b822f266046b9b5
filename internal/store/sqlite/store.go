// Package sqlite keeps Berth's state in one SQLite file: what tenants should
// be, what was last seen of them, and their history.
//
// The file is in WAL mode with synchronous=FULL: a commit is on disk before
// InTx returns. One connection writes, a few read, and a reader never waits
// for the writer. What SQLite has no row-level security for, the transactions
// here do themselves: each carries its actor and checks every row against it.
package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// Options say where the database is.
type Options struct {
	// Path of the file. It and its directory are made if they are missing, for
	// the owner only (0600, 0700).
	Path string

	// Query is added to the connections' URI, such as "vfs=name". Optional.
	Query string
}

// readers is how many Views run at once. Each costs about the page cache of
// its connection; further ones wait for a reader, never for a writer.
const readers = 4

// Store is an open database. Its methods may be called concurrently. Inside
// InTx, do not call InTx again: it would wait for itself.
type Store struct {
	path   string
	query  string
	writer *pool // of one: write transactions are serialised here
	reader *pool

	closing sync.Once
	closed  chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open opens the database, makes it if there is none, and brings its schema up
// to date. It refuses a file that is damaged, that a newer Berth has written,
// or that is not Berth's.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, berth.Errorf(berth.CodeInternal, "The database has no path").WithHint("set Options.Path")
	}
	if err := prepareFile(o.Path); err != nil {
		return nil, err
	}
	if err := check(ctx, o); err != nil {
		return nil, err
	}
	if err := migrate(ctx, o, migrations); err != nil {
		return nil, err
	}
	closed := make(chan struct{})
	s := &Store{
		path:   o.Path,
		query:  o.Query,
		writer: newPool(1, closed, func(ctx context.Context) (*session, error) { return openSession(ctx, o, "rw") }),
		reader: newPool(readers, closed, func(ctx context.Context) (*session, error) { return openSession(ctx, o, "ro") }),
		closed: closed,
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin gives a new database its installation id, and makes the names of the
// file and of its log durable.
func (s *Store) begin(ctx context.Context) error {
	err := s.InTx(ctx, berth.System(), func(t store.Tx) error {
		return t.Installations.(*tx).install(ctx, berth.NewID(), time.Now())
	})
	if err != nil {
		return err
	}
	return secureFiles(s.path)
}

// Close waits for the transactions under way, then closes the database. Calls
// that come later are refused.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		// Readers first: the last connection to close folds the log into the file.
		err = errors.Join(s.reader.close(), s.writer.close())
	})
	return err
}

// InTx implements store.Store. The context ends the wait for the writer and
// whatever fn does; once fn has returned nil, the commit is carried through.
func (s *Store) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return s.run(ctx, s.writer, &tx{Access: row.Access{Actor: actor, Writes: true}}, fn)
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return s.run(ctx, s.reader, &tx{Access: row.Access{Actor: actor}}, fn)
}

func (s *Store) run(ctx context.Context, p *pool, t *tx, fn func(store.Tx) error) (err error) {
	ses, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer func() { p.give(ses) }()

	begin := "BEGIN DEFERRED"
	if t.Writes {
		begin = "BEGIN IMMEDIATE"
	}
	if err := ses.exec(ctx, begin); err != nil {
		return fault(ctx, err, "begin transaction")
	}
	committed := false
	defer func() { // also when fn panics
		if committed {
			return
		}
		// Not the caller's context: it may be what ended the transaction.
		if ses.exec(context.WithoutCancel(ctx), "ROLLBACK") != nil {
			ses.broken = true
		}
	}()
	t.session = ses
	if err := fn(t.nouns()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.failed != nil {
		return fault(ctx, t.failed, "commit")
	}
	// From here on the outcome is decided by the disk, not by who waits for it.
	if err := ses.exec(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return fault(ctx, err, "commit")
	}
	committed = true
	return nil
}
