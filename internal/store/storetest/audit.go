package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// entry is the n-th entry of the audit, complete but for its place.
func entry(n int, organizationID string) berth.AuditEntry {
	return berth.AuditEntry{
		ID: id(n), OrganizationID: organizationID, At: noon.Add(time.Duration(n) * time.Minute), ActorID: "token-1", ActorName: "ops 🚢",
		ActorRole: berth.RoleOperator, Address: "192.0.2.1", RequestID: "request-1", Action: "tenant.deploy", Target: "t",
		Outcome: berth.AuditDone, Before: `{"b":1,  "a":"'"}`, After: "{}",
	}
}

// audit appends entries, each in its own transaction, and returns them as they
// were stored.
func (f fixture) audit(entries ...berth.AuditEntry) (stored []berth.AuditEntry) {
	f.Helper()
	for _, e := range entries {
		var last berth.AuditEntry
		f.tx(func(ctx context.Context, tx store.Tx) error {
			last = e // the function may run more than once
			return tx.AppendAudit(ctx, &last)
		})
		stored = append(stored, last)
	}
	return stored
}

func (f fixture) audited(filter store.AuditFilter) (list []berth.AuditEntry) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
		list, _, err = tx.ListAudit(ctx, filter)
		return err
	})
	return list
}

// chained fails the test unless the entries are a whole chain.
func (f fixture) chained(chain []berth.AuditEntry) {
	f.Helper()
	var prev *berth.AuditEntry
	for i := range chain {
		if !chain[i].Follows(prev) {
			f.Fatalf("entry %d of the chain does not follow the one before: %+v", i, chain[i])
		}
		prev = &chain[i]
	}
}

var auditTests = []test{
	{"entries of each organization and of the installation are a chain of their own", func(f fixture) {
		denied := entry(2, "")
		denied.Outcome, denied.Code, denied.ActorID, denied.ActorRole, denied.Before = berth.AuditDenied, berth.CodeForbidden, "", "", ""
		all := f.audit(entry(1, org(1)), denied, entry(3, org(2)), entry(4, org(1)), entry(5, ""))
		f.same(f.audited(store.AuditFilter{Everything: true, Ascending: true}), all)
		for organizationID, want := range map[string][]berth.AuditEntry{org(1): {all[0], all[3]}, org(2): {all[2]}, "": {all[1], all[4]}, org(3): {}} {
			got := f.audited(store.AuditFilter{OrganizationID: organizationID, Ascending: true})
			f.same(got, want)
			f.chained(got)
		}
	}},
	{"what is given as place and hash is not taken, and times are stored to the microsecond", func(f fixture) {
		e := entry(1, org(1))
		e.Seq, e.PrevHash, e.Hash = 7, []byte("x"), []byte("y")
		e.At = time.Date(2026, 2, 28, 13, 0, 0, 123456789, time.FixedZone("", 3600))
		stored := f.audit(e)
		f.chained(stored)
		f.same(stored[0].At, noon)
		f.same(f.audited(store.AuditFilter{OrganizationID: org(1)}), stored)
	}},
	{"an entry of a transaction that ends with an error leaves no gap", func(f fixture) {
		f.audit(entry(1, org(1)))
		_ = f.try(operator, func(ctx context.Context, tx store.Tx) error {
			e := entry(2, org(1))
			if err := tx.AppendAudit(ctx, &e); err != nil {
				f.Error(err)
			}
			return errUndo
		})
		f.audit(entry(3, org(1)))
		chain := f.audited(store.AuditFilter{OrganizationID: org(1), Ascending: true})
		if f.chained(chain); len(chain) != 2 {
			f.Errorf("there are %d entries", len(chain))
		}
	}},
	{"several entries of one transaction follow each other", func(f fixture) {
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for n := range 3 {
				e := entry(n, org(1))
				if err := tx.AppendAudit(ctx, &e); err != nil {
					return err
				}
			}
			return nil
		})
		f.chained(f.audited(store.AuditFilter{OrganizationID: org(1), Ascending: true}))
	}},
	{"50 that append at once leave a chain without a gap", func(f fixture) {
		const writers = 50
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() {
				err := f.store.InTx(f.Context(), operator, func(tx store.Tx) error {
					e := entry(n, org(1+n%2))
					return tx.AppendAudit(f.Context(), &e)
				})
				if err != nil {
					f.Errorf("append: %v", err)
				}
			})
		}
		wg.Wait()
		for n := range 2 {
			chain := f.audited(store.AuditFilter{OrganizationID: org(1 + n), Ascending: true})
			if f.chained(chain); len(chain) != writers/2 {
				f.Errorf("chain %d has %d entries", n, len(chain))
			}
		}
	}},
	{"an id is one entry's", func(f fixture) {
		f.audit(entry(1, org(1)))
		if err := f.try(operator, func(ctx context.Context, tx store.Tx) error {
			e := entry(1, org(2))
			return tx.AppendAudit(ctx, &e)
		}); err == nil {
			f.Error("two entries have one id")
		}
	}},
	{"the audit is narrowed by who, what, how it ended and when", testAuditFilter},
	{"a page of the audit that is narrowed ends where so many entries were read", testAuditReads},
	{"a list of the audit by time ends where nothing of that time can follow", testAuditEnd},
}

