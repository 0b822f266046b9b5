package postgres

import "github.com/unite-hub/berth/internal/store"

// MappingOf is where a table of the seam is kept, and under which names its
// columns.
func MappingOf(t store.Table) (table string, columns []string) {
	p := mappingOf(t)
	return p.table, p.columns(t)
}
