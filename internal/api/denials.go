package api

import (
	"cmp"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
)

// Denials bound how many denied attempts are recorded one by one. How many there
// were beyond is recorded for all that were left out together, so that nobody
// fills the disk and none is lost count of.
type Denials struct {
	PerActor   int // in a minute, of somebody known; 0: 60
	PerAddress int // in a minute, of nobody known; 0: 5
	Strangers  int // in a minute, of all nobody known together; 0: 60

	ActorDaily        int // in a day, of somebody known; 0: 1000
	OrganizationDaily int // in a day, of all that belong to one organization, or to none; 0: 5000
	StrangersDaily    int // in a day, of all nobody known together; 0: 1000

	// Beyond those, so that a flood in some chains hides nobody's probe of another:
	// what an actor meets for the first time in a day in a chain.
	ActorFirsts        int // in a day, of somebody known; 0: 100
	OrganizationFirsts int // in a day, of all that belong to one organization, or to none; 0: 500
}

// One chain takes at most this part of an actor's share: the rest is left for
// the others.
const partOfChain = 2

const denialSpan = time.Minute

// Groups of those who belong to no organization.
const (
	strangers    = "strangers"    // nobody known
	unaffiliated = "unaffiliated" // people without a role
	installation = "installation" // operators, and deployers for all organizations
)

// denials counts what is recorded, and what is not.
type denials struct {
	Denials

	mu      sync.Mutex
	minutes int            // of the day that are over
	minute  map[string]int // recorded in this minute, by what is bound
	day     map[string]int // recorded today, by what is bound
	left    map[leftOut]*tally
}

// leftOut is whose attempts one entry stands for: an actor's, whatever organization
// they named, or else a group's that go into one chain.
type leftOut struct{ actor, group, chain string }

type tally struct {
	attempts int
	group    string
	last     berth.AuditEntry
}

func newDenials(d Denials) *denials {
	d.PerActor = cmp.Or(d.PerActor, 60)
	d.PerAddress = cmp.Or(d.PerAddress, 5)
	d.Strangers = cmp.Or(d.Strangers, 60)
	d.ActorDaily = cmp.Or(d.ActorDaily, 1000)
	d.OrganizationDaily = cmp.Or(d.OrganizationDaily, 5000)
	d.StrangersDaily = cmp.Or(d.StrangersDaily, 1000)
	d.ActorFirsts = cmp.Or(d.ActorFirsts, 100)
	d.OrganizationFirsts = cmp.Or(d.OrganizationFirsts, 500)
	return &denials{Denials: d, minute: map[string]int{}, day: map[string]int{}, left: map[leftOut]*tally{}}
}

// groupOf is whose daily bound an actor's attempts fall under besides their own.
func groupOf(a berth.Actor) string {
	switch {
	case a.ID == "":
		return strangers
	case a.OrganizationID != "":
		return "organization " + a.OrganizationID
	case a.Role == "":
		return unaffiliated
	}
	return installation
}

// bound is one of those that an attempt falls under.
type bound struct {
	name string
	most int
}

func (d *denials) inMinute(e berth.AuditEntry) []bound {
	if e.ActorID == "" {
		return []bound{{"address " + e.Address, d.PerAddress}, {strangers, d.Strangers}}
	}
	return []bound{{"actor " + e.ActorID, d.PerActor}, {inChain(e), (d.PerActor + 1) / partOfChain}}
}

// inChain names an actor's attempts that go into one chain.
func inChain(e berth.AuditEntry) string { return "actor " + e.ActorID + " in " + e.OrganizationID }

func (d *denials) inDay(actor, group string) (list []bound) {
	if group == strangers {
		return []bound{{strangers, d.StrangersDaily}}
	}
	if actor != "" {
		list = append(list, bound{"actor " + actor, d.ActorDaily})
	}
	return append(list, bound{group, d.OrganizationDaily})
}

func full(counts map[string]int, bounds []bound) bool {
	for _, b := range bounds {
		if counts[b.name] >= b.most {
			return true
		}
	}
	return false
}

// count makes a name for what is recorded only: there are no more of them than
// entries on disk.
func count(counts map[string]int, bounds []bound) {
	for _, b := range bounds {
		counts[b.name]++
	}
}

// firsts bounds what an actor is refused for the first time today in a chain.
func (d *denials) firsts(group string, e berth.AuditEntry) []bound {
	return []bound{{"first of actor " + e.ActorID, d.ActorFirsts}, {"first of " + group, d.OrganizationFirsts}}
}

// take reports whether an attempt is to be recorded by itself; otherwise it is
// counted. group is groupOf whoever made it.
func (d *denials) take(group string, e berth.AuditEntry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	minute, day := d.inMinute(e), d.inDay(e.ActorID, group)
	if e.ActorID != "" {
		day = append(day, bound{inChain(e), (d.ActorDaily + 1) / partOfChain})
	}
	if full(d.minute, minute) || full(d.day, day) {
		beyond := d.firsts(group, e)
		if e.ActorID == "" || d.day[inChain(e)] > 0 || full(d.day, beyond) {
			d.leave(tally{1, group, e})
			return false
		}
		count(d.day, beyond)
		d.day[inChain(e)]++
		return true
	}
	count(d.minute, minute)
	count(d.day, day)
	return true
}

// leave counts attempts that no entry stands for yet: an actor's by themselves,
// unless their group's day is full.
func (d *denials) leave(t tally) {
	of := leftOut{actor: t.last.ActorID}
	if of.actor == "" || full(d.day, d.inDay("", t.group)) {
		of = leftOut{group: t.group, chain: t.last.OrganizationID}
		t.last = berth.AuditEntry{OrganizationID: of.chain, Code: t.last.Code}
	}
	if was := d.left[of]; was != nil {
		t.attempts += was.attempts
		if was.last.OrganizationID != t.last.OrganizationID {
			t.last.OrganizationID = "" // of several chains: no organization learns of another, and the last one hides none
		}
	}
	d.left[of] = &t
}

// over ends a minute and returns the entries that stand for attempts which were
// not recorded: of each actor, and of each group. Where a day is full, they come
// once an hour, and at the end.
func (d *denials) over(end bool) (list []berth.AuditEntry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.minutes++
	left := d.left
	d.left = make(map[leftOut]*tally, len(left))
	for _, t := range left { // a day may have become full since
		d.leave(*t)
	}
	hour := end || d.minutes%60 == 0
	for of, t := range d.left {
		day := d.inDay(of.actor, t.group)
		if full(d.day, day) && !hour {
			continue
		}
		count(d.day, day)
		e := t.last
		e.Action, e.Target, e.RequestID, e.After = action.Suppressed.Name, "", "", suppressed(t.attempts)
		list = append(list, e)
		delete(d.left, of)
	}
	d.minute = map[string]int{}
	if d.minutes == 24*60 {
		d.minutes, d.day = 0, map[string]int{}
	}
	return list
}

// suppressed is what an entry says that stands for others.
func suppressed(n int) string {
	data, _ := json.Marshal(map[string]int{"suppressed": n}) // numbers only
	return string(data)
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
