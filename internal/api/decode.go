package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/unite-hub/berth"
)

// maxDepth bounds how deep a body may be nested.
const maxDepth = 32

// decode reads a JSON object into to, strictly. Parsing errors, wrong types
// and duplicate keys are malformed (400); fields that do not exist break a
// rule (422). An empty body is an empty object.
func decode(body []byte, to any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return malformed("Request body is not valid UTF-8").WithHint("send JSON in UTF-8")
	}
	if err := scan(body); err != nil {
		return err
	}
	if err := known(body, to); err != nil {
		return err
	}
	err := json.Unmarshal(body, to)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		field := wrong.Field
		if field == "" {
			field = "body"
		}
		return malformed("%s must be %s, not %s", field, kindOf(wrong.Type), short(wrong.Value)).WithField(field).
			WithHint("GET /openapi.json describes what this route takes")
	}
	var when *time.ParseError
	if errors.As(err, &when) {
		return malformed("A time must be given as RFC 3339").WithHint("give one such as 2030-01-31T12:00:00Z; %s was given", short(when.Value))
	}
	if err != nil {
		return malformed("Request body is not valid JSON: %v", err).WithHint("send one JSON object")
	}
	return nil
}

func malformed(format string, args ...any) *berth.Error {
	return berth.Errorf(berth.CodeMalformed, format, args...)
}

// frame is an object or a list that has been opened.
type frame struct {
	object bool
	keys   map[string]bool
	key    string // whose value comes next; "" if a key does
}

// scan checks the shape of a whole body without keeping any of it: one object,
// nested no deeper than maxDepth, no key twice.
func scan(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	// Looked for at most once: a body may hold many halves.
	stated := sync.OnceValue(func() bool { return statesReplacement(body) })
	var stack []*frame
	for first := true; ; first = false {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return malformed("Request body is not valid JSON: %v", err).WithHint("send one JSON object")
		}
		if len(stack) == 0 && (!first || token != json.Delim('{')) {
			return malformed("Request body must be one JSON object").WithHint("send {…} and nothing after it")
		}
		if text, ok := token.(string); ok && strings.ContainsRune(text, utf8.RuneError) && !stated() {
			return malformed("Request body holds half of a surrogate pair").
				WithHint("send characters as UTF-8, or escape both halves of the pair")
		}
		if stack, err = push(stack, token); err != nil {
			return err
		}
	}
}

// statesReplacement reports whether a body itself holds U+FFFD, which
// encoding/json otherwise puts in the place of what is no character.
func statesReplacement(body []byte) bool {
	return bytes.ContainsRune(body, utf8.RuneError) || bytes.Contains(bytes.ToLower(body), []byte(`\ufffd`))
}

func push(stack []*frame, token json.Token) ([]*frame, error) {
	var top *frame
	if len(stack) > 0 {
		top = stack[len(stack)-1]
	}
	if name, ok := token.(string); ok && top != nil && top.object && top.key == "" {
		if top.keys[name] {
			return nil, malformed("%s is given twice", berth.Quote(name)).WithField(short(name)).WithHint("give each field once")
		}
		top.keys[name] = true
		top.key = name + " " // never empty
		return stack, nil
	}
	if top != nil {
		top.key = ""
	}
	switch token {
	case json.Delim('{'), json.Delim('['):
		if len(stack) == maxDepth {
			return nil, malformed("Request body is nested deeper than %d levels", maxDepth).WithHint("send a flat object")
		}
		return append(stack, &frame{object: token == json.Delim('{'), keys: map[string]bool{}}), nil
	case json.Delim('}'), json.Delim(']'):
		return stack[:len(stack)-1], nil
	}
	return stack, nil
}

// known refuses fields that to does not have: a misspelt one must not be
// ignored in silence. Names are compared exactly.
func known(body []byte, to any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return malformed("Request body is not valid JSON: %v", err).WithHint("send one JSON object")
	}
	names := fieldNames(to)
	for name := range fields {
		if !names[name] {
			return berth.Errorf(berth.CodeInvalidRequest, "Unknown field %s", berth.Quote(name)).WithField(short(name)).
				WithHint("GET /openapi.json lists the fields that this route takes")
		}
	}
	return nil
}

func fieldNames(to any) map[string]bool {
	names := map[string]bool{}
	t := reflect.TypeOf(to).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}

// kindOf names a Go type in JSON's words.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return fmt.Sprint(t)
	}
}
