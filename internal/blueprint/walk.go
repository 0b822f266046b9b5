package blueprint

import (
	"fmt"
	"slices"
	"strings"
)

// findings gathers what is wrong with a blueprint.
type findings struct{ list []Finding }

func (f *findings) add(at *node, path string, kind FindingKind, rule, hint string) {
	line := 0
	if at != nil {
		line = at.line
	}
	f.list = append(f.list, Finding{Path: path, Line: line, Kind: kind, Rule: rule, Hint: hint})
}

func (f *findings) invalid(at *node, path, hint, rule string, args ...any) {
	f.add(at, path, Invalid, fmt.Sprintf(rule, args...), hint)
}

// sorted returns the findings in the order of the file, each once.
func (f *findings) sorted() []Finding {
	slices.SortStableFunc(f.list, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Path, b.Path)
	})
	return slices.CompactFunc(f.list, func(a, b Finding) bool { return a.Path == b.Path && a.Rule == b.Rule })
}

// walk holds a file against the table. What is refused is taken out of the
// tree, so that it is not complained of twice.
type walk struct {
	*findings
	rows map[string]Attribute
}

func newWalk(f *findings) *walk {
	w := &walk{findings: f, rows: map[string]Attribute{}}
	for _, row := range Attributes() {
		w.rows[row.Path] = row
	}
	return w
}

// visit looks at the fields of a map. pattern is its path in the table.
func (w *walk) visit(n *node, pattern, path string) {
	kept := n.fields[:0:0]
	for _, f := range n.fields {
		at := join(path, f.key)
		if strings.HasPrefix(f.key, "x-") { // extensions say nothing to compose
			if pattern != "" || f.key != "x-berth" {
				continue
			}
			kept = append(kept, f)
			continue
		}
		row, ok := w.row(pattern, f.key)
		switch {
		case !ok:
			w.add(&node{line: f.line}, at, Invalid, "is not an attribute of the Compose Specification", w.near(pattern, f.key))
			continue
		case row.Kind != "" && f.node.empty():
			continue // switched off: as if it were not there
		case row.Kind != "":
			w.add(&node{line: f.line}, at, row.Kind, row.Note, row.Way)
			continue
		case row.inner && f.node.isMap:
			w.visit(f.node, row.Path, at)
		}
		kept = append(kept, f)
	}
	n.fields = kept
}

func (w *walk) row(pattern, key string) (Attribute, bool) {
	if row, ok := w.rows[join(pattern, key)]; ok {
		return row, true
	}
	row, ok := w.rows[join(pattern, "*")]
	return row, ok
}

// near suggests the attribute that was meant.
func (w *walk) near(pattern, key string) string {
	var keys []string
	for path := range w.rows {
		if parent, name, ok := cutLast(path); ok && parent == pattern || !ok && pattern == "" {
			keys = append(keys, name)
		}
	}
	return didYouMean(key, keys)
}

func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// didYouMean names the known key that is written most alike.
func didYouMean(key string, known []string) string {
	slices.Sort(known)
	best, least := "", len(key)/2+1
	for _, k := range known {
		if d := distance(key, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "see docs/blueprint.md for what there is"
	}
	return "did you mean " + best + "?"
}

// distance is the number of letters to change, add or leave out.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
