package store

import (
	"cmp"
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// Audit is appended to and read. No store changes or drops an entry, and the
// database itself refuses to.
type Audit interface {
	// AppendAudit stores e as the next of its chain: it sets Seq, PrevHash and
	// Hash. Any actor that may see the organization appends to its chain, a
	// member too: what was denied is recorded as well.
	AppendAudit(ctx context.Context, e *berth.AuditEntry) error
	// ListAudit returns a page, newest first; Ascending for the reverse. A page of a
	// list that is narrowed may be short, or empty, and not be the last: see Reads.
	ListAudit(ctx context.Context, f AuditFilter) (page []berth.AuditEntry, next string, err error)
}

// AuditFilter narrows a list. Zero fields do not, and neither does Reads.
type AuditFilter struct {
	OrganizationID string // whose chain; "" for the installation's
	Everything     bool   // all chains, for who sees everything; OrganizationID is ignored. Order is that of writing
	ActorID        string //
	Action         string // or a prefix that ends with a dot, such as "tenant."
	Outcome        berth.AuditOutcome
	From, To       time.Time // [From, To)
	Ascending      bool
	Reads          int // entries read for one page at most, if the list is narrowed; 0: AuditReads, but in the suite
	Page
}

// AuditReads is how many entries are read for one page of a narrowed list at most: a
// few milliseconds' worth, however long a chain is.
const AuditReads = 5000

// MostReads returns how many entries are read for a page at most before it ends, full
// or not; narrowed is false where all that are read are on the page.
func (f AuditFilter) MostReads() (most int, narrowed bool) {
	narrowed = f.ActorID != "" || f.Action != "" || f.Outcome != "" || !f.From.IsZero() || !f.To.IsZero()
	return cmp.Or(f.Reads, AuditReads), narrowed
}

// Past reports whether nothing is wanted of what follows an entry of that time. Entries
// are in the order in which they were written, but for the clocks of control planes.
func (f AuditFilter) Past(at time.Time) bool {
	const apart = 24 * time.Hour
	if f.Ascending {
		return !f.To.IsZero() && at.After(f.To.Add(apart))
	}
	return at.Before(f.From.Add(-apart))
}

// Sealed is one encrypted value, wherever it is stored.
type Sealed struct {
	Kind           string // "secret", "registry", "channel" or "installation" (the KeyMark)
	ID             string // of the row: of the version, the registry, the channel; "1"
	OrganizationID string // "" for the installation's
	Name           string // of the variable, for a secret
	Ciphertext     []byte
}

// Sealings are everything that is encrypted, for the rotation of keys. System
// and operator only.
type Sealings interface {
	// ListSealed returns a page, in an order that stays.
	ListSealed(ctx context.Context, p Page) (page []Sealed, next string, err error)
	// Reseal replaces a ciphertext if it is still the one in s; otherwise CodeStale.
	Reseal(ctx context.Context, s Sealed, ciphertext []byte) error
}