func testAuditReads(f fixture) {
	var entries []berth.AuditEntry
	for n := range 14 {
		entries = append(entries, entry(n, org(1+n%2)))
	}
	entries[2].ActorID, entries[8].ActorID = "rare", "rare" // 2nd and 5th of 7
	all := f.audit(entries...)
	rare, every, none := []string{all[2].ID, all[8].ID}, []string{}, []string{}
	for n := 0; n < len(all); n += 2 {
		every = append(every, all[n].ID)
	}
	for name, c := range map[string]struct {
		filter store.AuditFilter
		pages  int
		want   []string
	}{
		"rare":             {store.AuditFilter{ActorID: "rare", Reads: 2}, 4, rare},
		"nobody":           {store.AuditFilter{ActorID: "nobody", Reads: 2}, 4, none},
		"none of a kind":   {store.AuditFilter{Action: "nothing.", Reads: 3}, 3, none},
		"the future":       {store.AuditFilter{From: noon.Add(time.Hour), Reads: 6}, 2, none},
		"all, just so":     {store.AuditFilter{To: noon, Reads: 7}, 1, none},
		"one a page":       {store.AuditFilter{ActorID: "rare", Reads: 6, Page: store.Page{Limit: 1}}, 2, rare},
		"of few":           {store.AuditFilter{ActorID: "rare"}, 1, rare},
		"not narrowed":     {store.AuditFilter{Reads: 2}, 1, every},
		"denied, all seen": {store.AuditFilter{Outcome: berth.AuditDenied, Reads: 100}, 1, none},
	} {
		for _, ascending := range []bool{true, false} {
			for _, everything := range []bool{false, true} {
				asked := c.filter
				asked.OrganizationID, asked.Ascending, asked.Everything = org(1), ascending, everything
				if everything {
					if asked.Reads *= 2; name == "not narrowed" {
						continue
					}
				}
				got, pages := f.pagesOfAudit(asked)
				if !ascending {
					slices.Reverse(got)
				}
				if f.same(got, c.want); pages != c.pages {
					f.Errorf("%s, ascending %t, everything %t: %d pages, want %d", name, ascending, everything, pages, c.pages)
				}
			}
		}
	}
}

