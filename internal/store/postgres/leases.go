package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// leaseTimeout bounds a statement about leases: one that takes longer is no
// news any more.
const leaseTimeout = 2 * time.Second

// farAhead is how many lives ahead a lease may end. One that ends later was
// written before the clock was put back, and would last until it is there again.
const farAhead = "4"

// Acquire takes the lease of an engine for ttl if it is free, over by the
// database's clock or of no time by it, or the holder's own; ok is false if another holds it. A new
// holder waits for what the one before has begun to write. url is where the
// control plane answers.
func (s *Store) Acquire(ctx context.Context, engineID, holder, url string, ttl time.Duration) (l store.Lease, ok bool, err error) {
	l = store.Lease{EngineID: engineID, Holder: holder}
	// The question first: who asks in vain must not lock the row.
	err = s.lease(ctx, "acquire lease", func(b *pgx.Batch) {
		b.Queue(`INSERT INTO berth.engine_leases AS l (engine_id, holder, url, fence, expires_at)
			SELECT $1, $2::uuid, $3, 1, clock_timestamp() + $4::interval
			WHERE NOT EXISTS (SELECT FROM berth.engine_leases WHERE engine_id = $1 AND holder <> $2::uuid AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + $4::interval * `+farAhead+`)
			ON CONFLICT (engine_id) DO UPDATE SET holder = excluded.holder, url = excluded.url,
			fence = CASE WHEN l.holder = excluded.holder THEN l.fence ELSE l.fence + 1 END, expires_at = clock_timestamp() + $4::interval
			WHERE l.holder = excluded.holder OR l.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + $4::interval * `+farAhead+`
			RETURNING fence`, engineID, holder, url, interval(ttl)).
			Query(first(&ok, &l.Fence))
	})
	return l, ok, err
}

// Renew makes a lease last for ttl from now. ok is false if another control
// plane has taken it meanwhile: then it is over for good.
func (s *Store) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (ok bool, err error) {
	var fence int64
	err = s.lease(ctx, "renew lease", func(b *pgx.Batch) {
		b.Queue(`UPDATE berth.engine_leases SET expires_at = clock_timestamp() + $4::interval
			WHERE engine_id = $1 AND holder = $2::uuid AND fence = $3 RETURNING fence`, l.EngineID, l.Holder, l.Fence, interval(ttl)).
			Query(first(&ok, &fence))
	})
	return ok, err
}

// Release ends a lease, so that another control plane need not wait. One that
// is another's already stays.
func (s *Store) Release(ctx context.Context, l store.Lease) error {
	return s.lease(ctx, "release lease", func(b *pgx.Batch) {
		b.Queue(`UPDATE berth.engine_leases SET expires_at = '-infinity' WHERE engine_id = $1 AND holder = $2::uuid AND fence = $3`,
			l.EngineID, l.Holder, l.Fence)
	})
}

// Holder returns who leads an engine, or did last; "" if nobody ever has. live
// says whether the lease lasts.
func (s *Store) Holder(ctx context.Context, engineID string) (holder, url string, live bool, err error) {
	var ok bool
	err = s.lease(ctx, "read lease", func(b *pgx.Batch) {
		b.Queue(`SELECT holder::text, url, expires_at > clock_timestamp() FROM berth.engine_leases WHERE engine_id = $1`, engineID).
			Query(first(&ok, &holder, &url, &live))
	})
	return holder, url, live, err
}

// lease runs one statement as the loop in one round trip. It neither waits for
// writers nor for one of the connections that they use.
func (s *Store) lease(ctx context.Context, op string, statement func(*pgx.Batch)) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	limit, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	once := func() error {
		return s.beside(limit, func(c *pgx.Conn) error {
			b := &pgx.Batch{}
			b.Queue("BEGIN")
			b.Queue(dress, roleSystem, "", writerStops, "2s", "2s")
			statement(b)
			b.Queue("COMMIT")
			return c.SendBatch(limit, b).Close()
		})
	}
	err = once()
	if lost(err) && limit.Err() == nil {
		err = once() // each says what is to be, so that a second time does no harm
	}
	if limit.Err() != nil && ctx.Err() == nil && err != nil {
		return storage(err, op, "the server took too long; look for what it is busy with in pg_stat_activity")
	}
	return fault(ctx, err, op)
}

// first reads the one row that there may be.
func first(ok *bool, dst ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			*ok = true
			if err := rows.Scan(dst...); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

func interval(d time.Duration) string { return fmt.Sprintf("%d microseconds", d.Microseconds()) }

func errNotLeading(engineID string) error {
	return berth.Errorf(berth.CodeNotLeading, "Another control plane leads engine %s", berth.Quote(engineID)).
		WithHint("nothing is to be done: the one that leads goes on with the work")
}
