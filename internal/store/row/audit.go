package row

import "math"

// Way is the direction that a list of the audit is read in.
type Way struct {
	List   string // its name in cursors: one leads on the way it came
	Order  string // of the places, in SQL
	After  string // how a place compares with the one after which it is looked
	Before string // and with the one before which the look ends
	End    int64  // which no place is behind
	back   int64  // from a place to the one before it

	Start func(Window) (int64, error) // the place after which a page is looked for
}

// AuditWay is from the first entry on, or from the newest one back.
func AuditWay(ascending bool) Way {
	if ascending {
		return Way{"audit from the first", "", ">", "<", math.MaxInt64, -1, Window.After}
	}
	return Way{"audit", " DESC", "<", ">", 0, 1, Window.Before}
}

// From is the cursor of the page that goes on with a place.
func (w Way) From(of Window, place int64) string { return of.Cursor(SeqKey(place + w.back)) }
