package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// version is a blueprint's version, complete.
func version(name string, n int) berth.BlueprintVersion {
	source := []byte("name: " + name + "\nx: \x00\xff '\n")
	return berth.BlueprintVersion{
		Name: name, Version: n, Hash: berth.BlueprintHash(source), Source: source,
		CreatedAt: noon.Add(time.Duration(n) * time.Hour), CreatedBy: "token-1",
	}
}

// apply stores versions.
func (f fixture) apply(versions ...berth.BlueprintVersion) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, v := range versions {
			if err := tx.InsertBlueprint(ctx, v); err != nil {
				return err
			}
		}
		return nil
	})
}

var blueprintTests = []test{
	{"a version comes back byte for byte, the newest by name alone", func(f fixture) {
		two, ten := version("shop", 2), version("shop", 10)
		nameless := version("shop-2", 1)
		nameless.CreatedBy, nameless.Source = "", nil
		f.apply(ten, two, nameless) // in no order
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			for _, c := range []struct {
				name    string
				version int
				want    berth.BlueprintVersion
			}{{"shop", 2, two}, {"shop", 10, ten}, {"shop", 0, ten}, {"shop-2", 0, nameless}} {
				got, err := tx.Blueprint(ctx, c.name, c.version)
				if err != nil {
					return err
				}
				f.same(got, c.want)
			}
			for name, n := range map[string]int{"shop": 3, "shop-2": 2, "SHOP": 0, "": 0} {
				_, err := tx.Blueprint(ctx, name, n)
				f.code(err, berth.CodeBlueprintNotFound)
			}
			return nil
		})
	}},
	{"versions are listed by name, newest first, without their source", func(f fixture) {
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			list, _, err := tx.ListBlueprints(ctx, store.Page{})
			f.same(list, []berth.BlueprintVersion{})
			return err
		})
		f.apply(version("b", 1), version("a", 9), version("a", 10), version("b", 2))
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			list, _, err := tx.ListBlueprints(ctx, store.Page{})
			want := []berth.BlueprintVersion{version("a", 10), version("a", 9), version("b", 2), version("b", 1)}
			for i := range want {
				want[i].Source = nil
			}
			f.same(list, want)
			return err
		})
	}},
	{"a version is stored once and never changed", func(f fixture) {
		first := version("shop", 1)
		f.apply(first)
		other := version("shop", 1)
		other.Source, other.Hash = []byte("other"), "sha256:other"
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.InsertBlueprint(ctx, other) }), berth.CodeStale)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			got, err := tx.Blueprint(ctx, "shop", 1)
			f.same(got, first)
			return err
		})
	}},
}
