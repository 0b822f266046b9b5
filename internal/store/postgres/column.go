package postgres

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// clean makes text that PostgreSQL takes: UTF-8 without NUL. What containers
// and engines say, Berth keeps as it is elsewhere; a byte that can't be kept
// must not stop the loop.
func clean(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			args[i] = cleanText(s)
		}
	}
	return args
}

func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// stamp is a time as it is stored; the zero time is NULL.
func stamp(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UTC().Truncate(time.Microsecond)
}

// uuidOrNull is an id for a column of UUIDs. What is none matches no row.
func uuidOrNull(id string) any {
	if !berth.IsUUID(id) {
		return nil
	}
	return id
}

// encoding is how PostgreSQL takes times and JSON.
var encoding = row.Encoding{Time: stamp, JSON: encodeJSON}

// narrowed is the condition, on one parameter, by which a list shows a scope,
// and the parameter's value. Nobody's is NULL, which equals no row's.
func narrowed(s row.Scope, column, parameter string) (condition string, value any) {
	if s.All {
		return parameter + "::uuid IS NULL", nil
	}
	return column + " = " + parameter, uuidOrNull(s.OrganizationID)
}
