package store

import (
	"context"
	"time"
)

// Installation is what a lease is on that lets its holder do what is to be done
// once for all engines: notify, sum up, forget. Engines' leases are on their
// ids.
const Installation = "installation"

// Lease is the right to act for an engine until it runs out. Fence rises with
// each change of holder, so that a write under an earlier lease is recognised.
type Lease struct {
	EngineID string // or Installation
	Holder   string // a UUID, new with each process
	Fence    int64
}

// Leases are kept by a store that several control planes share. All times are
// the database's own.
type Leases interface {
	// Acquire takes the lease if nobody has it, it has run out, or it is the
	// holder's already; ok is false if it is another's. url says where the holder
	// is reached.
	Acquire(ctx context.Context, engineID, holder, url string, ttl time.Duration) (l Lease, ok bool, err error)
	// Renew prolongs it; ok is false once another took it.
	Renew(ctx context.Context, l Lease, ttl time.Duration) (ok bool, err error)
	// Release ends it, if it is still held.
	Release(ctx context.Context, l Lease) error
	// Holder tells who has it; live is false if it has run out, or never was.
	Holder(ctx context.Context, engineID string) (holder, url string, live bool, err error)
	// Under returns the store as the lease's holder uses it: each of its write
	// transactions is refused with CodeNotLeading once the lease has run out or is
	// another's.
	Under(l Lease) Store
}
