// Package postgres keeps Berth's state in PostgreSQL, which several control
// planes, a product's own backend and Supabase's clients may share.
//
// Each transaction takes a role that neither owns a table nor bypasses
// row-level security, and carries its actor's claims: see session.go. The
// queries narrow what they touch to the actor as well, as store/sqlite does;
// the database is the second wall.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Options say where the database is.
type Options struct {
	// URL or keywords, as libpq reads them, with the pool's parameters
	// (pool_max_conns, 8 if not given) and default_query_exec_mode of pgx:
	// "exec" where a pooler gives each transaction another connection. It holds
	// a password, so it is in no error and no log.
	URL string

	// KeepSchema refuses a schema that is not up to date instead of changing it:
	// for a login that doesn't own it.
	KeepSchema bool
}

// connections is how many a store holds at most, where the URL says nothing.
const connections = 8

// writers is how many write transactions have a connection at once: one works,
// the next waits in the server's queue. Those behind wait here, and leave the
// other connections to readers.
const writers = 2

// Store is an open database. Its methods may be called concurrently. Inside
// InTx, do not call InTx again: it would wait for itself.
type Store struct {
	id      string // of this one of all that are open on the database
	pool    *pgxpool.Pool
	aside   *pgxpool.Pool   // for what must not wait for transactions: leases, outcomes
	config  *pgx.ConnConfig // of connections beside both
	writers chan struct{}   // places for write transactions

	mu       sync.Mutex
	closing  bool
	users    sync.WaitGroup  // calls under way
	lifetime context.Context // ends when no call begins any more
	end      context.CancelFunc
}

var _ store.Store = (*Store)(nil)

// Open connects and brings the schema up to date. It refuses one that a newer
// Berth has written.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// dial makes the pool; it connects when it is first used.
func dial(ctx context.Context, o Options) (*Store, error) {
	config, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	return dialWith(ctx, config)
}

func dialWith(ctx context.Context, config *pgxpool.Config) (*Store, error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fault(ctx, err, "open database")
	}
	few := config.Copy()
	few.MaxConns, few.MinConns, few.MinIdleConns = 2, 0, 0
	aside, err := pgxpool.NewWithConfig(ctx, few)
	if err != nil {
		pool.Close()
		return nil, fault(ctx, err, "open database")
	}
	s := &Store{id: berth.NewID(), pool: pool, aside: aside, config: config.ConnConfig, writers: make(chan struct{}, writers)}
	s.lifetime, s.end = context.WithCancel(context.Background())
	return s, nil
}

func (s *Store) begin(ctx context.Context, o Options) error {
	if err := s.migrate(ctx, o.KeepSchema); err != nil {
		return err
	}
	return s.install(ctx)
}

// parse reads the URL. pgx's own error quotes it, with the password where it
// can't tell the parts, so that it is not passed on.
func parse(url string) (*pgxpool.Config, error) {
	if url == "" {
		return nil, berth.Errorf(berth.CodeInternal, "The database has no URL").WithHint("set Options.URL")
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, berth.Errorf(berth.CodeStorageUnavailable, "The URL of the database can't be read").WithOp("open database", "").
			WithHint("give one such as postgres://user@host:5432/name?sslmode=verify-full, with special characters of the password percent-encoded")
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = connections
	}
	config.MaxConns = max(config.MaxConns, writers+1)
	// Not before each transaction: a connection that is gone shows in its first
	// statement, which is repeated on another.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	config.ConnConfig.ConnectTimeout = cmp.Or(config.ConnConfig.ConnectTimeout, dialTimeout)
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "berth"
	}
	// A statement whose context ends is cancelled at the server, and its
	// connection kept.
	config.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelPatience}
	}
	return config, nil
}

// enter counts a call as under way, so that Close waits for it. What it
// returns must be called when the call is over.
func (s *Store) enter() (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, errClosed()
	}
	s.users.Add(1)
	return s.users.Done, nil
}

// Close waits for the transactions under way, then closes the connections.
// Calls that come later are refused.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	s.end()
	s.mu.Unlock()
	s.users.Wait()
	s.pool.Close()
	s.aside.Close()
	return nil
}

// InTx implements store.Store. The context ends the wait for the writers
// before and whatever fn does; once fn has returned nil, the commit is carried
// through.
func (s *Store) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return s.run(ctx, order{actor: actor, writes: true, store: s.id}, fn)
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return s.run(ctx, order{actor: actor}, fn)
}

// Under returns the same store for who leads under l: its write transactions
// are refused with CodeNotLeading from the moment that the lease is over, or
// somebody else's, by the database's own clock. What it has begun, a successor
// waits for.
func (s *Store) Under(l store.Lease) store.Store { return leader{s, l} }

type leader struct {
	*Store
	lease store.Lease
}

// InTx implements store.Store.
func (s leader) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return s.run(ctx, order{actor: actor, writes: true, store: s.id, lease: &s.lease}, fn)
}
