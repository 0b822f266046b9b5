package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth"
)

// session is one connection and the statements prepared on it. One transaction
// uses it at a time.
type session struct {
	db     *sql.DB // of this one connection
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt // by text; every text is a constant of this package, so the map is bounded
	broken bool                 // in an unknown state: to be closed, not reused
}

// pragmas are set on every connection.
const pragmas = `
	PRAGMA busy_timeout = 5000;
	PRAGMA foreign_keys = ON;
	PRAGMA synchronous = FULL;
	PRAGMA journal_size_limit = 4194304;
	PRAGMA temp_store = MEMORY;
	PRAGMA trusted_schema = OFF;`

// The page caches are small: the whole control plane has 60 MB, and the kernel
// caches the file too. The writer's holds the pages that the history of 1,000
// tenants is written to: with an eighth of it, they would be read again for
// each row.
const (
	readCache  = "PRAGMA cache_size = -512;"
	writeCache = "PRAGMA cache_size = -4096;"
)

// erase has what is deleted or replaced overwritten, whole pages that are given
// back too: a webhook's URL of before it was sealed would stay in the file.
const erase = "PRAGMA secure_delete = ON;"

// openSession connects with mode "rw" or "ro".
func openSession(ctx context.Context, o Options, mode string) (*session, error) {
	cache := readCache
	if mode == "rw" {
		cache = writeCache + erase
	}
	db, err := driver.Open(uri(o, mode), func(c *sqlite3.Conn) error { return c.Exec(pragmas + cache) })
	if err != nil {
		return nil, fault(ctx, err, "open database")
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fault(ctx, err, "open database"), db.Close())
	}
	return &session{db: db, conn: conn, stmts: map[string]*sql.Stmt{}}, nil
}

// exec runs statements that have no parameters and are not worth keeping.
func (s *session) exec(ctx context.Context, query string) error {
	_, err := s.conn.ExecContext(ctx, query)
	return err
}

// stmt returns query prepared. It stays prepared as long as the session lives.
func (s *session) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := s.stmts[query]; ok {
		return st, nil
	}
	st, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.stmts[query] = st
	return st, nil
}

func (s *session) close() error {
	var errs []error
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, s.conn.Close(), s.db.Close())...)
}

// pool hands out sessions, opened when they are first needed.
type pool struct {
	open   func(context.Context) (*session, error)
	slots  chan *session // nil stands for one that is not open
	closed <-chan struct{}
}

func newPool(size int, closed <-chan struct{}, open func(context.Context) (*session, error)) *pool {
	p := &pool{open: open, slots: make(chan *session, size), closed: closed}
	for range size {
		p.slots <- nil
	}
	return p
}

// take waits for a free session. What it returns must be given back.
func (p *pool) take(ctx context.Context) (*session, error) {
	select {
	case <-p.closed: // first: a closed pool may still have free slots
		return nil, errClosed()
	default:
	}
	var s *session
	select {
	case s = <-p.slots:
	case <-p.closed:
		return nil, errClosed()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s != nil {
		return s, nil
	}
	s, err := p.open(ctx)
	if err != nil {
		p.slots <- nil
		return nil, err
	}
	return s, nil
}

// give returns a session. A broken one is closed and its slot opened anew when
// next needed.
func (p *pool) give(s *session) {
	if s.broken {
		// Closing ends the transaction, if one is left; there is no one to tell
		// of a failure, and the next open will meet its cause.
		_ = s.close()
		s = nil
	}
	p.slots <- s
}

// close waits for every session to come back and closes it.
func (p *pool) close() error {
	var errs []error
	for range cap(p.slots) {
		if s := <-p.slots; s != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}

func errClosed() error {
	return berth.Errorf(berth.CodeShuttingDown, "The database is closed").WithHint("Berth is shutting down; try again when it is back")
}
