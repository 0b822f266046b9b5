package reconcile_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/unite-hub/berth"
)

// dump is all that the database holds, row for row.
func (w *world) dump() string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "copy-"+berth.NewID())
	w.must(w.store.Backup(context.Background(), path))
	db, err := sql.Open("sqlite3", "file:"+path)
	w.must(err)
	defer func() { w.must(db.Close()) }()
	var out strings.Builder
	for _, table := range w.rows(db, `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`) {
		for _, line := range w.rows(db, `SELECT * FROM "`+table+`" ORDER BY rowid`) {
			fmt.Fprintln(&out, table, line)
		}
	}
	return out.String()
}

func (w *world) rows(db *sql.DB, query string) (list []string) {
	w.t.Helper()
	rows, err := db.Query(query)
	if err != nil && strings.Contains(err.Error(), "rowid") { // a table without one is in the order of its key
		rows, err = db.Query(strings.TrimSuffix(query, " ORDER BY rowid"))
	}
	w.must(err)
	defer func() { w.must(rows.Close()) }()
	columns, err := rows.Columns()
	w.must(err)
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		w.must(rows.Scan(values...))
		var cells []string
		for _, v := range values {
			cells = append(cells, fmt.Sprint(*v.(*any)))
		}
		list = append(list, strings.Join(cells, " | "))
	}
	w.must(rows.Err())
	return list
}

// difference are the lines that only one of two dumps has.
func difference(before, after string) string {
	var out strings.Builder
	for _, pair := range [][3]string{{before, after, "gone: "}, {after, before, "new: "}} {
		for _, line := range strings.Split(pair[0], "\n") {
			if !strings.Contains(pair[1], line+"\n") {
				fmt.Fprintln(&out, pair[2]+line)
			}
		}
	}
	return out.String()
}
