package api

import (
	"fmt"
	"testing"

	"github.com/unite-hub/berth"
)

// However many try to sign in from however many addresses, for however long:
// the audit grows by a fixed number of entries a day, and none is lost count of.
func TestFailedSignInsGrowTheAuditByAFixedNumberADay(t *testing.T) {
	d := newDenials(Denials{})
	const days, aMinute = 3, 100
	for day := range days {
		entries, told := 0, 0
		for minute := range 24 * 60 {
			for i := range aMinute {
				if d.take(fmt.Sprint("address ", minute, i), d.PerAddress, berth.AuditEntry{Action: "session.begin"}) {
					entries++
					told++
				}
			}
			for _, e := range d.over(false) {
				entries++
				var n int
				if _, err := fmt.Sscanf(e.After, `{"suppressed":%d}`, &n); err != nil {
					t.Fatal(e.After, err)
				}
				told += n
			}
		}
		if entries < 1000 || entries > 1100 || told != 24*60*aMinute {
			t.Errorf("day %d: %d entries stand for %d attempts", day, entries, told)
		}
	}
	d.take("address", 0, berth.AuditEntry{})
	if list := d.over(true); len(list) != 1 {
		t.Errorf("at the end: %v", list)
	}
}
