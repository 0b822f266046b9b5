package store

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// StoredChannel is a channel with the secret that signs what it sends,
// encrypted; nil for one that signs nothing.
type StoredChannel struct {
	berth.Channel
	Ciphertext []byte
}

// Channels belong to an organization, or with "" to the whole installation.
// An actor of one organization sees its own only.
type Channels interface {
	// InsertChannel stores a channel. It gets events that are written after it.
	InsertChannel(ctx context.Context, c StoredChannel) error
	Channel(ctx context.Context, id string) (StoredChannel, error) // CodeNotFound
	// ListChannels returns a page of the channels that the actor sees, oldest first.
	ListChannels(ctx context.Context, p Page) (page []StoredChannel, next string, err error)
	// UpdateChannel stores whether it is enabled and how it fails. CodeNotFound.
	UpdateChannel(ctx context.Context, c berth.Channel) error
	// ResealChannel stores what is shown of a target and what is sealed. CodeNotFound.
	ResealChannel(ctx context.Context, c StoredChannel) error
	DeleteChannel(ctx context.Context, id string) error // and its deliveries; CodeNotFound
}

// Deliveries are on their way to a channel, or were.
type Deliveries interface {
	// InsertDelivery stores a delivery, unless there is one of its event to its
	// channel. CodeNotFound if the channel is gone.
	InsertDelivery(ctx context.Context, d berth.Delivery) error
	// UpdateDelivery stores an attempt. CodeNotFound.
	UpdateDelivery(ctx context.Context, d berth.Delivery) error
	// DueDeliveries returns of each channel the pending delivery that has been due
	// for longest. System only.
	DueDeliveries(ctx context.Context, now time.Time) ([]berth.Delivery, error)
	// ListDeliveries returns a page of a channel's, newest first, without Body.
	ListDeliveries(ctx context.Context, channelID string, p Page) (page []berth.Delivery, next string, err error)
	// ForgetDeliveries drops up to limit that are over and were made before a time.
	ForgetDeliveries(ctx context.Context, before time.Time, limit int) (dropped int, err error)
}

// NumberedEvent is an event and its place in the order of writing.
type NumberedEvent struct {
	Seq int64
	berth.Event
}

// Outbox is how far the journal was read. System only.
type Outbox interface {
	// EventsAfter returns the events written after one, in the order of writing.
	EventsAfter(ctx context.Context, seq int64, limit int) ([]NumberedEvent, error)
	// OutboxSeq is the last event whose deliveries were made.
	OutboxSeq(ctx context.Context) (int64, error)
	SetOutboxSeq(ctx context.Context, seq int64) error
	// NotBefore is the last event written before the channel was made.
	NotBefore(ctx context.Context, channelID string) (int64, error)
}
