package reconcile

import (
	"context"
	"fmt"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// sweepDelay is how many scans a stray must be seen in before it is removed.
const sweepDelay = 2

// sweep removes what a tenant left behind after its end, and reports what is
// not ours to touch. Nothing goes on the word of a database that is older than
// what it would delete: without a tombstone that is at least as new as the
// object, the object stays and is reported. Volumes are never swept.
func (l *Loop) sweep(ctx context.Context, f snapshot) {
	living := make(map[string]bool, len(f.tenants))
	for _, t := range f.tenants {
		living[t.OrganizationID] = true
	}
	before := l.strays
	l.strays = make(map[string]int)
	for _, o := range f.inventory.Tenants {
		for _, x := range o.Foreign {
			l.report(ctx, before, x)
		}
		if living[o.OrganizationID] || len(o.Instances) == 0 && !o.Network {
			continue
		}
		key := "stray " + o.OrganizationID
		l.strays[key] = before[key] + 1
		if l.strays[key] < sweepDelay {
			continue
		}
		if !l.buried(ctx, o) {
			l.report(ctx, before, berth.Foreign{
				Kind: "stack", Name: berth.ContainerName(o.OrganizationID), OrganizationID: o.OrganizationID,
				Reason: "this Berth made it, but its database does not know that it is to go: quarantined",
			})
			continue
		}
		l.Log.Info("sweeping", "tenant", o.OrganizationID, "containers", len(o.Instances))
		if err := l.removeStray(ctx, o); err != nil {
			l.Log.Warn("sweep failed", "tenant", o.OrganizationID, "error", err)
		}
	}
	for _, x := range f.inventory.Foreign {
		l.report(ctx, before, x)
	}
}

// buried reports whether a tombstone proves that all of o is to go.
func (l *Loop) buried(ctx context.Context, o berth.Observed) bool {
	var grave berth.Tenant
	err := l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		var err error
		grave, err = tx.Tombstone(ctx, o.OrganizationID)
		return err
	})
	info, _ := l.breaker.get()
	if err != nil || grave.EngineID != info.ID {
		return false
	}
	for _, c := range o.Instances {
		if c.Generation > grave.Generation {
			return false
		}
	}
	return true
}

func (l *Loop) removeStray(ctx context.Context, o berth.Observed) error {
	place, err := l.lanes.end.acquire(ctx, o.OrganizationID, background)
	if err != nil {
		return err
	}
	defer place.leave()
	ctx, cancel := context.WithTimeout(ctx, l.CallDeadline+graces(o.Instances))
	defer cancel()
	return l.Engine.Remove(ctx, berth.Removal{OrganizationID: o.OrganizationID})
}

// report records a foreign object once for as long as it is there.
func (l *Loop) report(ctx context.Context, before map[string]int, x berth.Foreign) {
	key := "foreign " + x.Kind + " " + x.ID + x.Name
	l.strays[key] = before[key] + 1
	if before[key] > 0 {
		return
	}
	l.Log.Warn("foreign object left alone", "tenant", x.OrganizationID, "kind", x.Kind, "name", x.Name, "reason", x.Reason)
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		return tx.InsertEvent(ctx, event(x.OrganizationID, berth.EventForeign,
			fmt.Sprintf("%s %s (%s) was left alone: %s", x.Kind, x.Name, x.ID, x.Reason)))
	})
	if err != nil {
		l.Log.Warn("foreign object could not be recorded", "tenant", x.OrganizationID, "error", err)
	}
}
