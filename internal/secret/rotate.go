package secret

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/unite-hub/berth"
)

// Rotate adds a key to the file and makes it the primary one. No key is lost:
// a crash at any point leaves the file as it was, or with the new key. Whoever
// else reads the file notices at the next value that it seals.
func (b *Box) Rotate(ctx context.Context, now time.Time) (made berth.Key, err error) {
	err = b.change(ctx, func(k *keys, c *content) error {
		if len(k.list) >= mostKeys {
			return berth.Errorf(berth.CodeInvalidRequest, "There are %d keys already", len(k.list)).
				WithHint("retire those that nothing is sealed under any more: berth key ls")
		}
		m := keyset.NewManagerFromHandle(k.handle)
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		made = berth.Key{ID: id, CreatedAt: now, Primary: true}
		c.Made[id] = now
		return finish(c, m, m.SetPrimary(id))
	})
	return made, err
}

// Retire removes a key that is not the primary one. The caller knows that
// nothing is sealed under it, and that nobody seals with it any more.
func (b *Box) Retire(ctx context.Context, id uint32) error {
	return b.change(ctx, func(k *keys, c *content) error {
		switch {
		case !k.has(id):
			return berth.Errorf(berth.CodeNotFound, "There is no such key").WithHint("berth key ls lists them")
		case k.primary() == id:
			return berth.Errorf(berth.CodeInvalidRequest, "This key is the one that encrypts").WithHint("rotate first: berth key rotate")
		}
		delete(c.Made, id)
		m := keyset.NewManagerFromHandle(k.handle)
		return finish(c, m, m.Delete(id))
	})
}

func finish(c *content, m *keyset.Manager, err error) error {
	if err != nil {
		return err
	}
	handle, err := m.Handle()
	if err != nil {
		return err
	}
	return c.take(handle)
}

// Rewrap has the file wrapped by another KMS, or by none. A process that runs
// on it goes on reading what is stored, and seals nothing until it is started
// anew with the other KMS.
func (b *Box) Rewrap(ctx context.Context, to KMS) error {
	return b.write(ctx, to, func(*keys, *content) error { return nil })
}

func (b *Box) change(ctx context.Context, edit func(*keys, *content) error) error {
	return b.write(ctx, b.kms, edit)
}

// write reads the file, edits it and replaces it, alone among processes.
func (b *Box) write(ctx context.Context, kms KMS, edit func(*keys, *content) error) error {
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeLeftovers(b.path); err != nil {
		return b.unwritable(err)
	}
	k, err := b.load(ctx)
	if err != nil {
		return err
	}
	c := k.content
	if c.Made = maps.Clone(k.Made); c.Made == nil {
		c.Made = map[uint32]time.Time{}
	}
	if err := edit(k, &c); err != nil {
		return err
	}
	data, err := c.encode(ctx, kms)
	if err != nil {
		return err
	}
	// What can't be read back is never put in the place of what can.
	if _, err := parse(ctx, b.path, data, kms); err != nil {
		return err
	}
	if err := replace(b.path, data); err != nil {
		return b.unwritable(err)
	}
	if kms.Name() != b.kms.Name() {
		return nil
	}
	_, err = b.current()
	return err
}

func (b *Box) unwritable(err error) error {
	return unusable(b.path, err, "Key file %s can't be written", b.path).
		WithHint("make sure that its directory is writable and has space; the file is as it was")
}

// lock keeps others from changing the file. It ends with the process, however
// that ends.
func (b *Box) lock() (unlock func(), err error) {
	f, err := os.OpenFile(b.path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, b.unwritable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, unusable(b.path, nil, "Key file %s is being changed by another Berth", b.path).WithHint("try again in a moment")
	}
	return func() { _ = f.Close() }, nil
}

// removeLeftovers removes what a crash left of a replacement.
func removeLeftovers(path string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new-*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
