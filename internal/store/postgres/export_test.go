package postgres

import (
	"context"

	"github.com/unite-hub/berth/internal/store"
)

// Ask reads one row inside a transaction of the store.
func Ask(ctx context.Context, t store.Tx, dst []any, query string, args ...any) error {
	_, err := t.(*tx).one(ctx, dst, query, args...)
	return err
}
