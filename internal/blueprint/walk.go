package blueprint

import (
	"fmt"
	"slices"
	"strings"
)

// findings gathers what is wrong with a blueprint.
type findings struct {
	list []Finding
	root *node           // of the file: knows the line of each path
	lost map[string]bool // paths that were taken out of the tree after a finding
}

// add reports what is wrong at a path. at is where to look if the file does not
// have the path itself. What follows from something that was taken out is not
// reported: only that is known.
func (f *findings) add(at *node, path string, kind FindingKind, rule, hint string) {
	if f.gone(path) {
		return
	}
	line, there := f.root.lineOf(path)
	if !there && at != nil {
		line = at.line
	}
	f.list = append(f.list, Finding{Path: path, Line: line, Kind: kind, Rule: rule, Hint: hint})
}

// addNew is add for a rule that blueprints were stored without: Parse refuses
// what breaks it, a stored blueprint is still read.
func (f *findings) addNew(at *node, path string, kind FindingKind, rule, hint string) {
	before := len(f.list)
	f.add(at, path, kind, rule, hint)
	for i := before; i < len(f.list); i++ {
		f.list[i].young = true
	}
}

func (f *findings) invalid(at *node, path, hint, rule string, args ...any) {
	f.add(at, path, Invalid, fmt.Sprintf(rule, args...), hint)
}

// stopped reports whether something was found that no blueprint may have,
// stored or new.
func (f *findings) stopped() bool { return len(unconditional(f.list)) > 0 }

// unconditional are the findings that no blueprint may have, stored or new.
func unconditional(list []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return f.young })
}

// lose notes that what is at a path was taken out. It is called after the
// finding that says why.
func (f *findings) lose(path string) { f.lost[path] = true }

// gone reports whether what is at a path was taken out.
func (f *findings) gone(path string) bool {
	if f.lost[path] {
		return true
	}
	for i := range path {
		if (path[i] == '.' || path[i] == '[') && f.lost[path[:i]] {
			return true
		}
	}
	return false
}

// anyGone reports whether one of the attributes was taken out of any service, whole or
// an item of it; a mount without its source counts as gone.
func (f *findings) anyGone(attributes ...string) bool {
	for path := range f.lost {
		keys := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })
		whole := len(keys) <= 3 || strings.HasSuffix(keys[3], "]") && (len(keys) == 4 || keys[4] == "source")
		if keys[0] == "services" && whole && (len(keys) < 3 || slices.Contains(attributes, keys[2])) {
			return true
		}
	}
	return false
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

const extensionKey = "x-berth"

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
			switch own := f.key == extensionKey; {
			case own && pattern == "":
				kept = append(kept, f)
			case own:
				w.addNew(nil, at, Invalid, "x-berth says something of a whole file, and stands at its top", "move it there")
			case pattern == "" && distance(f.key, extensionKey) <= 2:
				w.addNew(nil, at, Invalid, "is not a key of a blueprint", "did you mean x-berth?")
			}
			continue
		}
		row, ok := w.row(pattern, f.key)
		switch {
		case !ok:
			w.add(&node{line: f.line}, at, Invalid, "is not an attribute of the Compose Specification", w.near(pattern, f.key))
			continue
		case row.Kind != "" && f.node.empty():
			continue // switched off: as if it were not there
		case row.young:
			w.addNew(&node{line: f.line}, at, row.Kind, row.Note, row.Way) // and stays: it never changed anything
		case row.Kind != "":
			w.add(&node{line: f.line}, at, row.Kind, row.Note, row.Way)
			w.lose(at)
			continue
		case row.inner && f.node.isMap:
			w.visit(f.node, row.Path, at)
		case row.inner && f.node.isList:
			for i, item := range f.node.items {
				if item.isMap {
					w.visit(item, row.Path+"[]", fmt.Sprintf("%s[%d]", at, i))
				}
			}
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
