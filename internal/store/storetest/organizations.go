package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// organization is the n-th, complete.
func organization(n int) berth.Organization {
	return berth.Organization{ID: org(n), Name: fmt.Sprintf("Organization %d 🚢", n), SelfService: berth.ScopeStart | berth.ScopeDeploy, CreatedAt: noon}
}

// organizations stores organizations.
func (f fixture) organizations(numbers ...int) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, n := range numbers {
			if err := tx.PutOrganization(ctx, organization(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f fixture) listOrganizations(actor berth.Actor) (list []berth.Organization) {
	f.Helper()
	f.view(actor, func(ctx context.Context, tx store.Tx) (err error) {
		list, _, err = tx.ListOrganizations(ctx, store.Page{})
		return err
	})
	return list
}

var organizationTests = []test{
	{"an organization comes back as it was stored, and stays as old as it is", func(f fixture) {
		f.organizations(2, 1)
		f.same(f.listOrganizations(operator), []berth.Organization{organization(1), organization(2)})
		changed := organization(1)
		changed.Name, changed.SelfService, changed.CreatedAt = "Other", 0, noon.Add(time.Hour)
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutOrganization(ctx, changed) })
		changed.CreatedAt = noon
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			got, err := tx.Organization(ctx, org(1))
			f.same(got, changed)
			_, missing := tx.Organization(ctx, org(9))
			f.code(missing, berth.CodeOrganizationNotFound)
			return err
		})
	}},
	{"a tenant brings its organization, which is not renamed and outlives it", func(f fixture) {
		f.organizations(2)
		one, two := tenant(1), tenant(2)
		f.insert(one, two)
		want := []berth.Organization{{ID: org(1), Name: one.Name, CreatedAt: one.CreatedAt}, organization(2)}
		f.same(f.listOrganizations(operator), want)
		f.bury(org(1))
		again := tenant(1)
		again.Name = "Another"
		f.insert(again)
		f.same(f.listOrganizations(operator), want)
	}},
	{"a tenant that is refused brings no organization", func(f fixture) {
		f.insert(tenant(1))
		n := tenant(2)
		n.Slug = "tenant-1"
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.InsertTenant(ctx, n) }), berth.CodeSlugTaken)
		if list := f.listOrganizations(operator); len(list) != 1 {
			f.Errorf("there are %v", list)
		}
	}},
}
