// Package notify tells people what the journal says. It turns events into
// deliveries, in one transaction with how far it read, and sends each until the
// receiver took it. A delivery may be sent twice, with the same id; none is lost.
package notify

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	batch     = 100              // events that one transaction turns into deliveries
	atOnce    = 64               // channels that are sent to at the same time, each one delivery
	deadline  = 10 * time.Second // of one attempt, from the name's resolution to the answer
	day       = 24 * time.Hour
	keep      = 30 * day
	housework = time.Hour
)

// Attempt is how sending went.
type Attempt struct {
	StatusCode int
	Err        error
	Gone       bool // the receiver wants nothing any more
}

// Sender sends one delivery to one channel.
type Sender interface {
	Send(ctx context.Context, c store.StoredChannel, d berth.Delivery) Attempt
}

// Config is what a Dispatcher works with.
type Config struct {
	Store   store.Store
	Senders map[berth.ChannelType]Sender
	Log     *slog.Logger
	Now     func() time.Time
	Poll    time.Duration // how often the journal is looked at; 0 means a second
	Events  time.Duration // how long the journal is kept; 0 means 90 days
}

// Dispatcher sends notifications.
type Dispatcher struct {
	Config
	senders sync.WaitGroup
	slots   chan struct{}
	done    chan string // channels whose attempt is over
}

// New returns a Dispatcher.
func New(c Config) *Dispatcher {
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Events = cmp.Or(c.Events, 90*day)
	return &Dispatcher{Config: c, slots: make(chan struct{}, atOnce), done: make(chan string, atOnce)}
}

// Run sends until ctx ends. An attempt under way is then broken off, and made
// again by the next Run.
func (n *Dispatcher) Run(ctx context.Context) error {
	defer n.senders.Wait()
	ticker := time.NewTicker(n.Poll)
	defer ticker.Stop()
	busy := map[string]bool{}
	var swept time.Time
	failed := false
	for {
		err := n.round(ctx, busy)
		if now := n.Now(); err == nil && now.Sub(swept) >= housework {
			err = n.dropOld(ctx, now)
			swept = now
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failed { // once, not every second
			n.Log.Error("notifications wait for the database", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case id := <-n.done:
			delete(busy, id)
		}
	}
}

// round makes deliveries of what is new and starts what is due.
func (n *Dispatcher) round(ctx context.Context, busy map[string]bool) error {
	if err := n.queue(ctx); err != nil {
		return err
	}
	var due []berth.Delivery
	err := n.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		due, err = tx.DueDeliveries(ctx, n.Now())
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range due {
		if busy[d.ChannelID] {
			continue
		}
		select {
		case n.slots <- struct{}{}:
		default:
			return nil // all are in use; the next to end comes back here
		}
		busy[d.ChannelID] = true
		n.senders.Go(func() {
			n.deliver(ctx, d)
			<-n.slots
			select {
			case n.done <- d.ChannelID:
			case <-ctx.Done():
			}
		})
	}
	return nil
}

// queue turns events into deliveries, a batch at a time.
func (n *Dispatcher) queue(ctx context.Context) error {
	for {
		var events []store.NumberedEvent
		err := n.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
			events, err = unread(ctx, tx)
			return err
		})
		if err != nil || len(events) == 0 {
			return err // nothing new costs no write transaction
		}
		if err := n.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return n.enqueue(ctx, tx) }); err != nil {
			return err
		}
	}
}

func unread(ctx context.Context, tx store.Outbox) ([]store.NumberedEvent, error) {
	seq, err := tx.OutboxSeq(ctx)
	if err != nil {
		return nil, err
	}
	return tx.EventsAfter(ctx, seq, batch)
}

func (n *Dispatcher) enqueue(ctx context.Context, tx store.Tx) error {
	events, err := unread(ctx, tx)
	if err != nil || len(events) == 0 {
		return err
	}
	channels, _, err := tx.ListChannels(ctx, store.Page{Limit: store.Unbounded})
	if err != nil {
		return err
	}
	for _, c := range channels {
		notBefore, err := tx.NotBefore(ctx, c.ID)
		if err != nil {
			return err
		}
		for _, e := range events {
			if !c.Enabled || e.Seq <= notBefore || !wants(c.Channel, e.Event) {
				continue
			}
			body, err := Body(ctx, tx, e.Event)
			if err != nil {
				return err
			}
			now := n.Now()
			if err := tx.InsertDelivery(ctx, berth.Delivery{
				ID: berth.NewID(), ChannelID: c.ID, EventID: e.ID, Kind: e.Kind, Body: body, CreatedAt: now, NextAt: now, State: berth.DeliveryPending,
			}); err != nil {
				return err
			}
		}
	}
	return tx.SetOutboxSeq(ctx, events[len(events)-1].Seq)
}

