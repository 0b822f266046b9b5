package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var listTests = []test{
	{"living tenants are listed as stored, oldest first", func(f fixture) {
		want := []berth.Tenant{tenant(3), tenant(1), tenant(2)}
		want[1].CreatedAt = noon.Add(-time.Hour) // the clock was put back
		f.insert(want...)
		f.insert(tenant(4))
		f.bury(org(4))
		page, next := f.list(operator, store.TenantFilter{})
		f.same(page, want)
		if next != "" {
			f.Errorf("a whole list has a next page %q", next)
		}
	}},
	{"pages neither miss nor repeat what was there, while others come and go", func(f fixture) {
		for i := range 10 {
			f.insert(tenant(i + 1))
		}
		var seen []string
		for cursor, pages := "", 0; ; pages++ {
			page, next := f.list(operator, store.TenantFilter{Page: store.Page{Limit: 3, Cursor: cursor}})
			for _, n := range page {
				seen = append(seen, n.OrganizationID)
			}
			if next == "" {
				break
			}
			if pages == 0 {
				f.insert(tenant(11)) // behind
				f.bury(org(2))       // seen already
				f.bury(org(3))       // the one that the cursor names
				f.bury(org(8))       // not seen yet
			}
			cursor = next
		}
		var want []string
		for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 9, 10, 11} {
			want = append(want, org(n))
		}
		f.same(seen, want)
	}},
	{"a list of an engine shows its tenants only, and that of none those that no engine has yet", func(f fixture) {
		a, b, c, d := tenant(1), tenant(2), tenant(3), tenant(4)
		b.EngineID, c.EngineID = "engine-2", ""
		f.insert(a, b, c, d)
		for engine, want := range map[string][]berth.Tenant{"engine-1": {a, d}, "engine-2": {b}, "": {c}, "engine-3": {}} {
			page, _ := f.list(operator, store.TenantFilter{Engine: berth.Known(engine)})
			f.same(page, want)
		}
		page, next := f.list(operator, store.TenantFilter{Engine: berth.Known("engine-1"), Page: store.Page{Limit: 1}})
		f.same(page, []berth.Tenant{a})
		page, _ = f.list(operator, store.TenantFilter{Engine: berth.Known("engine-1"), Page: store.Page{Limit: 1, Cursor: next}})
		f.same(page, []berth.Tenant{d})
		page, _ = f.list(of(b.OrganizationID), store.TenantFilter{Engine: berth.Known("engine-1")})
		f.same(page, []berth.Tenant{})
	}},
	{"a last page that is full has no next one", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		page, next := f.list(operator, store.TenantFilter{Page: store.Page{Limit: 2}})
		if len(page) != 2 || next != "" {
			f.Errorf("got %d tenants and cursor %q", len(page), next)
		}
	}},
	{"lists are narrowed by status, health and text", func(f fixture) {
		a, b, c := tenant(1), tenant(2), tenant(3)
		a.Name, a.Slug = "Straße Ärzte", "acme"
		b.Name, b.Slug, b.Status, b.Health = "50% off_er", "beta", berth.StatusStopped, berth.HealthUnknown
		c.Name, c.Slug, c.Health = "Gamma", "big-acme-2", berth.HealthUnhealthy
		f.insert(a, b, c)
		for _, q := range []struct {
			filter store.TenantFilter
			want   []berth.Tenant
		}{
			{store.TenantFilter{Status: berth.StatusRunning}, []berth.Tenant{a, c}},
			{store.TenantFilter{Health: berth.HealthUnhealthy}, []berth.Tenant{c}},
			{store.TenantFilter{Status: berth.StatusRunning, Health: berth.HealthHealthy}, []berth.Tenant{a}},
			{store.TenantFilter{Text: "ACME"}, []berth.Tenant{a, c}},
			{store.TenantFilter{Text: "STRAße ä"}, []berth.Tenant{a}},
			{store.TenantFilter{Text: "äRZ"}, []berth.Tenant{a}},
			{store.TenantFilter{Text: "%"}, []berth.Tenant{b}},
			{store.TenantFilter{Text: "_"}, []berth.Tenant{b}},
			{store.TenantFilter{Text: "'"}, nil},
			{store.TenantFilter{Text: "acme", Health: berth.HealthUnhealthy}, []berth.Tenant{c}},
			{store.TenantFilter{Text: org(1)}, nil},
		} {
			page, _ := f.list(operator, q.filter)
			f.same(page, q.want)
		}
	}},
}

func (f fixture) list(actor berth.Actor, filter store.TenantFilter) (page []berth.Tenant, next string) {
	f.Helper()
	f.view(actor, func(ctx context.Context, tx store.Tx) (err error) {
		page, next, err = tx.ListTenants(ctx, filter)
		return err
	})
	return page, next
}
