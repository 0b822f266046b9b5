package postgres

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	defaultPage = 100
	largestPage = 1000
)

// pageSize applies the default and the bound.
func pageSize(limit int) (int, error) {
	switch {
	case limit == store.Unbounded:
		return math.MaxInt32 - 1, nil
	case limit < 0:
		return 0, berth.Errorf(berth.CodeInvalidRequest, "Limit must not be negative").WithField("limit").
			WithHint("give a number from 1 to %d; %d was given", largestPage, limit)
	case limit == 0:
		return defaultPage, nil
	}
	return min(limit, largestPage), nil
}

// window is the part of a list that is asked for.
type window struct {
	list string // its name
	size int
	key  string // of the last row of the page before; "" for the first page
}

// openWindow checks what was asked for.
func openWindow(list string, p store.Page) (window, error) {
	size, err := pageSize(p.Limit)
	if err != nil || p.Cursor == "" {
		return window{list: list, size: size}, err
	}
	key, ok := openCursor(list, p.Cursor)
	if !ok {
		return window{}, errCursor(p.Cursor)
	}
	return window{list, size, key}, nil
}

// A cursor names the last row of a page by its key: its place in the order of
// writing, which never changes, or what the list is ordered by. So rows written
// meanwhile neither shift nor repeat others. It carries the list it belongs to
// and a checksum, because a damaged key would be one too.
func cursorAfter(list, key string) string {
	text := []byte(list + ":" + key)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(text)))
}

func openCursor(list, cursor string) (key string, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < crc32.Size {
		return "", false
	}
	text, sum := raw[:len(raw)-crc32.Size], raw[len(raw)-crc32.Size:]
	if crc32.ChecksumIEEE(text) != binary.BigEndian.Uint32(sum) {
		return "", false
	}
	key, ok = strings.CutPrefix(string(text), list+":")
	return key, ok && key != ""
}

func errCursor(cursor string) error {
	return berth.Errorf(berth.CodeInvalidRequest, "Invalid cursor").WithField("cursor").
		WithHint("give nextCursor of the page before, or none; %s was given", berth.Quote(cursor))
}

// after is where a list in the order of writing goes on.
func (w window) after() (int64, error) { return w.seq(0) }

// before is where a list against the order of writing goes on.
func (w window) before() (int64, error) { return w.seq(math.MaxInt64) }

func (w window) seq(start int64) (int64, error) {
	if w.key == "" {
		return start, nil
	}
	seq, err := strconv.ParseInt(w.key, 36, 64)
	if err != nil || seq < 1 {
		return 0, errCursor(cursorAfter(w.list, w.key))
	}
	return seq, nil
}

// afterID is where a list by UUID goes on; nil, which is NULL, for the first
// page: "($1::uuid IS NULL OR id > $1)".
func (w window) afterID() (any, error) {
	if w.key != "" && !berth.IsUUID(w.key) {
		return nil, errCursor(cursorAfter(w.list, w.key))
	}
	return uuidOrNull(w.key), nil
}

// page reads the rows of a window.
type page[T any] struct {
	window
	scan  func(pgx.Rows, *T) (key string, err error)
	query string // its last parameter is the number of rows
	args  []any  // without it
}

// read returns the page and the cursor of the next one, "" after the last.
func (p page[T]) read(ctx context.Context, t *tx) ([]T, string, error) {
	list := make([]T, 0, min(p.size, defaultPage))
	last, more := "", false
	err := t.many(ctx, func(rows pgx.Rows) (err error) {
		if len(list) == p.size { // the row behind the page: there is a next one
			more = true
			return nil
		}
		list = append(list, *new(T))
		last, err = p.scan(rows, &list[len(list)-1])
		return err
	}, p.query, append(p.args, p.size+1)...)
	if err != nil {
		return nil, "", fault(ctx, err, "list "+p.list)
	}
	if !more {
		return list, "", nil
	}
	return list, cursorAfter(p.list, last), nil
}

// bySeq scans rows whose last column is their place in the order of writing.
func bySeq[T any](columns func(*T) []any) func(pgx.Rows, *T) (string, error) {
	return func(rows pgx.Rows, row *T) (string, error) {
		var seq int64
		err := rows.Scan(append(columns(row), &seq)...)
		return strconv.FormatInt(seq, 36), err
	}
}

// byKey scans rows that are ordered by what key returns.
func byKey[T any](columns func(*T) []any, key func(T) string) func(pgx.Rows, *T) (string, error) {
	return func(rows pgx.Rows, row *T) (string, error) {
		err := rows.Scan(columns(row)...)
		return key(*row), err
	}
}
