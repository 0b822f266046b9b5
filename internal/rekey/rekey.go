// Package rekey seals what is stored anew after the key that encrypts has
// changed, so that the old one can be retired. It works in the background, in
// small transactions, and keeps no state: what it had not come to before a
// crash is still sealed under an old key, and is found again.
package rekey

import (
	"context"
	"log/slog"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Secrets seals and opens.
type Secrets interface {
	Seal(plaintext []byte, ad string) (ciphertext []byte, err error)
	Open(ciphertext []byte, ad string) (plaintext []byte, err error)
	// Primary is the key that Seal uses now.
	Primary() (id uint32, err error)
	// KeyOf is the key that sealed a value; ok is false if none of Seal's did.
	KeyOf(ciphertext []byte) (id uint32, ok bool)
}

const (
	batch = 50                    // values in one transaction: orders are written in between
	pause = 50 * time.Millisecond // between two of them
	look  = time.Minute           // for a rotation by another control plane
)

// Rekeyer is one control plane's. Several on one database do no harm: a value
// is replaced only if it is still the one that was read.
type Rekeyer struct {
	store   store.Store
	secrets Secrets
	log     *slog.Logger
	poke    chan struct{}
}

// New returns a Rekeyer. It does nothing until Run.
func New(s store.Store, secrets Secrets, log *slog.Logger) *Rekeyer {
	return &Rekeyer{store: s, secrets: secrets, log: log, poke: make(chan struct{}, 1)}
}

// Poke says that there is another key. It never blocks, and may be lost.
func (r *Rekeyer) Poke() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// Run seals anew whatever needs it, until ctx ends.
func (r *Rekeyer) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var done uint32 // key that everything was last found under; ids are never 0
	for {
		id, err := r.secrets.Primary()
		if err == nil && id != done {
			var whole bool
			if whole, err = r.pass(ctx); whole && err == nil {
				done = id
			}
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("stored secrets could not be sealed anew; tried again soon", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.poke:
		case <-tick.C:
		}
	}
}

// pass goes through everything once. It is whole if nothing is left that could
// be sealed anew.
func (r *Rekeyer) pass(ctx context.Context) (whole bool, err error) {
	whole = true
	var sealed, closed int
	for cursor, more := "", true; more; more = cursor != "" {
		var page []store.Sealed
		err := r.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
			page, cursor, err = tx.ListSealed(ctx, store.Page{Cursor: cursor, Limit: batch})
			return err
		})
		if err != nil {
			return false, err
		}
		changes, unreadable, err := r.changes(page)
		if err != nil {
			return false, err
		}
		closed += unreadable
		if len(changes) == 0 {
			continue
		}
		n, err := r.write(ctx, changes)
		if err != nil {
			return false, err
		}
		sealed += n
		whole = whole && n == len(changes)
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pause):
		}
	}
	if sealed > 0 {
		r.log.Info("stored secrets were sealed anew", "values", sealed)
	}
	if closed > 0 {
		r.log.Error("stored secrets can't be opened with the key file as it is", "values", closed)
	}
	return whole, nil
}

// change is a value and what it is to become.
type change struct {
	store.Sealed
	next []byte
}

// changes seals anew what an earlier key sealed. What does not open stays as it
// is: nobody could do better.
func (r *Rekeyer) changes(page []store.Sealed) (list []change, unreadable int, err error) {
	primary, err := r.secrets.Primary()
	if err != nil {
		return nil, 0, err
	}
	for _, s := range page {
		if id, ok := r.secrets.KeyOf(s.Ciphertext); ok && id == primary {
			continue
		}
		plain, err := r.secrets.Open(s.Ciphertext, contextOf(s))
		if err != nil {
			unreadable++
			continue
		}
		next, err := r.secrets.Seal(plain, contextOf(s))
		if err != nil {
			return nil, 0, err
		}
		list = append(list, change{s, next})
	}
	return list, unreadable, nil
}

// write replaces values, and returns how many: those that somebody changed
// meanwhile stay as they are.
func (r *Rekeyer) write(ctx context.Context, list []change) (n int, err error) {
	err = r.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		n = 0 // it may run again
		for _, c := range list {
			err := tx.Reseal(ctx, c.Sealed, c.next)
			if err == nil {
				n++
			} else if !berth.Is(err, berth.CodeStale) {
				return err
			}
		}
		return nil
	})
	return n, err
}

// contextOf is what binds a value to its place.
func contextOf(s store.Sealed) string {
	switch s.Kind {
	case "secret":
		return berth.SecretContext(s.OrganizationID, s.Name)
	case "registry":
		return berth.RegistryContext(s.ID)
	case "channel":
		return berth.ChannelContext(s.ID)
	case "installation":
		return berth.KeyMarkContext
	}
	return s.Kind + "|" + s.ID // of no kind that is known: it does not open
}
