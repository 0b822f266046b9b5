package postgres

import "github.com/unite-hub/berth/internal/store"

// PlaceOf is where a table of the seam is kept, and under which names its
// columns.
func PlaceOf(t store.Table) (table string, columns []string) {
	p := placeOf(t)
	return p.table, p.columns(t)
}
