package postgres

import (
	"context"

	"github.com/unite-hub/berth/internal/store"
)

// Ask reads one row inside a transaction of the store.
func Ask(ctx context.Context, t store.Tx, dst []any, query string, args ...any) error {
	_, err := t.Installations.(*tx).one(ctx, dst, query, args...)
	return err
}

// Between reads one row on a connection of the pool, outside any transaction.
func (s *Store) Between(ctx context.Context, dst []any, query string) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	return c.QueryRow(ctx, query).Scan(dst...)
}
