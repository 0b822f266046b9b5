package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func channel(id, organizationID string) store.StoredChannel {
	return store.StoredChannel{Ciphertext: []byte{0, 255}, Channel: berth.Channel{
		ID: id, OrganizationID: organizationID, Type: berth.ChannelWebhook, Target: "https://h.example", Kinds: []string{"disk", "oom"},
		Enabled: true, CreatedAt: noon, CreatedBy: "token-1",
	}}
}

var notificationTests = []test{
	{"an actor of one organization handles its own channels only", func(f fixture) {
		all, own, other := channel("a", ""), channel("b", org(1)), channel("c", org(2))
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, c := range []store.StoredChannel{all, own, other} {
				if err := tx.InsertChannel(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
		for actor, want := range map[berth.Actor][]store.StoredChannel{operator: {all, own, other}, of(org(1)): {own}, of(org(9)): nil, {}: nil} {
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				got, err := tx.ListChannels(ctx)
				f.same(got, want)
				return err
			})
		}
		for _, id := range []string{"a", "c", "none"} {
			f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.DeleteChannel(ctx, id) }), berth.CodeNotFound)
		}
		f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.InsertChannel(ctx, channel("d", "")) }), berth.CodeForbidden)
	}},
	{"there is one delivery of an event to a channel, and it ends with it", func(f fixture) {
		d := berth.Delivery{ID: "d", ChannelID: "a", EventID: "e", Kind: "oom", Body: []byte("{}"), CreatedAt: noon, NextAt: noon, State: berth.DeliveryPending}
		again := d
		again.ID = "again"
		f.tx(func(ctx context.Context, tx store.Tx) error {
			if err := tx.InsertChannel(ctx, channel("a", "")); err != nil {
				return err
			}
			if err := tx.InsertDelivery(ctx, d); err != nil {
				return err
			}
			return tx.InsertDelivery(ctx, again)
		})
		due := func(at time.Time, want ...berth.Delivery) {
			f.view(berth.System(), func(ctx context.Context, tx store.Tx) error {
				got, err := tx.DueDeliveries(ctx, at)
				f.same(got, want)
				return err
			})
		}
		due(noon.Add(-time.Second))
		due(noon, d)
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.DeleteChannel(ctx, "a") })
		due(noon)
	}},
}
