// Package secret encrypts what Berth stores: environment values, registry
// passwords and signing secrets. The keys lie in a file of their own beside the
// database, never in it, so that a stolen database or backup opens nothing. A
// KMS can wrap the file, so that it opens nothing either.
//
// The file holds a Tink keyset (AES-256-GCM), of which the primary key encrypts
// and every key decrypts, and a second, independent random key that proves
// which engine objects are Berth's.
package secret

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

// FileName is the name of the key file in the state directory, unless another
// was given.
const FileName = "secret.key"

// Box seals and opens. Its methods may be called concurrently.
type Box struct {
	path string
	kms  KMS
	keys atomic.Pointer[keys]

	reading sync.Mutex // held while the file is read anew
	refused failure
}

// failure is a file that could not be read anew.
type failure struct {
	file fs.FileInfo // nil if there was none
	err  error
	at   time.Time
}

// patience is how long a failure to read the file anew is taken for granted.
const patience = 5 * time.Second

// LoadFile reads a key file. It must be there: use it whenever a database
// exists, because a new key in the place of a lost one would make every stored
// secret unreadable in silence.
func LoadFile(ctx context.Context, path string, kms KMS) (*Box, error) {
	b := &Box{path: path, kms: kms}
	k, err := b.load(ctx)
	if err != nil {
		return nil, err
	}
	b.keys.Store(k)
	return b, nil
}

// CreateFile makes the key file on the first start, and loads it if it is there
// already. Of several that start at once, all get the same key.
func CreateFile(ctx context.Context, path string, kms KMS) (*Box, error) {
	if _, err := os.Lstat(path); err == nil {
		return LoadFile(ctx, path, kms)
	}
	c, err := generate(time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return nil, unusable(path, err, "No key could be made").WithHint("this is a fault of Berth; please report it")
	}
	data, err := c.encode(ctx, kms)
	if err != nil {
		return nil, err
	}
	if err := createWhole(path, data); err != nil {
		return nil, unusable(path, err, "Key file %s can't be written", path).
			WithHint("make sure that its directory exists, is writable and has space")
	}
	return LoadFile(ctx, path, kms)
}

// load reads the file as it is now.
func (b *Box) load(ctx context.Context) (*keys, error) {
	data, info, err := read(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unusable(b.path, err, "Key file %s is missing", b.path).
			WithHint("restore it from where you keep it apart from the database; without it the stored secrets can't be read. "+
				"If it is lost for good, remove the database too and provision anew: %s", filepath.Dir(b.path))
	}
	if err != nil {
		return nil, err
	}
	k, err := parse(ctx, b.path, data, b.kms)
	if err != nil {
		return nil, err
	}
	k.file = info
	return k, nil
}

// Seal encrypts with the primary key that the file has now, another process's
// rotation included. ad binds the ciphertext to its place: see
// berth.SecretContext and berth.RegistryContext. If the file has changed and
// can't be read, it fails: nobody might ever open what an earlier key sealed.
func (b *Box) Seal(plaintext []byte, ad string) ([]byte, error) {
	k, err := b.current()
	if err != nil {
		return nil, err
	}
	c, err := k.aead.Encrypt(plaintext, []byte(ad))
	if err != nil {
		return nil, &berth.Error{Code: berth.CodeInternal, Op: "encrypt", Message: "A secret can't be encrypted", Err: err,
			Hint: "this is a fault of Berth; please report it"}
	}
	return c, nil
}

// Open decrypts what Seal made with the same ad. It needs neither the file nor
// the KMS, unless the key came after the file was last read.
func (b *Box) Open(ciphertext []byte, ad string) ([]byte, error) {
	k := b.keys.Load()
	id, ok := KeyOf(ciphertext)
	if ok && !k.has(id) {
		var err error
		if k, err = b.current(); err != nil {
			return nil, err
		}
		if !k.has(id) {
			return nil, &berth.Error{Code: berth.CodeInternal, Op: "decrypt",
				Message: "A stored secret can't be decrypted: it was changed, or its key is not in " + b.path,
				Hint:    "put back a key file of this database from before that key was retired, or set the value anew"}
		}
	}
	p, err := k.aead.Decrypt(ciphertext, []byte(ad))
	if err != nil {
		return nil, &berth.Error{Code: berth.CodeInternal, Op: "decrypt", Err: err,
			Message: "A stored secret can't be decrypted: it was changed or moved, or " + filepath.Base(b.path) + " is not the key it was encrypted with",
			Hint:    "put back the key file that belongs to this database, or set the value anew"}
	}
	return p, nil
}

// SealKey is the key of the seals on engine objects. It stays the same as long
// as the installation lives, whatever keys join the keyset.
func (b *Box) SealKey() []byte { return bytes.Clone(b.keys.Load().seal) }

// Keys lists the keys of the file, oldest first. The primary one encrypts.
func (b *Box) Keys() ([]berth.Key, error) {
	k, err := b.current()
	if err != nil {
		return nil, err
	}
	return slices.Clone(k.list), nil
}

// Primary is the id of the key that encrypts.
func (b *Box) Primary() (uint32, error) {
	k, err := b.current()
	if err != nil {
		return 0, err
	}
	return k.primary(), nil
}

// KeyOf is the id of the key that a ciphertext was made with; ok is false if it
// is none of Seal's.
func KeyOf(ciphertext []byte) (id uint32, ok bool) {
	const version = 1 // of Tink's output prefix, which is this byte and the id
	if len(ciphertext) < 5 || ciphertext[0] != version {
		return 0, false
	}
	return binary.BigEndian.Uint32(ciphertext[1:5]), true
}

// KeyOf is the function, for those who know a Box by interface.
func (b *Box) KeyOf(ciphertext []byte) (id uint32, ok bool) { return KeyOf(ciphertext) }

// current returns the keys of the file, and reads them anew if it has changed.
func (b *Box) current() (*keys, error) {
	k := b.keys.Load()
	info, err := os.Lstat(b.path)
	if err == nil && sameFile(info, k.file) {
		return k, nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	k = b.keys.Load()
	if err == nil && sameFile(info, k.file) {
		return k, nil
	}
	if r := b.refused; r.err != nil && time.Since(r.at) < patience && (err == nil) == (r.file != nil) && (err != nil || sameFile(info, r.file)) {
		return nil, r.err
	}
	next, failed := b.load(context.Background()) // the KMS has a deadline of its own
	if failed == nil && !bytes.Equal(next.seal, k.seal) {
		failed = unusable(b.path, nil, "Key file %s was replaced by another installation's", b.path).
			WithHint("put back the one that was there")
	}
	if failed != nil {
		b.refused = failure{info, failed, time.Now()}
		if err != nil {
			b.refused.file = nil
		}
		return nil, failed
	}
	b.refused = failure{}
	b.keys.Store(next)
	return next, nil
}

// sameFile reports whether nothing was written between two looks. Files are
// replaced, never written over, so that another content is another file.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
