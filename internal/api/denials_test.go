package api

import (
	"fmt"
	"testing"

	"github.com/unite-hub/berth"
)

// denier counts what is recorded of attempts, and of how many that tells.
type denier struct {
	*denials
	t        *testing.T
	entries  map[string]int // by chain
	attempts int
	told     int
}

func newDenier(t *testing.T) *denier {
	return &denier{denials: newDenials(Denials{}), t: t, entries: map[string]int{}}
}

func (d *denier) try(a berth.Actor, e berth.AuditEntry) {
	d.attempts++
	e.ActorID, e.ActorName, e.ActorRole = a.ID, a.Name, a.Role
	if d.take(groupOf(a), e) {
		d.entries[e.OrganizationID]++
		d.told++
	}
}

func (d *denier) minute(end bool) {
	d.t.Helper()
	for _, e := range d.over(end) {
		d.entries[e.OrganizationID]++
		var n int
		if _, err := fmt.Sscanf(e.After, `{"suppressed":%d}`, &n); err != nil || e.Action != "denied.suppressed" {
			d.t.Fatal(e, err)
		}
		d.told += n
	}
}

// However many try to sign in from however many addresses, for however long:
// the audit grows by a fixed number of entries a day, and none is lost count of.
func TestFailedSignInsGrowTheAuditByAFixedNumberADay(t *testing.T) {
	t.Parallel()
	d := newDenier(t)
	for day := range 3 {
		clear(d.entries)
		for minute := range 24 * 60 {
			for i := range 100 {
				d.try(berth.Actor{}, berth.AuditEntry{Action: "session.begin", Address: fmt.Sprint(day, minute, i)})
			}
			d.minute(false)
		}
		if n := d.entries[""]; n < 1000 || n > 1100 || d.told != d.attempts {
			t.Errorf("day %d: %d entries, which stand for %d of %d attempts", day, n, d.told, d.attempts)
		}
	}
	d.StrangersDaily = 0
	d.try(berth.Actor{}, berth.AuditEntry{})
	if d.minute(true); d.told != d.attempts {
		t.Errorf("at the end: %d of %d", d.told, d.attempts)
	}
}

// One who is known fills neither the disk, whatever they try, nor their
// organization's share; many of one organization do not fill it either, and leave
// the others theirs.
func TestDenialsOfTheKnownGrowTheAuditByAFixedNumberADay(t *testing.T) {
	t.Parallel()
	actor := func(n int, org string) berth.Actor {
		return berth.Actor{ID: fmt.Sprint("token ", org, n), Role: berth.RoleMember, OrganizationID: org}
	}
	for what, c := range map[string]struct {
		actors, aMinute int
		most            int // entries in a day
	}{
		"one token":                       {1, 100, 1000 + 60},
		"one token, just below its share": {1, 60, 1000 + 60},
		"every token of an organization":  {60, 2, 5000 + 2*60},
	} {
		d := newDenier(t)
		for day := range 2 {
			clear(d.entries)
			for range 24 * 60 {
				for i := range c.actors {
					for n := range c.aMinute {
						chain := "one" // what is refused; what is not found goes into the installation's
						if n%2 == 1 {
							chain = ""
						}
						d.try(actor(i, "one"), berth.AuditEntry{OrganizationID: chain, Code: berth.CodeForbidden})
					}
				}
				d.minute(false)
			}
			n := d.entries["one"] + d.entries[""]
			if n > c.most || n < 1000 || d.told != d.attempts {
				t.Errorf("%s, day %d: %d entries, which stand for %d of %d attempts", what, day, n, d.told, d.attempts)
			}
		}
		for minute := range 12 * 60 { // the next day, in an organization that is full, and beside it
			for i := range c.actors {
				for range c.aMinute {
					d.try(actor(i, "one"), berth.AuditEntry{OrganizationID: "one"})
				}
			}
			if d.try(actor(minute, "two"), berth.AuditEntry{OrganizationID: "two"}); d.entries["two"] != minute+1 {
				t.Fatalf("%s: another organization's attempt was left out after %d minutes", what, minute)
			}
			d.minute(false)
		}
		if d.minute(true); d.told != d.attempts {
			t.Errorf("%s, at the end: %d of %d", what, d.told, d.attempts)
		}
	}
}

// Whatever organizations somebody names who acts for any of them, they have one
// share.
func TestWhoNamesManyOrganizationsHasOneShareOfTheAudit(t *testing.T) {
	t.Parallel()
	d := newDenier(t)
	entries := 0
	for minute := range 24 * 60 {
		for i := range 100 {
			org := fmt.Sprint(minute, i)
			d.try(berth.Actor{ID: "deployer", Role: berth.RoleDeployer, OrganizationID: org}, berth.AuditEntry{OrganizationID: org})
		}
		d.minute(false)
	}
	for _, n := range d.entries {
		entries += n
	}
	if entries > 1000+100+60 || d.told != d.attempts {
		t.Errorf("%d entries, which stand for %d of %d attempts", entries, d.told, d.attempts)
	}
}

// Whoever floods chains, their own or those of any number of organizations, and
// for however long, does not hide what they try in another: it has an entry of
// its own.
func TestAFloodInSomeChainsLeavesAProbeOfAnotherItsTrace(t *testing.T) {
	t.Parallel()
	member := berth.Actor{ID: "member", Role: berth.RoleMember, OrganizationID: "own"}
	try := func(d *denier, chain string, times int) int {
		before := d.entries[chain]
		for range times {
			d.try(member, berth.AuditEntry{OrganizationID: chain})
		}
		return d.entries[chain] - before
	}
	for what, flood := range map[string]func(d *denier, minute int){
		"its own":      func(d *denier, _ int) { try(d, "own", 200) },
		"two":          func(d *denier, _ int) { try(d, "own", 100); try(d, "other", 100) },
		"many by turn": func(d *denier, minute int) { try(d, fmt.Sprint("flooded ", minute%40), 200) },
	} {
		for _, minutes := range []int{1, 60, 600} {
			d := newDenier(t)
			for minute := range minutes {
				if flood(d, minute); minute < minutes-1 {
					d.minute(false)
				}
			}
			if got := try(d, "probed", 1); got != 1 {
				t.Errorf("after %d minutes that flood %s: %d entries of a probe", minutes, what, got)
			}
			if d.minute(true); d.told != d.attempts {
				t.Errorf("after %d minutes that flood %s: %d of %d attempts", minutes, what, d.told, d.attempts)
			}
		}
	}
	// Of one chain alone, half of the share is left for the other.
	d := newDenier(t)
	if own, probes := try(d, "own", 1000), try(d, "", 1000); own != 30 || probes != 30 {
		t.Errorf("%d entries of a flood, and %d of the probes behind it", own, probes)
	}
	// The rest is told of where nobody but the installation reads it, whichever came last.
	try(d, "own", 1)
	list := d.over(false)
	if len(list) != 1 || list[0].OrganizationID != "" {
		t.Errorf("what was left out of two chains is told of in %+v", list)
	}
}
