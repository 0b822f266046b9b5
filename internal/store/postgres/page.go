package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// afterID is the id after which a list by UUID goes on; for the first page, one
// before every id that is given.
func afterID(w row.Window) (string, error) {
	switch {
	case w.Key == "":
		return "00000000-0000-0000-0000-000000000000", nil
	case !berth.IsUUID(w.Key):
		return "", w.BadKey()
	}
	return w.Key, nil
}

// page reads the rows of a window.
type page[T any] struct {
	row.Window
	scan  func(pgx.Rows, *T) (key string, err error)
	query string // its last parameter is the number of rows
	args  []any  // without it
}

// read returns the page and the cursor of the next one, "" after the last.
func (p page[T]) read(ctx context.Context, t *tx) ([]T, string, error) {
	list := make([]T, 0, min(p.Size, row.DefaultPage))
	last, more := "", false
	err := t.many(ctx, func(rows pgx.Rows) (err error) {
		if len(list) == p.Size { // the row behind the page: there is a next one
			more = true
			return nil
		}
		list = append(list, *new(T))
		last, err = p.scan(rows, &list[len(list)-1])
		return err
	}, p.query, append(p.args, p.Size+1)...)
	if err != nil {
		return nil, "", fault(ctx, err, "list "+p.List)
	}
	if !more {
		return list, "", nil
	}
	return list, p.Cursor(last), nil
}

// bySeq scans rows whose last column is their place in the order of writing.
func bySeq[T any](columns func(*T) []any) func(pgx.Rows, *T) (string, error) {
	return func(rows pgx.Rows, into *T) (string, error) {
		var seq int64
		err := rows.Scan(append(columns(into), &seq)...)
		return row.SeqKey(seq), err
	}
}

// byKey scans rows that are ordered by what key returns.
func byKey[T any](columns func(*T) []any, key func(T) string) func(pgx.Rows, *T) (string, error) {
	return func(rows pgx.Rows, into *T) (string, error) {
		err := rows.Scan(columns(into)...)
		return key(*into), err
	}
}
