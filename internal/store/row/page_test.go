package row_test

import (
	"errors"
	"math"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

func TestAPageHasADefaultAndABound(t *testing.T) {
	for limit, want := range map[int]int{
		0: row.DefaultPage, 1: 1, 999: 999, row.LargestPage: row.LargestPage, 1001: row.LargestPage, math.MaxInt: row.LargestPage,
	} {
		if got, err := row.PageSize(limit); err != nil || got != want {
			t.Errorf("limit %d gives %d rows, %v; want %d", limit, got, err, want)
		}
	}
}

func TestAnUnboundedPageLeavesRoomForOneRowMore(t *testing.T) {
	size, err := row.PageSize(store.Unbounded)
	if err != nil || size <= row.LargestPage || size+1 > math.MaxInt32 {
		t.Errorf("unbounded gives %d rows, %v", size, err)
	}
}

func TestANegativeLimitIsRefused(t *testing.T) {
	_, err := row.OpenWindow("tenants", store.Page{Limit: -2})
	refused(t, err, "limit", "give a number from 1 to 1000; -2 was given")
}

func TestAWindowWithoutACursorBeginsAtTheFirstRow(t *testing.T) {
	w, err := row.OpenWindow("tenants", store.Page{})
	if want := (row.Window{List: "tenants", Size: row.DefaultPage}); err != nil || w != want {
		t.Errorf("window is %+v, %v; want %+v", w, err, want)
	}
	if after, err := w.After(); err != nil || after != 0 {
		t.Errorf("goes on after %d, %v", after, err)
	}
	if before, err := w.Before(); err != nil || before != math.MaxInt64 {
		t.Errorf("goes on before %d, %v", before, err)
	}
}

func TestACursorLeadsBackToItsKey(t *testing.T) {
	for _, key := range []string{"z", "ghcr.io:5000", "web@2", "é\x00"} {
		cursor := row.Window{List: "credentials"}.Cursor(key)
		w, err := row.OpenWindow("credentials", store.Page{Limit: 7, Cursor: cursor})
		if want := (row.Window{List: "credentials", Size: 7, Key: key}); err != nil || w != want {
			t.Errorf("window is %+v, %v; want %+v", w, err, want)
		}
	}
}

func TestACursorLeadsBackToItsPlace(t *testing.T) {
	for _, seq := range []int64{1, 35, 36, math.MaxInt64} {
		w := row.Window{List: "tenants", Key: row.SeqKey(seq)}
		if after, err := w.After(); err != nil || after != seq {
			t.Errorf("goes on after %d, %v; want %d", after, err, seq)
		}
		if before, err := w.Before(); err != nil || before != seq {
			t.Errorf("goes on before %d, %v; want %d", before, err, seq)
		}
	}
}

// Clients keep cursors over an update of Berth.
func TestACursorStaysWhatItWas(t *testing.T) {
	if got, want := (row.Window{List: "tenants"}).Cursor(row.SeqKey(1234)), "dGVuYW50czp5YUjuqMc"; got != want {
		t.Errorf("the cursor is %s, was %s", got, want)
	}
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	cursor := row.Window{List: "tenants"}.Cursor("a")
	for _, list := range []string{"tokens", "tenant", "tenants:a"} {
		_, err := row.OpenWindow(list, store.Page{Cursor: cursor})
		refused(t, err, "cursor", "")
	}
}

func TestADamagedCursorIsRefused(t *testing.T) {
	cursor := row.Window{List: "tenants"}.Cursor("a1")
	// Of the last character, the cursor uses some bits only.
	for i := range cursor {
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=" {
			if bad := cursor[:i] + string(c) + cursor[i+1:]; bad != cursor {
				_, err := row.OpenWindow("tenants", store.Page{Cursor: bad})
				refused(t, err, "cursor", "")
			}
		}
	}
	for i := 1; i < len(cursor); i++ {
		_, err := row.OpenWindow("tenants", store.Page{Cursor: cursor[:i]})
		refused(t, err, "cursor", "")
	}
}

func TestACursorWithoutAKeyIsRefused(t *testing.T) {
	_, err := row.OpenWindow("tenants", store.Page{Cursor: row.Window{List: "tenants"}.Cursor("")})
	refused(t, err, "cursor", "")
}

func TestAKeyThatIsNoPlaceIsRefused(t *testing.T) {
	for _, key := range []string{"0", "-1", "ghcr.io", "1y2p0ij32e8e8"} { // the last is one more than the largest
		w := row.Window{List: "tenants", Key: key}
		hint := "give nextCursor of the page before, or none; " + berth.Quote(w.Cursor(key)) + " was given"
		_, err := w.After()
		refused(t, err, "cursor", hint)
		_, err = w.Before()
		refused(t, err, "cursor", hint)
	}
}

// refused checks the error of a bad request; any hint will do for "".
func refused(t *testing.T, err error, field, hint string) {
	t.Helper()
	e, ok := errors.AsType[*berth.Error](err)
	if !ok || e.Code != berth.CodeInvalidRequest || e.Field != field || e.Hint == "" || hint != "" && e.Hint != hint {
		t.Errorf("%v, want %s for %s with the hint %q", err, berth.CodeInvalidRequest, field, hint)
	}
}
