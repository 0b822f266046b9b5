package secret

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/unite-hub/berth"
)

const (
	keyBytes = 32
	// wrapContext binds what a KMS wraps to what it is.
	wrapContext = "berth key file v2"
	// mostKeys bounds the keyset: each key costs every start and every copy.
	mostKeys = 100
)

// keyFile is the file, as JSON.
type keyFile struct {
	Version int    `json:"version"`
	KMS     string `json:"kms,omitempty"` // what wraps the content; "" for nothing
	Content []byte `json:"content,omitempty"`

	// Version 1 had no KMS and no times.
	Keyset []byte `json:"keyset,omitempty"`
	Seal   []byte `json:"seal,omitempty"`
}

// content is what the file protects, as JSON.
type content struct {
	Keyset []byte               `json:"keyset"` // Tink's binary format
	Seal   []byte               `json:"seal"`
	Made   map[uint32]time.Time `json:"made,omitempty"` // keys of version 1 have no time
}

// keys are the content of a file, ready for use. They never change.
type keys struct {
	content
	handle *keyset.Handle
	aead   tink.AEAD
	seal   []byte      // derived
	list   []berth.Key // oldest first
	file   fs.FileInfo // that they were read from
}

func (k *keys) has(id uint32) bool {
	return slices.ContainsFunc(k.list, func(x berth.Key) bool { return x.ID == id })
}

func (k *keys) primary() uint32 {
	i := slices.IndexFunc(k.list, func(x berth.Key) bool { return x.Primary })
	return k.list[i].ID // a keyset has one, or can't be parsed
}

func generate(now time.Time) (content, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return content{}, err
	}
	seal := make([]byte, keyBytes)
	_, _ = rand.Read(seal) // never fails: it crashes the program instead
	c := content{Seal: seal, Made: map[uint32]time.Time{}}
	entry, err := handle.Primary()
	if err != nil {
		return content{}, err
	}
	c.Made[entry.KeyID()] = now
	return c, c.take(handle)
}

// take makes a keyset the content's.
func (c *content) take(handle *keyset.Handle) error {
	var buf bytes.Buffer
	err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&buf))
	c.Keyset = buf.Bytes()
	return err
}

// encode returns the file that holds c, wrapped by kms.
func (c *content) encode(ctx context.Context, kms KMS) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	wrapped, err := kms.Wrap(ctx, plain, []byte(wrapContext))
	if err != nil {
		return nil, err
	}
	return json.Marshal(keyFile{Version: 2, KMS: kms.Name(), Content: wrapped})
}

func damaged(path string, err error) error {
	return unusable(path, err, "Key file %s is damaged", path).
		WithHint("restore it from where you keep it apart from the database; do not let Berth make a new one")
}

// parse reads a file that kms wraps, if anything does.
func parse(ctx context.Context, path string, data []byte, kms KMS) (*keys, error) {
	var f keyFile
	if err := json.Unmarshal(data, &f); err != nil {
		// Not the decoder's error: it may quote the content.
		return nil, damaged(path, errors.New("not valid JSON"))
	}
	switch {
	case f.Version == 1:
		return (&content{Keyset: f.Keyset, Seal: f.Seal}).parse(path, kms)
	case f.Version != 2:
		return nil, unusable(path, nil, "Key file %s has version %d, this program knows versions 1 and 2", path, f.Version).
			WithHint("run the newer program that wrote it")
	case f.KMS != kms.Name():
		return nil, mismatch(path, f.KMS, kms.Name())
	}
	plain, err := kms.Unwrap(ctx, f.Content, []byte(wrapContext))
	if err != nil {
		return nil, err
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, damaged(path, errors.New("its content is not valid JSON"))
	}
	return c.parse(path, kms)
}

// mismatch refuses a file that is wrapped otherwise than was said: what it
// claims about itself is not enough to send a token there.
func mismatch(path, has, want string) error {
	switch {
	case has == "":
		return unusable(path, nil, "Key file %s is in clear, and --kms was given", path).
			WithHint("wrap it first: berth key rewrap --kms %s", want)
	case want == "":
		return unusable(path, nil, "Key file %s is wrapped by a KMS", path).WithHint("give --kms %s, if that is yours", berth.Quote(has))
	}
	return unusable(path, nil, "Key file %s is wrapped by another KMS", path).
		WithHint("it says %s; give that, or unwrap it there first: berth key rewrap", berth.Quote(has))
}

func (c *content) parse(path string, kms KMS) (*keys, error) {
	if len(c.Seal) != keyBytes {
		return nil, damaged(path, fmt.Errorf("the seal key has %d bytes, not %d", len(c.Seal), keyBytes))
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(c.Keyset)))
	if err != nil {
		return nil, damaged(path, err)
	}
	k := &keys{content: *c, handle: handle}
	if k.aead, err = aead.New(handle); err != nil {
		return nil, damaged(path, err)
	}
	if k.seal, err = hkdf.Key(sha256.New, c.Seal, nil, "berth engine seal v1", keyBytes); err != nil {
		return nil, damaged(path, err)
	}
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, damaged(path, err)
		}
		k.list = append(k.list, berth.Key{ID: entry.KeyID(), CreatedAt: c.Made[entry.KeyID()], Primary: entry.IsPrimary()})
	}
	if !slices.ContainsFunc(k.list, func(x berth.Key) bool { return x.Primary }) {
		return nil, damaged(path, errors.New("no key is the primary one"))
	}
	return k, nil
}

// unusable reports a key file that can't be used.
func unusable(path string, err error, format string, args ...any) *berth.Error {
	e := berth.Errorf(berth.CodeStorageUnavailable, format, args...).WithOp("open key file", "")
	var known *berth.Error
	if errors.As(err, &known) {
		return known
	}
	// The path is in the message already.
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	e.Err = err
	return e
}
