package tenancy

import (
	"crypto/sha256"
	"sync"

	"github.com/unite-hub/berth/internal/lru"
)

// mostRedactions is how many redacted sources are remembered. Each is about as
// large as what an operator wrote.
const mostRedactions = 128

// redactions are sources without what looks secret. Nothing but the source decides
// what is left of it, so each is made once for all who may not see the whole: to
// make one takes a thousand times as long as to read it.
type redactions struct {
	redact func(source []byte) []byte // nil: nothing is shown
	made   *lru.Map[[sha256.Size]byte, func() []byte]
}

func newRedactions(redact func([]byte) []byte) *redactions {
	return &redactions{redact, lru.New[[sha256.Size]byte, func() []byte](mostRedactions)}
}

// of is source, redacted. It is shared: nobody may change it. Call it outside of a
// transaction.
func (r *redactions) of(source []byte) []byte {
	if r.redact == nil {
		return nil
	}
	// The map is locked while it makes a value, so that is only the promise of one.
	return r.made.Use(sha256.Sum256(source), func() func() []byte {
		return sync.OnceValue(func() []byte { return r.redact(source) })
	})()
}