// Entries are in the order in which they were written: what is wanted of a time does
// not lie far behind one of another.
func testAuditEnd(f fixture) {
	for n := range 14 {
		f.audit(entry(n, org(1)))
	}
	for name, c := range map[string]struct {
		filter store.AuditFilter
		pages  int
	}{
		"back to long after the last":        {store.AuditFilter{From: noon.Add(48 * time.Hour)}, 1},
		"back to a little after the last":    {store.AuditFilter{From: noon.Add(time.Hour)}, 7},
		"on to long before the first":        {store.AuditFilter{To: noon.Add(-48 * time.Hour), Ascending: true}, 1},
		"on to a little before the first":    {store.AuditFilter{To: noon.Add(-time.Hour), Ascending: true}, 7},
		"on from long after the last":        {store.AuditFilter{From: noon.Add(48 * time.Hour), Ascending: true}, 7},
		"back from long before the first on": {store.AuditFilter{To: noon.Add(-48 * time.Hour)}, 7},
	} {
		for _, everything := range []bool{false, true} {
			c.filter.OrganizationID, c.filter.Reads, c.filter.Everything = org(1), 2, everything
			if ids, pages := f.pagesOfAudit(c.filter); pages != c.pages || len(ids) > 0 {
				f.Errorf("%s, everything %t: %d pages, want %d; %v", name, everything, pages, c.pages, ids)
			}
		}
	}
}

// pagesOfAudit walks to the end. It returns the ids, and of how many pages.
func (f fixture) pagesOfAudit(filter store.AuditFilter) (ids []string, pages int) {
	f.Helper()
	ids = []string{}
	for {
		var page []berth.AuditEntry
		var next string
		f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
			page, next, err = tx.ListAudit(ctx, filter)
			return err
		})
		for _, e := range page {
			ids = append(ids, e.ID)
		}
		if pages++; next == "" {
			return ids, pages
		}
		filter.Cursor = next
	}
}

func testAuditFilter(f fixture) {
	entries := []berth.AuditEntry{entry(1, org(1)), entry(2, org(1)), entry(3, org(1)), entry(4, org(1)), entry(5, org(2))}
	entries[1].ActorID = "token-2"
	entries[2].Action, entries[3].Action = "tenant.stop", "tenancy.x"
	entries[3].Outcome, entries[3].Code = berth.AuditDenied, berth.CodeForbidden
	all := f.audit(entries...)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	for name, c := range map[string]struct {
		filter store.AuditFilter
		want   []int // from 1
	}{
		"all":           {store.AuditFilter{}, []int{4, 3, 2, 1}},
		"who":           {store.AuditFilter{ActorID: "token-2"}, []int{2}},
		"action":        {store.AuditFilter{Action: "tenant.deploy"}, []int{2, 1}},
		"kind":          {store.AuditFilter{Action: "tenant."}, []int{3, 2, 1}},
		"no kind":       {store.AuditFilter{Action: "tenan"}, nil},
		"no pattern":    {store.AuditFilter{Action: "%."}, nil},
		"case":          {store.AuditFilter{Action: "TENANT."}, nil},
		"outcome":       {store.AuditFilter{Outcome: berth.AuditDenied}, []int{4}},
		"from":          {store.AuditFilter{From: minute(3)}, []int{4, 3}},
		"to":            {store.AuditFilter{To: minute(3)}, []int{2, 1}},
		"span":          {store.AuditFilter{From: minute(2), To: minute(4), Ascending: true}, []int{2, 3}},
		"together":      {store.AuditFilter{From: minute(2), Action: "tenant.", ActorID: "token-1"}, []int{3}},
		"everything":    {store.AuditFilter{Everything: true, Action: "tenant.deploy"}, []int{5, 2, 1}},
		"of all chains": {store.AuditFilter{Everything: true, Ascending: true, ActorID: "token-1"}, []int{1, 3, 4, 5}},
	} {
		if c.filter.OrganizationID = org(1); c.filter.Everything {
			c.filter.OrganizationID = org(9) // is ignored
		}
		want := []berth.AuditEntry{}
		for _, n := range c.want {
			want = append(want, all[n-1])
		}
		if got := f.audited(c.filter); !slices.EqualFunc(got, want, func(a, b berth.AuditEntry) bool { return a.ID == b.ID }) {
			f.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
