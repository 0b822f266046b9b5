package auth

import (
	"context"
	"encoding/json"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// change is one mutation, for the audit. before and after hold neither secrets
// nor what recognises them; nil where there was nothing.
type change struct {
	action, organization, target string
	before, after                any
}

// record appends a change to the audit, in the transaction that makes it.
func record(ctx context.Context, tx store.Audit, actor berth.Actor, c change) error {
	before, err := brief(c.before)
	if err != nil {
		return err
	}
	after, err := brief(c.after)
	if err != nil {
		return err
	}
	return tx.AppendAudit(ctx, &berth.AuditEntry{
		ID: berth.NewID(), OrganizationID: c.organization, At: now(),
		ActorID: actor.ID, ActorName: actor.Name, ActorRole: actor.Role, Address: actor.Address, RequestID: actor.RequestID,
		Action: c.action, Target: c.target, Outcome: berth.AuditDone, Before: before, After: after,
	})
}

func brief(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	data, err := json.Marshal(v)
	return string(data), err
}

// now is the time that is recorded, in the precision that is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
