// Package secret encrypts what Berth stores: environment values and registry
// passwords. The key lies in a file of its own beside the database, never in
// it, so that a stolen database or backup opens nothing.
//
// The file holds a Tink keyset (AES-256-GCM; further keys can join it, so that
// keys can be rotated) and a second, independent random key that proves which
// engine objects are Berth's.
package secret

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/unite-hub/berth"
)

// FileName is the name of the key file in the state directory.
const FileName = "secret.key"

const keyBytes = 32

// keyFile is the content of the file, as JSON.
type keyFile struct {
	Version int    `json:"version"`
	Keyset  []byte `json:"keyset"` // Tink's binary format, in clear: the file's mode is what protects it
	Seal    []byte `json:"seal"`
}

// Box seals and opens. Its methods may be called concurrently.
type Box struct {
	aead tink.AEAD
	seal []byte
}

// Load reads the key file of a state directory. It must be there: use it
// whenever a database exists, because a new key in the place of a lost one
// would make every stored secret unreadable in silence.
func Load(dir string) (*Box, error) {
	path := filepath.Join(dir, FileName)
	data, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unusable(path, err, "Key file %s is missing", path).
			WithHint("restore it from where you keep it apart from the database; without it the stored secrets can't be read. "+
				"If it is lost for good, remove the database too and provision anew: %s", dir)
	}
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

// Create makes the key file on the first start, and loads it if it is there
// already. Of several that start at once, all get the same key.
func Create(dir string) (*Box, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Lstat(path); err == nil {
		return Load(dir)
	}
	data, err := generate()
	if err != nil {
		return nil, unusable(path, err, "No key could be made").WithHint("this is a fault of Berth; please report it")
	}
	if err := place(path, data); err != nil {
		return nil, unusable(path, err, "Key file %s can't be written", path).
			WithHint("make sure that the state directory exists, is writable and has space")
	}
	return Load(dir)
}

// Seal encrypts. ad binds the ciphertext to its place: see
// berth.SecretContext and berth.RegistryContext.
func (b *Box) Seal(plaintext []byte, ad string) ([]byte, error) {
	c, err := b.aead.Encrypt(plaintext, []byte(ad))
	if err != nil {
		return nil, &berth.Error{Code: berth.CodeInternal, Op: "encrypt", Message: "A secret can't be encrypted", Err: err,
			Hint: "this is a fault of Berth; please report it"}
	}
	return c, nil
}

// Open decrypts what Seal made with the same ad.
func (b *Box) Open(ciphertext []byte, ad string) ([]byte, error) {
	p, err := b.aead.Decrypt(ciphertext, []byte(ad))
	if err != nil {
		return nil, &berth.Error{Code: berth.CodeInternal, Op: "decrypt", Err: err,
			Message: "A stored secret can't be decrypted: it was changed or moved, or " + FileName + " is not the key it was encrypted with",
			Hint:    "put back the key file that belongs to this database, or set the value anew"}
	}
	return p, nil
}

// SealKey is the key of the seals on engine objects. It stays the same as long
// as the key file does, whatever keys join the keyset.
func (b *Box) SealKey() []byte { return bytes.Clone(b.seal) }

func generate() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&buf)); err != nil {
		return nil, err
	}
	seal := make([]byte, keyBytes)
	_, _ = rand.Read(seal) // never fails: it crashes the program instead
	return json.Marshal(keyFile{Version: 1, Keyset: buf.Bytes(), Seal: seal})
}

func parse(path string, data []byte) (*Box, error) {
	damaged := func(err error) error {
		return unusable(path, err, "Key file %s is damaged", path).
			WithHint("restore it from where you keep it apart from the database; do not let Berth make a new one")
	}
	var f keyFile
	if err := json.Unmarshal(data, &f); err != nil {
		// Not the decoder's error: it may quote the content.
		return nil, damaged(errors.New("not valid JSON"))
	}
	if f.Version != 1 {
		return nil, unusable(path, nil, "Key file %s has version %d, this program knows version 1", path, f.Version).
			WithHint("run the newer program that wrote it")
	}
	if len(f.Seal) != keyBytes {
		return nil, damaged(fmt.Errorf("the seal key has %d bytes, not %d", len(f.Seal), keyBytes))
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(f.Keyset)))
	if err != nil {
		return nil, damaged(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, damaged(err)
	}
	seal, err := hkdf.Key(sha256.New, f.Seal, nil, "berth engine seal v1", keyBytes)
	if err != nil {
		return nil, damaged(err)
	}
	return &Box{aead: primitive, seal: seal}, nil
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
