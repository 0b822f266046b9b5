package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func channel(channelID, organizationID string) store.StoredChannel {
	return store.StoredChannel{Ciphertext: []byte{0, 255}, Channel: berth.Channel{
		ID: channelID, OrganizationID: organizationID, Type: berth.ChannelWebhook, Target: "https://h.example", Kinds: []string{"disk", "oom"},
		Enabled: true, CreatedAt: noon, CreatedBy: "token-1",
	}}
}

var notificationTests = []test{
	{"an actor of one organization handles its own channels only", func(f fixture) {
		all, own, other := channel(id(1), ""), channel(id(2), org(1)), channel(id(3), org(2))
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
				got, _, err := tx.ListChannels(ctx, store.Page{})
				f.same(got, want)
				return err
			})
		}
		for _, other := range []string{id(1), id(3), id(9)} {
			f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.DeleteChannel(ctx, other) }), berth.CodeNotFound)
		}
		f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.InsertChannel(ctx, channel(id(4), "")) }), berth.CodeForbidden)
	}},
	{"there is one delivery of an event to a channel, and it ends with it", func(f fixture) {
		d := berth.Delivery{ID: id(11), ChannelID: id(1), EventID: id(12), Kind: "oom", Body: []byte("{}"), CreatedAt: noon, NextAt: noon, State: berth.DeliveryPending}
		again := d
		again.ID = id(13)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			if err := tx.InsertChannel(ctx, channel(id(1), "")); err != nil {
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
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.DeleteChannel(ctx, id(1)) })
		due(noon)
	}},
	{"events that a wrong clock dated ahead keep none of the old ones from going", func(f fixture) {
		var last int64
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, hours := range []int{900, 901, 902, 0, 1, 2, 3} {
				e := berth.Event{ID: berth.NewID(), OrganizationID: org(1), At: noon.Add(time.Duration(hours) * time.Hour), Kind: "oom", Message: "m"}
				if err := tx.InsertEvent(ctx, e); err != nil {
					return err
				}
			}
			list, err := tx.EventsAfter(ctx, 0, 0)
			if err == nil {
				last = list[len(list)-1].Seq
				err = tx.SetOutboxSeq(ctx, last)
			}
			return err
		})
		for _, want := range []int{2, 1, 0} { // the newest stays
			f.tx(func(ctx context.Context, tx store.Tx) error {
				n, err := tx.ForgetEvents(ctx, noon.Add(500*time.Hour), 2)
				if n != want {
					f.Errorf("dropped %d, want %d", n, want)
				}
				return err
			})
		}
	}},
	{"old events go, but neither unread ones nor the newest", func(f fixture) {
		at := func(n int) berth.Event {
			return berth.Event{ID: berth.NewID(), OrganizationID: org(1), At: noon.Add(time.Duration(n) * time.Hour), Kind: "oom", Message: "m"}
		}
		forget := func(before time.Time, limit, want int) {
			f.Helper()
			f.tx(func(ctx context.Context, tx store.Tx) error {
				n, err := tx.ForgetEvents(ctx, before, limit)
				if n != want {
					f.Errorf("dropped %d, want %d", n, want)
				}
				return err
			})
		}
		left := func(want ...berth.Event) (seqs []int64) {
			f.Helper()
			f.view(berth.System(), func(ctx context.Context, tx store.Tx) error {
				list, err := tx.EventsAfter(ctx, 0, 0)
				got := []berth.Event{}
				for _, e := range list {
					got, seqs = append(got, e.Event), append(seqs, e.Seq)
				}
				f.same(got, want)
				return err
			})
			return seqs
		}
		read := func(seq int64) {
			f.tx(func(ctx context.Context, tx store.Tx) error { return tx.SetOutboxSeq(ctx, seq) })
		}
		late := noon.Add(1000 * time.Hour)
		forget(late, 10, 0)
		events := []berth.Event{at(0), at(1), at(2), at(3), at(4)}
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, e := range events {
				if err := tx.InsertEvent(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		f.code(f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetEvents(ctx, late, 10); return err }), berth.CodeForbidden)
		forget(late, 10, 0) // none was read
		seqs := left(events...)
		read(seqs[2])
		forget(noon.Add(time.Hour), 10, 1) // of that moment itself stays
		left(events[1:]...)
		forget(late, 1, 1) // the first written first
		left(events[2:]...)
		forget(late, 10, 1)
		left(events[3:]...)
		read(seqs[4])
		forget(late, 10, 1)
		left(events[4])
		next := at(5)
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.InsertEvent(ctx, next) })
		if after := left(events[4], next); len(after) == 2 && after[1] != seqs[4]+1 {
			f.Errorf("numbered %d after %d", after[1], seqs[4])
		}
	}},
}
