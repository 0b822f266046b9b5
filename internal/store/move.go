package store

import "context"

// Rows are all rows of a store at one moment.
type Rows interface {
	// Each calls fn for each row of a table, in its order.
	Each(ctx context.Context, t Table, fn func(Row) error) error
}

// Filling is a store that is being filled. What Each reads is what the database
// made of what was put.
type Filling interface {
	Rows
	// Put writes the rows that each yields.
	Put(ctx context.Context, t Table, each func(yield func(Row) error) error) error
}

// Origin is a store that another one is filled from.
type Origin interface {
	// Rows runs fn on one consistent snapshot of everything.
	Rows(ctx context.Context, fn func(Rows) error) error
}

// Destination is a store that can take all of another one.
type Destination interface {
	// Fill runs fn in one transaction: when it returns nil, all that fn put is
	// there for good and new rows are numbered after it; when it returns an error,
	// nothing of it is. A store that is in use is refused.
	Fill(ctx context.Context, fn func(Filling) error) error
}