func wants(c berth.Channel, e berth.Event) bool {
	return (c.OrganizationID == "" || c.OrganizationID == e.OrganizationID) && slices.Contains(c.Kinds, e.Kind)
}

// deliver makes one attempt and records it.
func (n *Dispatcher) deliver(ctx context.Context, d berth.Delivery) {
	var c store.StoredChannel
	err := n.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		c, err = tx.Channel(ctx, d.ChannelID)
		return err
	})
	if err != nil {
		return // the channel is gone, or the next round meets the cause
	}
	attempt := Attempt{}
	d.At = n.Now()
	if c.Enabled {
		d.Attempt++
		attempt = n.send(ctx, c, d)
		if attempt.Err != nil && ctx.Err() != nil {
			return // broken off: not the receiver's fault
		}
	}
	d.Duration = n.Now().Sub(d.At)
	applyAttempt(&d, attempt, c.Enabled)
	err = n.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return record(ctx, tx, d, attempt) })
	if err != nil && ctx.Err() == nil && !berth.Is(err, berth.CodeNotFound) {
		n.Log.Error("an attempt can't be recorded; it will be made again", "channel", d.ChannelID, "delivery", d.ID, "error", err)
		return
	}
	if d.State == berth.DeliveryFailed {
		n.Log.Warn("notification given up", "channel", d.ChannelID, "delivery", d.ID, "attempts", d.Attempt)
	}
}

func (n *Dispatcher) send(ctx context.Context, c store.StoredChannel, d berth.Delivery) Attempt {
	sender, ok := n.Senders[c.Type]
	if !ok {
		return Attempt{Err: berth.Errorf(berth.CodeInvalidRequest, "No mail server is configured").WithHint("start Berth with --smtp")}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return sender.Send(ctx, c, d)
}

// applyAttempt says what follows from an attempt.
func applyAttempt(d *berth.Delivery, a Attempt, enabled bool) {
	d.StatusCode, d.Error, d.NextAt = a.StatusCode, "", time.Time{}
	if a.Err != nil {
		d.Error = clip(withoutAddresses(a.Err.Error()))
	}
	switch {
	case !enabled:
		d.State = berth.DeliveryDropped
	case a.Err == nil:
		d.State = berth.DeliveryDelivered
	case a.Gone || d.Attempt >= berth.DeliveryAttempts:
		d.State = berth.DeliveryFailed
	default:
		d.NextAt = d.At.Add(d.Duration + berth.RetryDelay(d.Attempt, rand.Float64()))
	}
}

// attempts is what an attempt is recorded with.
type attempts interface {
	UpdateDelivery(ctx context.Context, d berth.Delivery) error
	Channel(ctx context.Context, id string) (store.StoredChannel, error)
	UpdateChannel(ctx context.Context, c berth.Channel) error
}

// record stores an attempt, and with it what it says of the channel.
func record(ctx context.Context, tx attempts, d berth.Delivery, a Attempt) error {
	if err := tx.UpdateDelivery(ctx, d); err != nil {
		return err
	}
	if d.State == berth.DeliveryDropped {
		return nil
	}
	c, err := tx.Channel(ctx, d.ChannelID)
	if err != nil {
		return err
	}
	switch {
	case a.Err == nil && c.FailingSince.IsZero():
		return nil
	case a.Err == nil:
		c.FailingSince, c.LastError = time.Time{}, ""
	default:
		if c.FailingSince.IsZero() {
			c.FailingSince = d.At
		}
		c.LastError, c.Enabled = d.Error, c.Enabled && !a.Gone
	}
	return tx.UpdateChannel(ctx, c.Channel)
}

// dropOld drops old deliveries, and events that are older still.
func (n *Dispatcher) dropOld(ctx context.Context, now time.Time) error {
	err := store.Forget(ctx, n.Store, func(tx store.Tx, limit int) (int, error) {
		return tx.ForgetDeliveries(ctx, now.Add(-keep), limit)
	})
	if err != nil {
		return err
	}
	return store.Forget(ctx, n.Store, func(tx store.Tx, limit int) (int, error) {
		return tx.ForgetEvents(ctx, now.Add(-n.Events), limit)
	})
}

// clip bounds what a receiver can have written into the log of deliveries.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most]
	}
	return s
}
