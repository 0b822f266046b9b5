package row

import (
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// Fold removes case, so that a search finds what differs in it only. A database
// would fold by its own locale, or ASCII only.
func Fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// Milliseconds rounds up, so that an answer is not taken for none.
func Milliseconds(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// Megabytes rounds bytes to the nearest megabyte, an int64; nil, which is NULL,
// if they are not known.
func Megabytes(bytes berth.Maybe[int64]) any {
	if !bytes.Known {
		return nil
	}
	return (bytes.Value + berth.BytesPerMB/2) / berth.BytesPerMB
}

// Per rounds a duration to the nearest number of units, an int64; nil, which is
// NULL, if it is not known.
func Per(d berth.Maybe[time.Duration], unit time.Duration) any {
	if !d.Known {
		return nil
	}
	return int64(d.Value.Round(unit) / unit)
}
