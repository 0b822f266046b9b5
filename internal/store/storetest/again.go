package storetest

import (
	"context"
	"errors"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Again returns a store that runs each write transaction twice and takes the
// first run back, as a store may after a lost connection: functions that do more
// than write to their transaction show that.
func Again(s store.Store) store.Store { return again{s} }

type again struct{ store.Store }

var errTakenBack = errors.New("taken back")

// InTx implements store.Store.
func (a again) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	err := a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errTakenBack
	})
	if !errors.Is(err, errTakenBack) {
		return err
	}
	return a.Store.InTx(ctx, actor, fn)
}
