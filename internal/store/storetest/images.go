package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var imageTests = []test{
	{"pulled images are kept by engine until they are deleted", func(f fixture) {
		pulled := func(engine, pin string, at time.Time) berth.PulledImage {
			return berth.PulledImage{EngineID: engine, Pin: pin, Reference: "repo:" + pin, PulledAt: at}
		}
		late, early, other := pulled("e1", "a", noon.Add(time.Hour)), pulled("e1", "b", noon), pulled("e2", "a", noon)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, i := range []berth.PulledImage{pulled("e1", "a", noon), late, early, other} {
				if err := tx.PutImage(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
		list := func(actor berth.Actor, engine string) (list []berth.PulledImage) {
			f.view(actor, func(ctx context.Context, tx store.Tx) (err error) {
				list, err = tx.ListImages(ctx, engine)
				return err
			})
			return list
		}
		f.same(list(operator, "e1"), []berth.PulledImage{early, late})
		f.same(list(of(org(1)), "e1"), []berth.PulledImage{})
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.DeleteImage(ctx, "e1", "a") })
		f.same(list(operator, "e1"), []berth.PulledImage{early})
		f.same(list(operator, "e2"), []berth.PulledImage{other})
		f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.PutImage(ctx, early) }), berth.CodeForbidden)
	}},
}
