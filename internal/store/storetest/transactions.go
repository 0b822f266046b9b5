package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var transactionTests = []test{
	{"an error leaves nothing of its transaction", func(f fixture) {
		boom := errors.New("boom")
		err := f.try(operator, func(ctx context.Context, tx store.Tx) error {
			if err := tx.InsertTenant(ctx, tenant(1)); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			f.Fatalf("got %v, want the function's own error", err)
		}
		f.absent(org(1))
	}},
	{"a panic leaves nothing and the store goes on", func(f fixture) {
		func() {
			defer func() {
				if recover() == nil {
					f.Error("the panic was swallowed")
				}
			}()
			_ = f.try(operator, func(ctx context.Context, tx store.Tx) error {
				if err := tx.InsertTenant(ctx, tenant(1)); err != nil {
					return err
				}
				panic("boom")
			})
		}()
		f.absent(org(1))
		f.insert(tenant(1))
	}},
	{"a transaction with a failed statement does not commit, whatever its function makes of it", func(f fixture) {
		ctx := f.Context()
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := f.store.InTx(ctx, operator, func(tx store.Tx) error {
			if err := tx.InsertTenant(ctx, tenant(1)); err != nil {
				return err
			}
			if err := tx.InsertTenant(ended, tenant(2)); err == nil {
				f.Error("a statement ran though its context had ended")
			}
			_ = tx.InsertTenant(ctx, tenant(3))
			return nil
		})
		if err == nil {
			f.Error("the transaction was acknowledged")
		}
		for n := range 3 {
			f.absent(org(n + 1))
		}
	}},
	{"a context that ends in the transaction rolls it back", func(f fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		err := f.store.InTx(ctx, operator, func(tx store.Tx) error {
			if err := tx.InsertTenant(ctx, tenant(1)); err != nil {
				return err
			}
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			f.Fatalf("got %v, want that the context ended", err)
		}
		f.absent(org(1))
	}},
	{"a context that has ended starts nothing", func(f fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		ran := func(store.Tx) error { f.Error("the function ran"); return nil }
		for _, err := range []error{f.store.InTx(ctx, operator, ran), f.store.View(ctx, operator, ran)} {
			if !errors.Is(err, context.Canceled) {
				f.Errorf("got %v, want that the context ended", err)
			}
		}
	}},
	{"a transaction sees its own writes", func(f fixture) {
		n := tenant(1)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			if err := tx.InsertTenant(ctx, n); err != nil {
				return err
			}
			got, err := tx.Tenant(ctx, n.OrganizationID)
			f.same(got, n)
			return err
		})
	}},
	{"a view can't write", func(f fixture) {
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			if err := tx.InsertTenant(ctx, tenant(1)); err == nil {
				f.Error("a view wrote a tenant")
			}
			return nil
		})
		f.absent(org(1))
	}},
	{"a view keeps its snapshot and does not wait for a writer", testSnapshot},
	{"50 orders at once that take the smallest free port get 50 different ones", testPorts},
	{"of many that change one revision at once, one wins each time", testRaces},
	{"the database knows the keys that belong to it", testKeyMark},
	{"the installation has one id that stays", func(f fixture) {
		var first string
		for range 2 {
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				id, err := tx.Installation(ctx)
				if !berth.IsUUID(id) || first != "" && id != first {
					f.Errorf("the installation is %q, then %q", first, id)
				}
				first = id
				return err
			})
		}
	}},
}

func testKeyMark(f fixture) {
	read := func() (mark []byte) {
		f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
			mark, err = tx.KeyMark(ctx)
			return err
		})
		return mark
	}
	if got := read(); got != nil {
		f.Errorf("a new database is marked: %v", got)
	}
	f.tx(func(ctx context.Context, tx store.Tx) error { return tx.SetKeyMark(ctx, []byte{1, 2}) })
	f.same(read(), []byte{1, 2})
	for _, actor := range []berth.Actor{{}, of(org(1))} {
		f.code(f.try(actor, func(ctx context.Context, tx store.Tx) error { return tx.SetKeyMark(ctx, []byte{3}) }), berth.CodeForbidden)
		err := f.store.View(f.Context(), actor, func(tx store.Tx) error {
			_, err := tx.KeyMark(f.Context())
			return err
		})
		f.code(err, berth.CodeForbidden)
	}
	f.same(read(), []byte{1, 2})
}

func (f fixture) absent(organizationID string) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Tenant(ctx, organizationID)
		f.code(err, berth.CodeContainerNotFound)
		return nil
	})
}

func testSnapshot(f fixture) {
	f.insert(tenant(1))
	ctx := f.Context()
	viewing, written := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(written)
		<-viewing
		f.insert(tenant(2))
	})
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		before, _, err := tx.ListTenants(ctx, store.TenantFilter{})
		if err != nil {
			return err
		}
		close(viewing)
		<-written
		after, _, err := tx.ListTenants(ctx, store.TenantFilter{})
		f.same(after, before)
		return err
	})
	wg.Wait()
	f.get(org(2))

	// While a writer is in its transaction, a view sees the state before it.
	err := f.store.InTx(ctx, operator, func(tx store.Tx) error {
		if err := tx.InsertTenant(ctx, tenant(3)); err != nil {
			return err
		}
		f.absent(org(3))
		return nil
	})
	if err != nil {
		f.Fatalf("transaction: %v", err)
	}
	f.get(org(3))
}

func testPorts(f fixture) {
	const orders = 50
	var wg sync.WaitGroup
	for i := range orders {
		wg.Go(func() {
			err := f.try(operator, func(ctx context.Context, tx store.Tx) error {
				taken, err := tx.TakenPorts(ctx)
				if err != nil {
					return err
				}
				port := 3001
				for _, p := range taken { // ascending
					if p == port {
						port++
					}
				}
				n := tenant(i + 1)
				n.ExternalPort = port
				return tx.InsertTenant(ctx, n)
			})
			if err != nil {
				f.Errorf("order %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		taken, err := tx.TakenPorts(ctx)
		var want []int
		for i := range orders {
			want = append(want, 3001+i)
		}
		f.same(taken, want)
		return err
	})
}

func testRaces(f fixture) {
	f.insert(tenant(1))
	ctx := f.Context()
	for range 5 {
		read := f.get(org(1))
		var won, stale atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				mine := read
				mine.Generation++
				err := f.store.InTx(ctx, operator, func(tx store.Tx) error { return tx.UpdateTenant(ctx, &mine) })
				switch {
				case err == nil:
					won.Add(1)
				case berth.Is(err, berth.CodeStale):
					stale.Add(1)
				default:
					f.Errorf("update: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || stale.Load() != 7 {
			f.Fatalf("%d won and %d were stale, want 1 and 7", won.Load(), stale.Load())
		}
	}
	if got := f.get(org(1)); got.Generation != 6 {
		f.Errorf("generation %d after 5 changes of 1", got.Generation)
	}
}
