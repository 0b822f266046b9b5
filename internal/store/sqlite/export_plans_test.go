package sqlite

import (
	"context"
	"maps"

	"github.com/ncruces/go-sqlite3/driver"
)

// Statements are those that the store has prepared so far. No transaction may
// be open.
func (s *Store) Statements() map[string]bool {
	found := map[string]bool{}
	for _, p := range []*pool{s.writer, s.reader} {
		held := make([]*session, 0, cap(p.slots))
		for range cap(p.slots) {
			ses := <-p.slots
			held = append(held, ses)
			if ses != nil {
				for query := range maps.Keys(ses.stmts) {
					found[query] = true
				}
			}
		}
		for _, ses := range held {
			p.slots <- ses
		}
	}
	return found
}

// Explain returns the plan of a statement, a step a line.
func (s *Store) Explain(ctx context.Context, query string) (steps []string, err error) {
	ses, err := s.writer.take(ctx)
	if err != nil {
		return nil, err
	}
	defer s.writer.give(ses)
	err = ses.conn.Raw(func(c any) error {
		// Past database/sql, which wants a value for each parameter.
		st, _, err := c.(driver.Conn).Raw().Prepare("EXPLAIN QUERY PLAN " + query)
		if err != nil {
			return err
		}
		for st.Step() {
			steps = append(steps, st.ColumnText(3))
		}
		return st.Close()
	})
	return steps, err
}

// Exec runs statements beside every transaction.
func (s *Store) Exec(ctx context.Context, statements string) error {
	ses, err := s.writer.take(ctx)
	if err != nil {
		return err
	}
	defer s.writer.give(ses)
	return ses.exec(ctx, statements)
}
