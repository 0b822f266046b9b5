package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	retryFor  = 2 * time.Second // from the first failure on
	retryWait = 10 * time.Millisecond
	askFor    = 5 * time.Second // how a commit ended
)

// run runs fn in a transaction, again if the connection was lost before COMMIT
// was sent or the server asks for it: nothing of the attempt is there then.
func (s *Store) run(ctx context.Context, o order, fn func(store.Tx) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	var until time.Time
	for wait := retryWait; ; wait *= 2 {
		again, err := s.attempt(ctx, o, fn)
		if err == nil || !again {
			return err
		}
		now := time.Now()
		if until.IsZero() {
			until = now.Add(retryFor)
		}
		if now.Add(wait).After(until) || !pause(ctx, wait) {
			return err
		}
	}
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs one transaction. again says that nothing of it is there and
// another attempt may do better.
func (s *Store) attempt(ctx context.Context, o order, fn func(store.Tx) error) (again bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if o.writes {
		select {
		case s.writers <- struct{}{}:
			defer func() { <-s.writers }()
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	begin, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	c, err := s.pool.Acquire(begin)
	if err != nil {
		if silent(begin, ctx) {
			return false, errSilent(err)
		}
		return retryable(err), fault(ctx, err, "connect to database")
	}
	defer c.Release() // which closes a connection that is left in a transaction
	t, err := start(begin, c.Conn(), o)
	if err != nil && silent(begin, ctx) {
		s.pool.Reset() // the others will not answer either
		t.failed, err = nil, errSilent(err)
	}
	committed := false
	defer func() { // also when fn panics
		if committed || c.Conn().IsClosed() {
			return
		}
		// Not the caller's context: it may be what ended the transaction.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = c.Exec(late, "ROLLBACK") // if it fails, Release closes the connection, which does the same
	}()
	cancel()
	switch {
	case sqlstate(err) == insufficientPrivilege: // no fault of the actor's
		err = storage(err, "begin transaction", "the login must be a member of berth_api and berth_system")
	case err != nil:
		err = fault(ctx, err, "begin transaction")
	default:
		err = fn(t.nouns())
	}
	if t.failed != nil && retryable(t.failed) && ctx.Err() == nil {
		if lost(t.failed) || outdated(t.failed) {
			s.pool.Reset() // the idle ones are probably no better
		}
		return true, fault(ctx, t.failed, "use database")
	}
	switch {
	case err != nil:
		return false, err
	case ctx.Err() != nil:
		return false, ctx.Err()
	case t.failed != nil:
		return false, fault(ctx, t.failed, "commit")
	}
	committed = true
	return s.commit(ctx, t)
}

// patience bounds how long the beginning of a transaction may take: a server
// that was stopped keeps its connections open and says nothing. A writer waits
// for those before it, which the server bounds.
func (o order) patience() time.Duration {
	if o.writes {
		return dialTimeout + 15*time.Second // longWait
	}
	return dialTimeout
}

// silent reports whether the patience with the server ended, not the caller's.
func silent(begin, ctx context.Context) bool { return begin.Err() != nil && ctx.Err() == nil }

func errSilent(cause error) error {
	return storage(cause, "begin transaction", "the server does not answer; tenants keep running. Look whether it is stopped, overloaded or cut off")
}

// commit ends the transaction. From here on the outcome is decided by the
// server, not by who waits for it.
func (s *Store) commit(ctx context.Context, t *tx) (again bool, err error) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	tag, err := t.conn.Exec(late, "COMMIT")
	switch {
	case err == nil && tag.String() == "COMMIT":
		return false, nil
	case err == nil: // of a transaction in which a statement had failed
		return false, fault(ctx, errors.New("the server answered COMMIT with "+tag.String()), "commit")
	case !t.Writes:
		return false, nil // what was read is read
	case !lost(err) && late.Err() == nil:
		return retryable(err), fault(ctx, err, "commit")
	}
	s.pool.Reset()
	return s.outcome(ctx, t, err)
}

// outcome asks the server what became of a commit whose answer was lost.
func (s *Store) outcome(ctx context.Context, t *tx, cause error) (again bool, err error) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	for wait := retryWait; ; wait = min(2*wait, 200*time.Millisecond) {
		var status *string
		var run string
		err := s.beside(limit, func(c *pgx.Conn) error {
			return c.QueryRow(limit, `SELECT pg_xact_status($1::text::xid8), `+serverRun, t.xid).Scan(&status, &run)
		})
		switch {
		case sqlstate(err) == invalidParameter: // a number that was never given, as the server remembers it
			return true, fault(ctx, cause, "commit")
		case err != nil: // asked again below
		case status == nil: // too long ago to be known
			return false, errOutcomeUnknown(cause)
		case *status == "committed" && run == t.run:
			return false, nil
		case *status == "committed": // it, or another one with its number
			return false, errOutcomeUnknown(cause)
		case *status == "aborted" || run != t.run: // in another run, one that goes on is another one
			return true, fault(ctx, cause, "commit")
		}
		if !pause(limit, wait) {
			return false, errOutcomeUnknown(cause)
		}
	}
}

// beside runs fn on a connection that no transaction of a request uses.
func (s *Store) beside(ctx context.Context, fn func(*pgx.Conn) error) error {
	c, err := s.aside.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	err = fn(c.Conn())
	if lost(err) {
		s.aside.Reset()
	}
	return err
}

// closeConn closes a connection that holds nothing any more; the server
// notices, whatever becomes of the good-bye.
func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

func errOutcomeUnknown(cause error) error {
	return &berth.Error{Code: berth.CodeOutcomeUnknown, Op: "commit", Message: "The connection to the database was lost while it stored the order",
		Hint: "repeat the request with the same Idempotency-Key: it answers with what happened", Err: cause}
}
