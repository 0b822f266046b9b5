package postgres

import (
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/unite-hub/berth"
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

// orNull stores the zero value, which means unknown or none, as NULL.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// uuidOrNull is an id for a column of UUIDs. What is none matches no row.
func uuidOrNull(id string) any {
	if !berth.IsUUID(id) {
		return nil
	}
	return id
}

// column reads one column into *dst; NULL gives the zero value.
type column[S, T any] struct {
	dst   *T
	parse func(S) (T, error)
}

// Scan implements sql.Scanner.
func (c column[S, T]) Scan(v any) error {
	var raw sql.Null[S]
	var got T
	err := raw.Scan(v)
	if err == nil && raw.Valid {
		got, err = c.parse(raw.V)
	}
	if err != nil {
		return fmt.Errorf("column of %T: %w", got, err)
	}
	*c.dst = got
	return nil
}

func text[T ~string](dst *T) any {
	return column[string, T]{dst, func(s string) (T, error) { return T(s), nil }}
}

func number(dst *int) any {
	return column[int64, int]{dst, func(n int64) (int, error) { return int(n), nil }}
}

func instant(dst *time.Time) any {
	return column[time.Time, time.Time]{dst, func(at time.Time) (time.Time, error) { return at.UTC(), nil }}
}

func prefix(dst *netip.Prefix) any {
	return column[string, netip.Prefix]{dst, netip.ParsePrefix}
}

// maybe reads a column that may be NULL.
func maybe[T any](dst *berth.Maybe[T]) any {
	return column[T, berth.Maybe[T]]{dst, func(v T) (berth.Maybe[T], error) { return berth.Known(v), nil }}
}
