package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/unite-hub/berth"
)

// notifyChannel is the channel on which a transaction with a new deployment, or
// one that takes a deployment back, tells whose, and through which store, when it
// commits. Whoever missed it finds the deployment open, or no longer open.
const notifyChannel = "berth"

// ring tells the other stores, once the transaction commits, that a deployment
// of the organization began or was taken back.
func (t *tx) ring(ctx context.Context, organizationID string) error {
	_, err := t.exec(ctx, `SELECT pg_notify('`+notifyChannel+`', $1 || ' ' || $2::text)`, t.store, organizationID)
	return fault(ctx, err, "notify other control planes")
}

const (
	quietFor   = 30 * time.Second // before a look whether the connection still lives
	redialWait = 100 * time.Millisecond
	redialMost = 5 * time.Second
)

// Listen calls ring for each organization that got a deployment through another
// store, or had one taken back, until ctx ends; ring must not block for long. It keeps a connection of its own and makes
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
	stop := context.AfterFunc(s.lifetime, cancel)
	defer stop()
	for wait := redialWait; ; wait = min(2*wait, redialMost) {
		if s.listen(ctx, ring) {
			wait = redialWait
		}
		if ctx.Err() == nil {
			pause(ctx, wait)
		}
		if ctx.Err() != nil {
			if s.lifetime.Err() != nil {
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
	if _, err := c.Exec(ctx, "LISTEN "+notifyChannel); err != nil {
		return false
	}
	ring("")
	for {
		quiet, cancel := context.WithTimeout(ctx, quietFor)
		n, err := c.WaitForNotification(quiet)
		silent := quiet.Err() != nil
		cancel()
		switch {
		case err == nil:
			from, organizationID, ok := strings.Cut(n.Payload, " ")
			if !ok {
				organizationID = from // through no store: somebody changed a row
			}
			if from != s.id && berth.IsUUID(organizationID) {
				ring(organizationID)
			}
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
