package sqlite

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
)

const (
	defaultPage = 100
	largestPage = 1000
)

// pageSize applies the default and the bound.
func pageSize(limit int) (int, error) {
	switch {
	case limit < 0:
		return 0, berth.Errorf(berth.CodeInvalidRequest, "Limit must not be negative").WithField("limit").
			WithHint("give a number from 1 to %d; %d was given", largestPage, limit)
	case limit == 0:
		return defaultPage, nil
	}
	return min(limit, largestPage), nil
}

// A cursor names the last row of a page by its place in the order of writing,
// which never changes, so that rows written meanwhile neither shift nor repeat
// others. It carries the list it belongs to.
func cursorAfter(list string, seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + ":" + strconv.FormatInt(seq, 36)))
}

// afterCursor returns where an ascending list goes on; the beginning for "".
func afterCursor(list, cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	return parseCursor(list, cursor)
}

// beforeCursor returns where a descending list goes on; the end for "".
func beforeCursor(list, cursor string) (int64, error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	return parseCursor(list, cursor)
}

func parseCursor(list, cursor string) (int64, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		if digits, ok := strings.CutPrefix(string(raw), list+":"); ok {
			if seq, err := strconv.ParseInt(digits, 36, 64); err == nil && seq > 0 {
				return seq, nil
			}
		}
	}
	return 0, berth.Errorf(berth.CodeInvalidRequest, "Invalid cursor").WithField("cursor").
		WithHint("give nextCursor of the page before, or none; %s was given", berth.Quote(cursor))
}
