package storetest

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var tenantTests = []test{
	{"a tenant comes back as it was stored", func(f fixture) {
		n := tenant(1)
		n.Cause, n.LastStoppedAt = "it broke", noon.Add(2*time.Hour)
		f.insert(n)
		f.same(f.get(n.OrganizationID), n)
		f.same(f.get(n.Slug), n)
		f.same(f.get(strings.ToUpper(n.OrganizationID)), n)
	}},
	{"what is not known comes back as not known", func(f fixture) {
		n := berth.Tenant{
			ID: berth.NewID(), OrganizationID: org(1), Name: "n", Slug: "n", URL: "u", Want: berth.WantStopped,
			Spec:   berth.Spec{ImageTag: "latest", Limits: berth.DefaultLimits(), Replicas: 1},
			Status: berth.StatusPending, Health: berth.HealthUnknown, CreatedAt: noon, UpdatedAt: noon,
		}
		other := n
		other.ID, other.OrganizationID, other.Slug = berth.NewID(), org(2), "m"
		f.insert(n, other) // nothing unknown is taken for a duplicate
		f.same(f.get(org(1)), n)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			ports, err := tx.TakenPorts(ctx)
			if err != nil {
				return err
			}
			f.same(ports, []int{})
			subnets, err := tx.TakenSubnets(ctx)
			f.same(subnets, []netip.Prefix{})
			return err
		})
	}},
	{"every field but the record's own can be updated", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		changed := tenant(2)
		changed.ID, changed.OrganizationID, changed.CreatedAt, changed.CreatedBy = n.ID, n.OrganizationID, n.CreatedAt, n.CreatedBy
		changed.Status, changed.Health, changed.Cause = berth.StatusFailed, berth.HealthUnhealthy, "why"
		changed.LastStoppedAt, changed.LastStartedAt, changed.EngineID = noon.Add(3*time.Hour), time.Time{}, ""
		changed.Want, changed.Spec, changed.Generation = berth.WantStopped, spec("v2"), 9
		changed.Spec.Release, changed.Released = 9, 8
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &changed) })
		if changed.Revision != n.Revision+1 {
			f.Errorf("revision %d after the update of %d", changed.Revision, n.Revision)
		}
		f.same(f.get(n.OrganizationID), changed)
	}},
	{"a stale update stores nothing", func(f fixture) {
		f.insert(tenant(1))
		first, second := f.get(org(1)), f.get(org(1))
		first.Name, second.Name = "first", "second"
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &first) })
		revision := second.Revision
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &second) }), berth.CodeStale)
		if second.Revision != revision {
			f.Error("a refused update raised the revision")
		}
		f.same(f.get(org(1)), first)
	}},
	{"a tenant that never was can't be updated", func(f fixture) {
		n := tenant(1)
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &n) }), berth.CodeContainerNotFound)
	}},
	{"names come back as given", func(f fixture) {
		names := []string{"Ünïcødé", "日本語", "👩‍👩‍👧 🚢", "שלום \u202eevil", "O'Brien \"x\"; DROP TABLE tenant_containers; --",
			"<script>alert(1)</script>", "${HOME} `id` $(id)", "a: b\\n - c", "../../etc/passwd", strings.Repeat("漢", 100), " x "}
		for i, name := range names {
			n := tenant(i + 1)
			n.Name = name
			f.insert(n)
			f.same(f.get(n.OrganizationID), n)
		}
	}},
	{"times come back to the microsecond, in UTC", func(f fixture) {
		zone := time.FixedZone("east", 5*3600+1800)
		for i, at := range []time.Time{
			time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 23, 59, 59, 999999000, time.UTC),
			time.Date(2026, 6, 1, 3, 0, 0, 1000, zone), time.Date(2000, 2, 29, 1, 2, 3, 100000000, zone),
			time.Date(2026, 6, 1, 3, 0, 0, 123456789, zone), // nanoseconds are cut off
		} {
			n := tenant(i + 1)
			n.CreatedAt, n.UpdatedAt, n.LastStartedAt = at, at, at
			f.insert(n)
			got := f.get(n.OrganizationID)
			for _, g := range []time.Time{got.CreatedAt, got.UpdatedAt, got.LastStartedAt} {
				if !g.Equal(at.Truncate(time.Microsecond)) || g.Location() != time.UTC {
					f.Errorf("stored %v, got %v", at, g)
				}
			}
		}
	}},
	{"two living tenants share nothing that must be their own", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		for _, c := range []struct {
			want   berth.Code
			change func(*berth.Tenant)
		}{
			{berth.CodeTenantExists, func(o *berth.Tenant) { o.OrganizationID = n.OrganizationID }},
			{berth.CodeSlugTaken, func(o *berth.Tenant) { o.Slug = n.Slug }},
			{berth.CodePortTaken, func(o *berth.Tenant) { o.ExternalPort = n.ExternalPort }},
			{berth.CodeSubnetTaken, func(o *berth.Tenant) { o.Subnet = n.Subnet }},
		} {
			o := tenant(2)
			c.change(&o)
			f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.InsertTenant(ctx, o) }), c.want)
			if c.want == berth.CodeTenantExists {
				continue
			}
			// The same by an update.
			f.insert(tenant(2))
			u := f.get(org(2))
			c.change(&u)
			f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &u) }), c.want)
			f.bury(org(2))
		}
		f.same(f.get(org(1)), n)
	}},
	{"a tombstone frees what was the tenant's and stays", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		gone := f.bury(org(1))
		f.absent(org(1))
		f.absent(n.Slug)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			ports, err := tx.TakenPorts(ctx)
			f.same(ports, []int{})
			return err
		})
		again := tenant(1) // everything the same but the record's id
		f.insert(again)
		f.same(f.get(org(1)), again)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			stone, err := tx.Tombstone(ctx, org(1))
			f.same(stone, gone)
			return err
		})
		second := f.bury(org(1))
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			stone, err := tx.Tombstone(ctx, org(1))
			f.same(stone, second)
			return err
		})
	}},
	{"a tombstone is never changed", func(f fixture) {
		f.insert(tenant(1))
		gone := f.bury(org(1))
		gone.DeprovisionedAt = time.Time{}
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &gone) }), berth.CodeStale)
		f.absent(org(1))
	}},
	{"an organization that never had a tenant has no tombstone", func(f fixture) {
		f.insert(tenant(1))
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Tombstone(ctx, org(1))
			f.code(err, berth.CodeContainerNotFound)
			return nil
		})
	}},
	{"ports and subnets come in ascending order", func(f fixture) {
		f.insert(tenant(9), tenant(1), tenant(40), tenant(7))
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			ports, err := tx.TakenPorts(ctx)
			if err != nil {
				return err
			}
			f.same(ports, []int{3001, 3007, 3009, 3040})
			subnets, err := tx.TakenSubnets(ctx)
			f.same(subnets, []netip.Prefix{tenant(1).Subnet, tenant(7).Subnet, tenant(9).Subnet, tenant(40).Subnet})
			return err
		})
	}},
}
