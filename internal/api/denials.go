package api

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
)

// Denials bound how many denied attempts are recorded one by one in a minute.
// How many there were beyond is recorded once, so that nobody fills the disk.
type Denials struct {
	PerActor   int // known ones; 0: 60
	PerAddress int // of attempts by nobody known; 0: 5
	Strangers  int // of all of these together; 0: 60
	Daily      int // of these in a day; beyond, how many there were is recorded once an hour; 0: 1000
}

const (
	denialSpan = time.Minute
	// mostTallies bounds memory: beyond, whatever else comes counts together.
	mostTallies = 10_000
	// others is the tally of all that have none of their own.
	others = "others"
)

// denials counts what is recorded, by actor or address, for a minute.
type denials struct {
	Denials

	mu        sync.Mutex
	strangers int // recorded
	today     int // the same, of a day
	minutes   int // of the day that are over
	unsaid    int // strangers' attempts that no entry stands for yet
	tallies   map[string]*tally
}

type tally struct {
	recorded, suppressed int
	last                 berth.AuditEntry
}

func newDenials(d Denials) *denials {
	d.PerActor = cmp.Or(d.PerActor, 60)
	d.PerAddress = cmp.Or(d.PerAddress, 5)
	d.Strangers = cmp.Or(d.Strangers, 60)
	d.Daily = cmp.Or(d.Daily, 1000)
	return &denials{Denials: d, tallies: map[string]*tally{}}
}

func (d *denials) most(a asked) int {
	if a.actor.ID != "" {
		return d.PerActor
	}
	return d.PerAddress
}

// take reports whether an attempt is to be recorded by itself; otherwise it is
// counted.
func (d *denials) take(key string, most int, e berth.AuditEntry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	stranger := e.ActorID == ""
	t, ok := d.tallies[key]
	if !ok {
		// Strangers beyond their number have none: whoever has many addresses must
		// not take the room of who is known.
		if len(d.tallies) >= mostTallies || stranger && d.full() {
			key, most = others, 0
			e.Address, e.ActorID, e.ActorName, e.ActorRole, e.OrganizationID = "", "", "", "", ""
			t = d.tallies[key]
		}
		if t == nil {
			t = &tally{}
			d.tallies[key] = t
		}
	}
	if t.recorded >= most || stranger && d.full() {
		t.suppressed++
		t.last = e
		return false
	}
	t.recorded++
	if stranger {
		d.strangers++
		d.today++
	}
	return true
}

// full reports whether no stranger's attempt is recorded by itself now.
func (d *denials) full() bool { return d.strangers >= d.Strangers || d.today >= d.Daily }

// over ends a minute and returns what stands for the attempts that were not
// recorded in it: one entry each for those who are known, one for all others,
// which comes once an hour when the day's number is reached, and at the end.
func (d *denials) over(end bool) (list []berth.AuditEntry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	strangers := 0
	for _, t := range d.tallies {
		if t.suppressed == 0 {
			continue
		}
		e := t.last
		if e.ActorID == "" {
			strangers += t.suppressed
			continue
		}
		e.RequestID, e.Target, e.Action, e.After = "", "", action.Suppressed.Name, suppressed(t.suppressed)
		list = append(list, e)
	}
	d.unsaid += strangers
	d.minutes++
	if d.unsaid > 0 && (end || d.today < d.Daily || d.minutes%60 == 0) {
		list = append(list, berth.AuditEntry{Action: action.Suppressed.Name, Code: berth.CodeUnauthenticated, After: suppressed(d.unsaid)})
		d.unsaid = 0
	}
	if d.minutes == 24*60 {
		d.minutes, d.today = 0, 0
	}
	d.strangers, d.tallies = 0, map[string]*tally{}
	return list
}

func (d *denials) run(ctx context.Context, record func(context.Context, berth.AuditEntry)) error {
	ticker := time.NewTicker(denialSpan)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		for _, e := range d.over(ctx.Err() != nil) {
			record(ctx, e)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}
