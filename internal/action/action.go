// Package action is the table of all that can be asked of Berth: who may, by which
// routes, and what the audit says of it. Use cases authorise and record by it, the
// API names denied attempts by it, and docs/actions.md is made from it.
package action

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Of says what an action is done to.
type Of string

const (
	Organization Of = "an organization's own" // or, where no organization is named, the installation's
	Installation Of = "the installation"
	Visible      Of = "all that the actor sees"
	Self         Of = "the actor's own" // whoever is known may
)

// Action is one kind of thing that can be asked for.
type Action struct {
	Name   string       // as the audit names it
	Of     Of           //
	Scope  berth.Scopes // that it takes; 0 for what takes none
	Routes []string     // the API's operations that do it
	// Records are the fields that before and after may have in its entry; empty, and
	// not nil, for an entry without any. nil: only denied attempts are recorded.
	Records []string
}

// Also is a with a scope more, for a request that asks for more than usual.
func (a Action) Also(s berth.Scopes) Action {
	a.Scope |= s
	return a
}

// Takes is the scope that a takes, done to what belongs to an organization, or
// with "" to the installation.
func (a Action) Takes(organizationID string) berth.Scopes {
	if a.Of == Organization && organizationID == "" {
		return berth.ScopeInstallation
	}
	return a.Scope
}

// Reads reports whether a changes nothing, and is recorded only if it is denied.
func (a Action) Reads() bool { return a.Records == nil }

// OfRoute is the action of one of the API's operations, the zero one if there is
// none.
func OfRoute(operation string) Action {
	all := All()
	i := slices.IndexFunc(all, func(a Action) bool { return slices.Contains(a.Routes, operation) })
	if i < 0 {
		return Action{}
	}
	return all[i]
}

// Change is what an action changed. Before and After hold no secret and nothing
// that is made from one; nil where there is nothing.
type Change struct {
	At                   time.Time
	Organization, Target string
	Before, After        any
}

// Record appends to the audit that the actor did a, in the transaction that does
// it.
func (a Action) Record(ctx context.Context, tx store.Audit, actor berth.Actor, c Change) error {
	e := a.entry(actor)
	e.ID, e.At, e.OrganizationID, e.Target, e.Outcome = berth.NewID(), c.At, c.Organization, c.Target, berth.AuditDone
	var err error
	if e.Before, err = encode(c.Before); err != nil {
		return err
	}
	if e.After, err = encode(c.After); err != nil {
		return err
	}
	return tx.AppendAudit(ctx, &e)
}

// Denied is the entry of an attempt at a that was answered with code. Whose chain
// it goes into, and when it is, is for whoever appends it.
func (a Action) Denied(actor berth.Actor, target string, code berth.Code) berth.AuditEntry {
	e := a.entry(actor)
	e.Target, e.Code, e.Outcome = target, code, berth.AuditDenied
	return e
}

func (a Action) entry(actor berth.Actor) berth.AuditEntry {
	return berth.AuditEntry{
		Action: a.Name, ActorID: actor.ID, ActorName: actor.Name, ActorRole: actor.Role, Address: actor.Address, RequestID: actor.RequestID,
	}
}

// encode is a value as it is recorded: JSON; "" for nil.
func encode(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "", berth.Errorf(berth.CodeInternal, "encode audit entry: %w", err)
	}
	return string(data), nil
}
