package blueprint

import (
	"fmt"
	"strings"
)

// Text is a string of a blueprint that may refer to variables. It is taken
// apart once, when the blueprint is read: what a variable holds is put in
// later and never looked at again, so no value can become syntax.
type Text []Part

// Part is a literal, or a reference if Name is not empty.
type Part struct {
	Literal string
	Name    string
	// What stands in for a variable that is absent (or empty, if OrEmpty).
	Default    string
	HasDefault bool
	OrEmpty    bool
}

// ParseText reads compose's substitution syntax: $$, $NAME, ${NAME},
// ${NAME-default}, ${NAME:-default}, ${NAME?message} and ${NAME:?message}. The
// last two are ${NAME}: that a value is missing is reported when a tenant is
// provisioned. Defaults are literals.
func ParseText(s string) (Text, error) {
	text := Text{}
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			text = append(text, Part{Literal: literal.String()})
			literal.Reset()
		}
	}
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			literal.WriteString(s)
			break
		}
		literal.WriteString(s[:i])
		s = s[i+1:]
		if rest, ok := strings.CutPrefix(s, "$"); ok {
			literal.WriteByte('$')
			s = rest
			continue
		}
		part, rest, err := parseReference(s)
		if err != nil {
			return nil, err
		}
		flush()
		text = append(text, part)
		s = rest
	}
	flush()
	return text, nil
}

// parseReference reads what follows a dollar sign.
func parseReference(s string) (Part, string, error) {
	braced := strings.HasPrefix(s, "{")
	if braced {
		s = s[1:]
	}
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= 'a' && s[n] <= 'z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	part := Part{Name: s[:n]}
	if n == 0 {
		return Part{}, "", fmt.Errorf("a dollar sign must be followed by the name of a variable; a literal one is written $$")
	}
	s = s[n:]
	if !braced {
		return part, s, nil
	}
	body, rest, closed := strings.Cut(s, "}")
	if !closed {
		return Part{}, "", fmt.Errorf("${%s is not closed with }", part.Name)
	}
	if strings.Contains(body, "$") {
		return Part{}, "", fmt.Errorf("${%s…} holds another reference, which is not supported", part.Name)
	}
	op := strings.TrimPrefix(body, ":")
	part.OrEmpty = op != body
	switch {
	case body == "":
	case strings.HasPrefix(op, "-"):
		part.Default, part.HasDefault = op[1:], true
	case strings.HasPrefix(op, "?"):
		part.OrEmpty = false
	default:
		return Part{}, "", fmt.Errorf("${%s%s} is not supported: use ${%s}, ${%s:-default} or ${%s:?message}", part.Name, body, part.Name, part.Name, part.Name)
	}
	return part, rest, nil
}

// String is t in compose's syntax.
func (t Text) String() string {
	var b strings.Builder
	for _, p := range t {
		switch {
		case p.Name == "":
			b.WriteString(strings.ReplaceAll(p.Literal, "$", "$$"))
		case p.HasDefault && p.OrEmpty:
			b.WriteString("${" + p.Name + ":-" + p.Default + "}")
		case p.HasDefault:
			b.WriteString("${" + p.Name + "-" + p.Default + "}")
		default:
			b.WriteString("${" + p.Name + "}")
		}
	}
	return b.String()
}

// MarshalText shows t as String does.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Expand puts in what get returns. An absent variable without a default
// leaves nothing.
func (t Text) Expand(get func(name string) (string, bool)) string {
	return t.each(func(p Part) string {
		value, ok := get(p.Name)
		if p.HasDefault && (!ok || p.OrEmpty && value == "") {
			return p.Default
		}
		return value
	})
}

// each puts in what refer returns for each reference.
func (t Text) each(refer func(Part) string) string {
	var b strings.Builder
	for _, p := range t {
		if p.Name == "" {
			b.WriteString(p.Literal)
			continue
		}
		b.WriteString(refer(p))
	}
	return b.String()
}

// Names returns the variables that t refers to, in order.
func (t Text) Names() []string {
	var names []string
	for _, p := range t {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	return names
}
