package berth

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// AuditOutcome is how an attempt ended.
type AuditOutcome string

const (
	AuditDone   AuditOutcome = "done"   // and is on disk
	AuditDenied AuditOutcome = "denied" // the actor may not, or is not known
)

// AuditEntry is one mutation, or one attempt that was denied. Entries are
// appended, never changed: those of an organization, and those of the
// installation (OrganizationID ""), are a chain each, in which every entry's
// hash covers the one before.
type AuditEntry struct {
	Seq            int64 // in its chain, from 1 without a gap; given by the store
	ID             string
	OrganizationID string
	At             time.Time // UTC, microseconds
	ActorID        string    // "" if nobody is known
	ActorName      string
	ActorRole      Role
	Address        string // where the request came from
	RequestID      string
	Action         string // what was done, such as "tenant.deploy"
	Target         string // id of what it was done to; may be ""
	Outcome        AuditOutcome
	Code           Code   // why it was denied; "" if it was not
	Before         string // JSON, secrets redacted; "" where there was nothing
	After          string // the same, afterwards
	PrevHash       []byte // of the entry before; empty for the first
	Hash           []byte // Sum of this one; given by the store
}

// RequestContext binds the stored answer to a request to its place.
func RequestContext(actorID, key string) string { return "request|" + actorID + "|" + key }

// Sum is the SHA-256 of the entry and of its PrevHash. Each field goes in with
// its length before it, so that no two entries have the same encoding.
func (e AuditEntry) Sum() []byte {
	h := sha256.New()
	put := func(b []byte) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		_, _ = h.Write(size[:]) // a hash never fails
		_, _ = h.Write(b)
	}
	put([]byte("berth audit v1"))
	put(e.PrevHash)
	put(binary.BigEndian.AppendUint64(nil, uint64(e.Seq)))
	for _, s := range []string{e.ID, e.OrganizationID, e.At.UTC().Format(time.RFC3339Nano), e.ActorID, e.ActorName, string(e.ActorRole),
		e.Address, e.RequestID, e.Action, e.Target, string(e.Outcome), string(e.Code), e.Before, e.After} {
		put([]byte(s))
	}
	return h.Sum(nil)
}

// Follows reports whether e is intact and comes right after prev in a chain;
// prev is nil for the first.
func (e AuditEntry) Follows(prev *AuditEntry) bool {
	if prev == nil {
		return e.Seq == 1 && len(e.PrevHash) == 0 && string(e.Hash) == string(e.Sum())
	}
	return e.Seq == prev.Seq+1 && e.OrganizationID == prev.OrganizationID &&
		string(e.PrevHash) == string(prev.Hash) && string(e.Hash) == string(e.Sum())
}
