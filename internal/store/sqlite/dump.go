package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Rows implements store.Origin.
func (s *Store) Rows(ctx context.Context, fn func(store.Rows) error) error {
	return s.View(ctx, berth.System(), func(x store.Tx) error {
		r := rows{x.Installations.(*tx)}
		if err := r.whole(ctx); err != nil {
			return berth.Errorf(berth.CodeInternal, "Not everything of the database is known: %w", err).WithHint("this is a fault of Berth; please report it")
		}
		return fn(r)
	})
}

// rows are everything that a transaction sees, whoever its actor is.
type rows struct{ tx *tx }

// expressions read the columns in which this store keeps NULL as another value.
var expressions = map[string]string{
	"audit_log.organization_id": "nullif(organization_id, '')",
	"audit_log.prev_hash":       "nullif(prev_hash, x'')",
}

// Each implements store.Rows.
func (r rows) Each(ctx context.Context, t store.Table, fn func(store.Row) error) error {
	const op = "read table"
	columns := make([]string, 0, len(t.Columns))
	for _, c := range t.Columns {
		e, ok := expressions[t.Name+"."+c.Name]
		if !ok {
			e = `"` + c.Name + `"`
		}
		columns = append(columns, e)
	}
	query := `SELECT ` + strings.Join(columns, ", ") + ` FROM "` + t.Name + `"`
	if t.Order != "" {
		query += ` ORDER BY "` + t.Order + `"`
	}
	found, err := r.tx.conn.QueryContext(ctx, query)
	if err != nil {
		return fault(ctx, err, op)
	}
	defer found.Close() // Err below says what went wrong
	values := make([]any, len(columns))
	targets := make([]any, len(columns))
	buffers := make([][]byte, len(columns))
	for i := range values {
		targets[i] = &values[i]
		buffers[i] = make([]byte, 0, 64) // not nil: that is NULL
	}
	row := make(store.Row, len(columns))
	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			return fault(ctx, err, op)
		}
		for i, v := range values {
			row[i] = nil
			if v == nil {
				continue
			}
			if buffers[i], err = store.Canonical(buffers[i][:0], t.Columns[i].Kind, v); err != nil {
				return berth.Errorf(berth.CodeStorageUnavailable, "%s.%s of row %s can't be read: %w", t.Name, t.Columns[i].Name, t.KeyOf(row), err).
					WithOp(op, "").WithHint("this is a fault of Berth; please report it")
			}
			row[i] = buffers[i]
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	return fault(ctx, found.Err(), op)
}

// columnsOf returns the tables that the file has and the columns of each,
// without what only the database needs.
func (r rows) columnsOf(ctx context.Context) (map[string][]string, error) {
	found, err := r.tx.conn.QueryContext(ctx, `SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND t.name <> 'goose_db_version' AND c.name <> 'only' `)
	if err != nil {
		return nil, fault(ctx, err, "read catalog")
	}
	defer found.Close() // Err below says what went wrong
	list := map[string][]string{}
	for found.Next() {
		var table, column string
		if err := found.Scan(&table, &column); err != nil {
			return nil, err
		}
		list[table] = append(list[table], column)
	}
	return list, found.Err()
}

// whole refuses a file that holds more than store.Tables knows of: a move would
// leave it behind.
func (r rows) whole(ctx context.Context) error {
	found, err := r.columnsOf(ctx)
	if err != nil {
		return err
	}
	for _, t := range store.Tables() {
		known := make([]string, 0, len(t.Columns))
		for _, c := range t.Columns {
			known = append(known, c.Name)
		}
		have := slices.Sorted(slices.Values(found[t.Name]))
		if slices.Sort(known); !slices.Equal(have, known) {
			return fmt.Errorf("table %s has the columns %s, known are %s", t.Name, have, known)
		}
		delete(found, t.Name)
	}
	for name := range found {
		return fmt.Errorf("table %s is not known", name)
	}
	return nil
}
