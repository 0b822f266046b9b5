package row

import "math"

// Way is the direction that a list of the audit is read in.
type Way struct {
	List   string // its name in cursors: one leads on the way it came
	Order  string // of the places, in SQL
	After  string // how the places of a page compare with the cursor's
	Before string // and with the first place that is not read
	End    int64  // a place behind every entry, where nothing bounds a page
	back   int64  // from a place to the one before it

	Start func(Window) (int64, error) // the place after which a page is looked for
}

// AuditWay is from the first entry on, or from the newest one back.
func AuditWay(ascending bool) Way {
	if ascending {
		return Way{List: "audit from the first", After: ">", Before: "<", End: math.MaxInt64, back: -1, Start: Window.After}
	}
	return Way{List: "audit", Order: " DESC", After: "<", Before: ">", End: 0, back: 1, Start: Window.Before}
}

// From is the cursor of the page that goes on with a place.
func (w Way) From(of Window, place int64) string { return of.Cursor(SeqKey(place + w.back)) }
