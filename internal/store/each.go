package store

import (
	"context"
	"iter"

	"github.com/unite-hub/berth"
)

// pageOfWalk is how many rows Each reads at a time, and holds.
const pageOfWalk = 500

// Each goes through all of a list, a page at a time, in the list's order. list reads
// one page, on the transaction that the whole walk is made on. After an error,
// which is the last thing it gives, there is nothing more.
func Each[T any](list func(Page) (page []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := list(Page{Cursor: cursor, Limit: pageOfWalk})
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
			}
			cursor = next
		}
	}
}

// TenantLister is what EachTenant needs of Tenants.
type TenantLister interface {
	ListTenants(ctx context.Context, f TenantFilter) (page []berth.Tenant, next string, err error)
}

// EachTenant goes through all tenants that a filter lets through, whatever page it names.
func EachTenant(ctx context.Context, tenants TenantLister, f TenantFilter) iter.Seq2[berth.Tenant, error] {
	return Each(func(p Page) ([]berth.Tenant, string, error) {
		f.Page = p
		return tenants.ListTenants(ctx, f)
	})
}
