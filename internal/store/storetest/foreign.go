package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth/internal/store"
)

var foreignTests = []test{
	{"a foreign object is new once, by engine, kind and id", func(f fixture) {
		one := store.ForeignObject{EngineID: "e1", Kind: "container", ID: "a", FoundAt: noon}
		first := func(o store.ForeignObject) (first bool) {
			f.tx(func(ctx context.Context, tx store.Tx) (err error) {
				first, err = tx.InsertForeign(ctx, o)
				return err
			})
			return first
		}
		f.same(first(one), true)
		later := one
		later.FoundAt = noon.Add(time.Hour)
		f.same(first(later), false)
		for _, o := range []store.ForeignObject{
			{EngineID: "e2", Kind: "container", ID: "a", FoundAt: noon}, {EngineID: "e1", Kind: "volume", ID: "a", FoundAt: noon},
			{EngineID: "e1", Kind: "container", ID: "b", FoundAt: noon},
		} {
			f.same(first(o), true)
		}
	}},
}
