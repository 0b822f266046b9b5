package secret

import (
	"bytes"
	"context"
)

// KMS holds a key that encrypts the content of the key file. The content is
// unwrapped at the start and stays in memory; after that the KMS is asked only
// when the keys change. A KMS does not wait for ever: it has a deadline of its
// own. Its errors name neither what is wrapped nor a token.
type KMS interface {
	// Name is what the key file says it is wrapped by: a URL without a secret;
	// "" if nothing wraps it.
	Name() string
	// Wrap encrypts, bound to ad.
	Wrap(ctx context.Context, plaintext, ad []byte) (wrapped []byte, err error)
	// Unwrap is the reverse of Wrap with the same ad.
	Unwrap(ctx context.Context, wrapped, ad []byte) (plaintext []byte, err error)
}

// InClear wraps nothing: the mode of the key file, 0600, protects it.
func InClear() KMS { return inClear{} }

type inClear struct{}

func (inClear) Name() string { return "" }

func (inClear) Wrap(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	return bytes.Clone(plaintext), nil
}

func (inClear) Unwrap(_ context.Context, wrapped, _ []byte) ([]byte, error) {
	return bytes.Clone(wrapped), nil
}
