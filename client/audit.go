package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/unite-hub/berth"
)

// AuditEntry is one mutation, or one attempt that was denied.
type AuditEntry struct {
	Seq            int64           `json:"seq"` // in its chain, from 1
	ID             string          `json:"id"`
	OrganizationID *string         `json:"organizationId"` // nil for the installation's chain
	At             time.Time       `json:"at"`
	ActorID        *string         `json:"actorId"` // nil if nobody is known
	ActorName      *string         `json:"actorName"`
	ActorRole      *string         `json:"actorRole"`
	Address        *string         `json:"address"`
	RequestID      *string         `json:"requestId"`
	Action         string          `json:"action"` // such as "tenant.deploy"
	Target         *string         `json:"target"`
	Outcome        string          `json:"outcome"` // "done" or "denied"
	Code           *string         `json:"code"`    // why it was denied
	Before         json.RawMessage `json:"before"`
	After          json.RawMessage `json:"after"`
	PrevHash       string          `json:"prevHash"` // hexadecimal
	Hash           string          `json:"hash"`     // hexadecimal
}

// AuditList is a page of the audit, newest first. Of a list that is narrowed, one may
// be short, or empty, and not be the last: Each goes on.
type AuditList struct {
	Entries    []AuditEntry `json:"entries"`
	NextCursor *string      `json:"nextCursor"` // nil after the last page
}

// AuditFilter narrows the audit; zero fields do not.
type AuditFilter struct {
	OrganizationID string // one chain; "installation" for that of none; "": all, for an operator
	Actor          string // id
	Action         string // or a prefix that ends with a dot
	Outcome        string
	From, To       time.Time
	Cursor         string // NextCursor of the page before
	Limit          int    // 0: 100; at most 1000
}

func (f AuditFilter) query() url.Values {
	q := page(f.Cursor, f.Limit)
	for name, value := range map[string]string{"actor": f.Actor, "action": f.Action, "outcome": f.Outcome} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"from": f.From, "to": f.To} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	return q
}

const installationChain = "installation"

// auditPath is where a chain is read. An organization's own people read theirs
// there, too.
func auditPath(org string, q url.Values) (string, url.Values) {
	switch org {
	case "":
		return "/api/audit", q
	case installationChain:
		q.Set("organizationId", org)
		return "/api/audit", q
	}
	return organizationPath(org, "audit"), q
}

// Audit lists who did what, and who was refused.
func (c *Client) Audit(ctx context.Context, f AuditFilter) (out AuditList, err error) {
	path, q := auditPath(f.OrganizationID, f.query())
	err = c.get(ctx, path, q, &out)
	return out, err
}

// ExportAudit streams all entries, a line of JSON each, oldest first. The caller
// closes it. An error while it is read means that entries are missing.
func (c *Client) ExportAudit(ctx context.Context, f AuditFilter) (io.ReadCloser, error) {
	f.Cursor, f.Limit = "", 0
	path, q := auditPath(f.OrganizationID, f.query())
	q.Set("format", "jsonl")
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, query: q, accept: "application/jsonl"})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// AuditVerdict is what a walk along a chain found.
type AuditVerdict struct {
	Entries     int64  `json:"entries"` // intact ones, from the first on
	Head        string `json:"head"`    // hash of the last of these
	Intact      bool   `json:"intact"`
	FirstBroken *int64 `json:"firstBroken"` // place of the first that is not intact
}

// VerifyAudit has Berth walk along a chain: an organization's, or with "" the
// installation's.
func (c *Client) VerifyAudit(ctx context.Context, org string) (out AuditVerdict, err error) {
	path := "/api/audit/verify"
	if org != "" && org != installationChain {
		path = organizationPath(org, "audit", "verify")
	}
	err = c.get(ctx, path, nil, &out)
	return out, err
}

// Entry is e as its hash is made from it.
func (e AuditEntry) Entry() (berth.AuditEntry, error) {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	out := berth.AuditEntry{
		Seq: e.Seq, ID: e.ID, OrganizationID: text(e.OrganizationID), At: e.At, ActorID: text(e.ActorID), ActorName: text(e.ActorName),
		ActorRole: berth.Role(text(e.ActorRole)), Address: text(e.Address), RequestID: text(e.RequestID), Action: e.Action,
		Target: text(e.Target), Outcome: berth.AuditOutcome(e.Outcome), Code: berth.Code(text(e.Code)),
	}
	var err error
	if out.PrevHash, err = hex.DecodeString(e.PrevHash); err != nil {
		return out, fmt.Errorf("entry %d: prevHash: %w", e.Seq, err)
	}
	if out.Hash, err = hex.DecodeString(e.Hash); err != nil {
		return out, fmt.Errorf("entry %d: hash: %w", e.Seq, err)
	}
	if out.Before, err = compact(e.Before); err != nil {
		return out, fmt.Errorf("entry %d: before: %w", e.Seq, err)
	}
	if out.After, err = compact(e.After); err != nil {
		return out, fmt.Errorf("entry %d: after: %w", e.Seq, err)
	}
	return out, nil
}

// compact is JSON as it was recorded: without the spaces that a program may
// have put in, "" for null.
func compact(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var b bytes.Buffer
	err := json.Compact(&b, raw)
	return b.String(), err
}
