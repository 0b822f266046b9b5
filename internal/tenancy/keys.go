package tenancy

import (
	"context"
	"strconv"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// Keys are what Secrets seals with.
type Keys interface {
	// Keys lists them, oldest first.
	Keys() ([]berth.Key, error)
	// KeyOf is the key that sealed a value; ok is false if none ever did.
	KeyOf(ciphertext []byte) (id uint32, ok bool)
	// Rotate adds a key that encrypts from now on.
	Rotate(ctx context.Context, now time.Time) (berth.Key, error)
	// Retire removes one that does not. CodeNotFound.
	Retire(ctx context.Context, id uint32) error
}

// mostKeys bounds the key file, and with it the list of keys.
const mostKeys = 100

// retireAfter is how long after a rotation the earlier keys must stay: a value
// that was sealed before it is on disk, and counted, by then.
const retireAfter = 5 * time.Minute

// ListKeys tells which keys there are, and how much is sealed under each.
func (s *Service) ListKeys(ctx context.Context, actor berth.Actor) ([]berth.KeyUse, error) {
	if err := authoriseInstallation(actor, action.Keys); err != nil {
		return nil, err
	}
	var sealed map[uint32]int
	err := s.store.View(ctx, actor, func(tx store.Tx) (err error) {
		sealed, err = s.sealedUnder(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	keys, err := s.keys.Keys()
	if err != nil {
		return nil, err
	}
	list := make([]berth.KeyUse, 0, len(keys))
	for _, k := range keys {
		list = append(list, berth.KeyUse{Key: k, Sealed: sealed[k.ID]})
		delete(sealed, k.ID)
	}
	for id, n := range sealed {
		list = append(list, berth.KeyUse{Key: berth.Key{ID: id}, Missing: true, Sealed: n})
	}
	return list, nil
}

// sealedUnder counts values by key; 0 stands for none that is known.
func (s *Service) sealedUnder(ctx context.Context, tx store.Sealings) (map[uint32]int, error) {
	counts := map[uint32]int{}
	for v, err := range store.Each(func(p store.Page) ([]store.Sealed, string, error) { return tx.ListSealed(ctx, p) }) {
		if err != nil {
			return nil, err
		}
		id, _ := s.keys.KeyOf(v.Ciphertext)
		counts[id]++
	}
	return counts, nil
}

// RotateKey makes a key that encrypts from now on. What earlier keys sealed is
// sealed anew in the background.
func (s *Service) RotateKey(ctx context.Context, actor berth.Actor) (berth.Key, error) {
	if err := authoriseInstallation(actor, action.RotateKey); err != nil {
		return berth.Key{}, err
	}
	keys, err := s.keys.Keys()
	if err != nil {
		return berth.Key{}, err
	}
	if len(keys) >= mostKeys {
		return berth.Key{}, berth.Errorf(berth.CodeInvalidRequest, "There are %d keys already", len(keys)).
			WithHint("retire those that nothing is sealed under: berth key ls, berth key retire ID")
	}
	k, err := s.keys.Rotate(ctx, s.now())
	if err != nil {
		return berth.Key{}, err
	}
	if s.rotated != nil {
		s.rotated()
	}
	return k, s.recordKey(ctx, actor, action.RotateKey, k.ID, keyEntry{Primary: true})
}

// RetireKey removes a key for good, once nothing is sealed under it. A backup
// of the database from before needs a copy of the key file from before.
func (s *Service) RetireKey(ctx context.Context, actor berth.Actor, id uint32) error {
	if err := authoriseInstallation(actor, action.RetireKey); err != nil {
		return err
	}
	keys, err := s.keys.Keys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		// The file refuses to lose the primary key, and to retire what is not there.
		if until := k.CreatedAt.Add(retireAfter); k.Primary && k.ID != id && s.now().Before(until) {
			return berth.Errorf(berth.CodeInvalidRequest, "The keys were rotated only just now").
				WithHint("try again in %s: by then whatever was sealed before is stored and counted", until.Sub(s.now()).Round(time.Second))
		}
	}
	// In a write transaction, what is read is current.
	err = s.store.InTx(ctx, actor, func(tx store.Tx) error {
		sealed, err := s.sealedUnder(ctx, tx)
		if err == nil && sealed[id] > 0 {
			err = berth.Errorf(berth.CodeInvalidRequest, "Stored values are still sealed under this key: %d", sealed[id]).
				WithHint("rotate first if it is the one that encrypts; else wait until they are sealed anew: berth key ls")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.keys.Retire(ctx, id); err != nil {
		return err
	}
	return s.recordKey(ctx, actor, action.RetireKey, id, nil)
}

type keyEntry struct {
	Primary bool `json:"primary"`
}

// recordKey records what was done to the key file, which is no part of the
// transaction.
func (s *Service) recordKey(ctx context.Context, actor berth.Actor, what action.Action, id uint32, after any) error {
	err := s.store.InTx(ctx, actor, func(tx store.Tx) error {
		return what.Record(ctx, tx, actor, action.Change{At: s.now(), Target: strconv.FormatUint(uint64(id), 10), After: after})
	})
	if err != nil {
		return berth.Errorf(berth.CodeOf(err), "%s of key %d is done, and could not be recorded: %w", what.Name, id, err).
			WithHint("do not repeat it; note it yourself")
	}
	return nil
}

// CheckKeys refuses a key file that is not this database's: with a wrong one,
// new values would be sealed that no other control plane could open.
func (s *Service) CheckKeys(ctx context.Context) error {
	var page []store.Sealed
	err := s.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		page, _, err = tx.ListSealed(ctx, store.Page{Limit: 100})
		return err
	})
	if err != nil {
		return err
	}
	keys, err := s.keys.Keys()
	if err != nil {
		return err
	}
	known := map[uint32]bool{}
	for _, k := range keys {
		known[k.ID] = true
	}
	for _, v := range page {
		if id, ok := s.keys.KeyOf(v.Ciphertext); ok && known[id] {
			return nil
		}
	}
	if len(page) == 0 {
		return nil
	}
	return berth.Errorf(berth.CodeStorageUnavailable, "The key file is not this database's: it opens none of the stored values").
		WithHint("give the one that belongs to the database, with --key-file; control planes that share a database need the same one")
}
