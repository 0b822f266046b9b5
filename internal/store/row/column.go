package row

import (
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// column reads one column into *dst; NULL gives the zero value. parse gets what
// the driver reads.
type column[T any] struct {
	dst   *T
	parse func(any) (T, error)
}

// Scan implements sql.Scanner.
func (c column[T]) Scan(v any) error {
	var got T
	var err error
	if v != nil {
		got, err = c.parse(v)
	}
	if err != nil {
		return fmt.Errorf("column of %T: %w", got, err)
	}
	*c.dst = got
	return nil
}

func textual(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("it holds a %T", v)
}

func integer(v any) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("it holds a %T", v)
	}
	return n, nil
}

// Text reads text that may be NULL.
func Text[T ~string](dst *T) any {
	return column[T]{dst, func(v any) (T, error) {
		s, err := textual(v)
		return T(s), err
	}}
}

// Number reads an integer that may be NULL.
func Number(dst *int) any {
	return column[int]{dst, func(v any) (int, error) {
		n, err := integer(v)
		return int(n), err
	}}
}

// Time reads a time, as the driver's own or as store.CanonicalTime writes it.
func Time(dst *time.Time) any {
	return column[time.Time]{dst, func(v any) (time.Time, error) {
		if at, ok := v.(time.Time); ok {
			return at.UTC(), nil
		}
		s, err := textual(v)
		if err != nil {
			return time.Time{}, err
		}
		return time.Parse(store.CanonicalTime, s)
	}}
}

// InMilliseconds reads a duration.
func InMilliseconds(dst *time.Duration) any {
	return column[time.Duration]{dst, func(v any) (time.Duration, error) {
		n, err := integer(v)
		return time.Duration(n) * time.Millisecond, err
	}}
}

// Prefix reads a subnet.
func Prefix(dst *netip.Prefix) any {
	return column[netip.Prefix]{dst, func(v any) (netip.Prefix, error) {
		s, err := textual(v)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.ParsePrefix(s)
	}}
}

// Scopes reads them as names with spaces between them, or as their bits.
func Scopes(dst *berth.Scopes) any {
	return column[berth.Scopes]{dst, func(v any) (berth.Scopes, error) {
		if n, ok := v.(int64); ok {
			return berth.Scopes(n), nil
		}
		s, err := textual(v)
		if err != nil {
			return 0, err
		}
		return berth.ParseScopes(strings.Fields(s))
	}}
}

// Maybe reads a column whose NULL means unknown.
func Maybe[T any](dst *berth.Maybe[T]) any {
	return column[berth.Maybe[T]]{dst, func(v any) (berth.Maybe[T], error) {
		var n sql.Null[T]
		err := n.Scan(v)
		return berth.Maybe[T]{Value: n.V, Known: n.Valid}, err
	}}
}

// JSON reads a column of JSON.
func JSON[T any](dst *T, parse func(string) (T, error)) any {
	return column[T]{dst, func(v any) (T, error) {
		s, err := textual(v)
		if err != nil {
			return *new(T), err
		}
		return parse(s)
	}}
}
