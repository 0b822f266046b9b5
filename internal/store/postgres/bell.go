package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/unite-hub/berth"
)

// bell is the channel on which a transaction that changes a deployment tells
// whose, when it commits. Whoever missed it finds the deployment open.
const bell = "berth"

const (
	quietFor   = 30 * time.Second // before a look whether the connection still lives
	redialWait = 100 * time.Millisecond
	redialMost = 5 * time.Second
)

// Listen calls ring for each organization whose deployments changed, until ctx
// ends; ring must not block for long. It keeps a connection of its own and makes
// a new one when that is lost; what is rung meanwhile is not heard, so that ring
// is called with "" after each new connection: look at all. Through a pooler of
// transactions nothing is heard.
func (s *Store) Listen(ctx context.Context, ring func(organizationID string)) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.life, cancel)
	defer stop()
	for wait := redialWait; ; wait = min(2*wait, redialMost) {
		if s.listen(ctx, ring) {
			wait = redialWait
		}
		if ctx.Err() == nil {
			pause(ctx, wait)
		}
		if ctx.Err() != nil {
			if s.life.Err() != nil {
				return errClosed()
			}
			return ctx.Err()
		}
	}
}

// listen returns when the connection is lost, and whether there was one.
func (s *Store) listen(ctx context.Context, ring func(string)) (heard bool) {
	config := s.config.Copy()
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler { // there is no statement to cancel
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
	}
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false
	}
	defer closeConn(c)
	if _, err := c.Exec(ctx, "LISTEN "+bell); err != nil {
		return false
	}
	ring("")
	for {
		quiet, cancel := context.WithTimeout(ctx, quietFor)
		n, err := c.WaitForNotification(quiet)
		silent := quiet.Err() != nil
		cancel()
		switch {
		case err == nil && berth.IsUUID(n.Payload):
			ring(n.Payload)
		case err == nil: // somebody else's
		case ctx.Err() == nil && silent && !c.IsClosed():
			alive, cancel := context.WithTimeout(ctx, dialTimeout)
			err := c.Ping(alive)
			cancel()
			if err != nil {
				return true
			}
		default:
			return true
		}
	}
}
