package row_test

import (
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

func TestTextThatDiffersInCaseFoldsAlike(t *testing.T) {
	for _, c := range [][2]string{{"Åre AG", "åRE ag"}, {"Σίσυφος", "ΣΊΣΥΦΟΣ"}} {
		if row.Fold(c[0]) != row.Fold(c[1]) {
			t.Errorf("%q folds to %q, %q to %q", c[0], row.Fold(c[0]), c[1], row.Fold(c[1]))
		}
	}
}

func TestMillisecondsRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2} {
		if got := row.Milliseconds(d); got != want {
			t.Errorf("%s is %d ms, want %d", d, got, want)
		}
	}
}

func TestMegabytesRoundToTheNearest(t *testing.T) {
	const half = berth.BytesPerMB / 2
	for bytes, want := range map[int64]int64{0: 0, half - 1: 0, half: 1, berth.BytesPerMB + half - 1: 1, berth.BytesPerMB + half: 2} {
		if got := row.Megabytes(berth.Known(bytes)); got != want {
			t.Errorf("%d bytes are %v MB, want %d", bytes, got, want)
		}
	}
}

func TestUnitsRoundToTheNearest(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, 499 * time.Microsecond: 0, 500 * time.Microsecond: 1, 1499 * time.Microsecond: 1} {
		if got := row.Per(berth.Known(d), time.Millisecond); got != want {
			t.Errorf("%s is %v ms, want %d", d, got, want)
		}
	}
}

func TestUnknownIsNULL(t *testing.T) {
	if got := row.Megabytes(berth.Maybe[int64]{}); got != nil {
		t.Errorf("unknown bytes are %v MB", got)
	}
	if got := row.Per(berth.Maybe[time.Duration]{}, time.Millisecond); got != nil {
		t.Errorf("an unknown time is %v ms", got)
	}
}
