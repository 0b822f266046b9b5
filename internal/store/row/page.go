package row

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Rows of a page: how many if nothing is asked for, and at most.
const (
	DefaultPage = 100
	LargestPage = 1000
)

// unbounded is a page that no list fills. A store asks for one row more, which
// must fit 32 bits as well.
const unbounded = math.MaxInt32 - 1

// PageSize applies the default and the bound to a limit. A negative one other
// than store.Unbounded is refused with CodeInvalidRequest.
func PageSize(limit int) (int, error) {
	switch {
	case limit == store.Unbounded:
		return unbounded, nil
	case limit < 0:
		return 0, berth.Errorf(berth.CodeInvalidRequest, "Limit must not be negative").WithField("limit").
			WithHint("give a number from 1 to %d; %d was given", LargestPage, limit)
	case limit == 0:
		return DefaultPage, nil
	}
	return min(limit, LargestPage), nil
}

// Window is the part of a list that is asked for.
type Window struct {
	List string // its name
	Size int    // rows
	Key  string // of the last row of the page before; "" for the first page
}

// OpenWindow checks what is asked for of a list. A bad limit, and a cursor that
// is damaged or another list's, is refused with CodeInvalidRequest.
func OpenWindow(list string, p store.Page) (Window, error) {
	size, err := PageSize(p.Limit)
	if err != nil || p.Cursor == "" {
		return Window{List: list, Size: size}, err
	}
	key, ok := openCursor(list, p.Cursor)
	if !ok {
		return Window{}, badCursor(p.Cursor)
	}
	return Window{list, size, key}, nil
}

// Cursor names the last row of a page by its key: its place in the order of
// writing, which never changes (see SeqKey), or what the list is ordered by. So
// rows written meanwhile neither shift nor repeat others. It carries the list it
// belongs to and a checksum, because a damaged key would be one too.
func (w Window) Cursor(key string) string {
	text := []byte(w.List + ":" + key)
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

// BadKey refuses, with CodeInvalidRequest, a cursor whose key is none of the
// list's.
func (w Window) BadKey() error { return badCursor(w.Cursor(w.Key)) }

func badCursor(cursor string) error {
	return berth.Errorf(berth.CodeInvalidRequest, "Invalid cursor").WithField("cursor").
		WithHint("give nextCursor of the page before, or none; %s was given", berth.Quote(cursor))
}

// SeqKey is the key of a row by its place in the order of writing, which begins
// at 1.
func SeqKey(seq int64) string { return strconv.FormatInt(seq, 36) }

// After is the place after which a list in the order of writing goes on. A key
// that SeqKey has not made is refused, as by BadKey.
func (w Window) After() (int64, error) { return w.seq(0) }

// Before is After for a list against the order of writing: the place before
// which it goes on.
func (w Window) Before() (int64, error) { return w.seq(math.MaxInt64) }

func (w Window) seq(start int64) (int64, error) {
	if w.Key == "" {
		return start, nil
	}
	seq, err := strconv.ParseInt(w.Key, 36, 64)
	if err != nil || seq < 1 {
		return 0, w.BadKey()
	}
	return seq, nil
}
