package reconcile

import (
	"context"
	"time"

	"github.com/unite-hub/berth/internal/store"
)

const (
	housekeepPause = time.Hour      // between looks for idempotency keys to forget
	keyLifetime    = 24 * time.Hour // of an idempotency key
)

// housekeep takes away, at an interval, what nobody needs any more. It is apart
// from the scan, because an engine may take minutes to delete an image.
func (l *Loop) housekeep(ctx context.Context) error {
	for {
		l.forgetRequests(ctx)
		l.collect(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(housekeepPause):
		}
	}
}

// forgetRequests forgets idempotency keys that nobody will repeat any more.
func (l *Loop) forgetRequests(ctx context.Context) {
	err := store.Forget(ctx, l.Store, func(tx store.Tx, limit int) (int, error) {
		return tx.ForgetRequests(ctx, store.Now().Add(-keyLifetime), limit)
	})
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("old idempotency keys could not be forgotten", "error", err)
	}
}
