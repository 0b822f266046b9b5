package blueprint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of a blueprint. An alias counts as all that it stands for.
const (
	maxSource = 1 << 20 // bytes
	maxNodes  = 20_000
	maxDepth  = 32
)

// node is a piece of a blueprint with the line that it stands on. Aliases and
// merge keys are put in: there are only maps, lists and scalars.
type node struct {
	line   int
	fields []field // of a map, in the order of the file
	file   []field // the same, as the file has them, whatever is taken out of fields
	items  []*node // of a list
	value  any     // of a scalar
	isMap  bool
	isList bool
}

type field struct {
	key  string
	line int
	node *node
}

// get returns a map's value, nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key {
			return f.node
		}
	}
	return nil
}

// at returns the value at a path of keys, nil if there is none.
func (n *node) at(path string) *node {
	for _, key := range strings.Split(path, ".") {
		n = n.get(key)
	}
	return n
}

// text is a scalar as it would be written, "" of anything else.
func (n *node) text() string {
	if n == nil || n.isMap || n.isList || n.value == nil {
		return ""
	}
	return fmt.Sprint(n.value)
}

// empty reports whether n is null, false, "" or has nothing in it: what says
// nothing.
func (n *node) empty() bool {
	if n.isMap || n.isList {
		return len(n.fields)+len(n.items) == 0
	}
	return n.value == nil || n.value == false || n.value == ""
}

// plain is n as maps, slices and scalars, for a decoder.
func (n *node) plain() any {
	switch {
	case n.isMap:
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.key] = f.node.plain()
		}
		return m
	case n.isList:
		l := make([]any, 0, len(n.items))
		for _, i := range n.items {
			l = append(l, i.plain())
		}
		return l
	default:
		return n.value
	}
}

// lineOf is the line of what a path such as services.web.ports[0] names: of its
// key, or of its item. Where the file does not have it, it is the line of the
// nearest that it has. Names may have dots in them, as those of labels do.
func (n *node) lineOf(path string) (line int, there bool) {
	if n == nil {
		return 0, false
	}
	try := func(next *node, at int, rest string) bool {
		rest = strings.TrimPrefix(rest, ".")
		l, whole := next.lineOf(rest)
		if rest == "" {
			whole = true
		}
		if l == 0 || rest == "" {
			l = at
		}
		if whole || l > line {
			line = l
		}
		there = whole
		return whole
	}
	for _, f := range n.file {
		rest, ok := strings.CutPrefix(path, f.key)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && try(f.node, f.line, rest) {
			return line, true
		}
	}
	for i, item := range n.items {
		rest, ok := strings.CutPrefix(path, "["+strconv.Itoa(i)+"]")
		text := item.text() // NAME and NAME=value, as environment, labels and depends_on may be written
		if !ok && path != "" && (text == path || strings.HasPrefix(text, path+"=")) {
			rest, ok = "", true
		}
		if ok && try(item, item.line, rest) {
			return line, true
		}
	}
	return line, false
}

// parseTree reads one YAML document within bounds.
func parseTree(source []byte) (*node, *Finding) {
	bad := func(line int, format string, args ...any) *Finding {
		return &Finding{Line: line, Kind: Invalid, Rule: fmt.Sprintf(format, args...), Hint: "a blueprint is one compose file of at most 1 MiB in YAML"}
	}
	switch {
	case len(source) > maxSource:
		return nil, bad(0, "the file has %d bytes, more than %d", len(source), maxSource)
	case !utf8.Valid(source) || bytes.IndexByte(source, 0) >= 0:
		return nil, bad(0, "the file is not text in UTF-8 without NUL")
	}
	dec := yaml.NewDecoder(bytes.NewReader(source))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, bad(yamlLine(err), "the file is not valid YAML: %s", yamlText(err))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, bad(0, "the file has more than one document")
	}
	b := treeBuilder{left: maxNodes}
	root, err := b.build(doc.Content[0], 0)
	if err != nil {
		return nil, bad(b.line, "%s", err)
	}
	if !root.isMap {
		return nil, bad(root.line, "the file is not a map of name, services, volumes and x-berth")
	}
	return root, nil
}

type treeBuilder struct {
	left int
	line int // where it went wrong
}

func (b *treeBuilder) build(y *yaml.Node, depth int) (*node, error) {
	b.line = y.Line
	if b.left--; b.left < 0 {
		return nil, fmt.Errorf("the file has more than %d values, aliases counted as what they stand for", maxNodes)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.AliasNode:
		return b.build(y.Alias, depth+1)
	case yaml.SequenceNode:
		n.isList = true
		for _, c := range y.Content {
			item, err := b.build(c, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case yaml.MappingNode:
		n.isMap = true
		err := b.fields(n, y, depth)
		n.file = n.fields
		return n, err
	default:
		if err := y.Decode(&n.value); err != nil {
			return nil, fmt.Errorf("the value can't be read: %s", yamlText(err))
		}
		// Escapes and !!binary spell what the source itself can't hold.
		if s, ok := n.value.(string); ok && !plainText(s) {
			return nil, errors.New("the value is not text in UTF-8 without NUL")
		}
	}
	return n, nil
}

// fields reads a map. Its own keys win over those that are merged in.
func (b *treeBuilder) fields(n *node, y *yaml.Node, depth int) error {
	own := map[string]bool{}
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			b.line = key.Line
			return errors.New("a key is not a plain text")
		}
		if !plainText(key.Value) {
			b.line = key.Line
			return errors.New("the key is not text in UTF-8 without NUL")
		}
		child, err := b.build(value, depth+1)
		if err != nil {
			return err
		}
		if child.isMap || child.isList { // it is where its key is, not behind the comments after it
			child.line = key.Line
		}
		if key.Tag == "!!merge" {
			merged = append(merged, child)
			continue
		}
		if own[key.Value] {
			b.line = key.Line
			return fmt.Errorf("the key %s is there twice", strconv.Quote(key.Value))
		}
		own[key.Value] = true
		n.fields = append(n.fields, field{key.Value, key.Line, child})
	}
	for len(merged) > 0 {
		m := merged[0]
		merged = merged[1:]
		if m.isList {
			merged = append(append([]*node(nil), m.items...), merged...)
			continue
		}
		for _, f := range m.fields {
			if !own[f.key] {
				own[f.key] = true
				n.fields = append(n.fields, f)
			}
		}
	}
	return nil
}

// plainText reports whether s can be a text of a stack: references travel
// between NULs.
func plainText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// yamlLine finds the line in the decoder's message, which begins "yaml: line N:".
func yamlLine(err error) int {
	var line int
	if _, scanErr := fmt.Sscanf(err.Error(), "yaml: line %d:", &line); scanErr != nil {
		return 0
	}
	return line
}

func yamlText(err error) string {
	text := err.Error()
	for _, prefix := range []string{"yaml: ", fmt.Sprintf("line %d: ", yamlLine(err))} {
		if len(text) > len(prefix) && text[:len(prefix)] == prefix {
			text = text[len(prefix):]
		}
	}
	return text
}
