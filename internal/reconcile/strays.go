package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// strayScans is how many scans a stray must be seen in before it is removed.
const strayScans = 2

// strays removes what a tenant left behind after its end, and reports what is
// not ours to touch. Nothing goes on the word of a database that is older than
// what it would delete: without a tombstone that is at least as new as the
// object, the object stays and is reported. No volume is a stray.
//
// The scan finds strays; a pass removes each, so that it holds up no scan and
// nothing is removed beside a pass that makes the tenant anew.
type strays struct {
	mu    sync.Mutex
	found map[string]stray // by organization id, of the last scan
	told  map[string]bool  // foreign objects whose row is known to be there
}

type stray struct {
	seen  berth.Observed
	scans int // in which it was seen, one after the other
}

// checkStrays compares what the engine has with the tenants that live.
func (l *Loop) checkStrays(ctx context.Context, inventory berth.Inventory, living map[string]bool) {
	strays := map[string]stray{}
	for _, o := range inventory.Tenants {
		if !living[o.OrganizationID] && (len(o.Instances) > 0 || o.Network) {
			strays[o.OrganizationID] = stray{o, 1}
		}
	}
	for _, org := range l.strays.replace(strays) {
		l.queue.addRateLimited(org)
	}
	foreign := slices.Clone(inventory.Foreign)
	for _, o := range inventory.Tenants {
		foreign = append(foreign, o.Foreign...)
	}
	for _, x := range foreign {
		l.reportForeign(ctx, x, living[x.OrganizationID])
	}
}

// replace takes the strays of a scan in, and returns those that are due.
func (s *strays) replace(strays map[string]stray) (due []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for org, it := range strays {
		it.scans += s.found[org].scans
		if strays[org] = it; it.scans >= strayScans {
			due = append(due, org)
		}
	}
	s.found = strays
	return due
}

// take returns what is there of a tenant that does not live, if it is due.
func (s *strays) take(organizationID string) (o berth.Observed, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.found[organizationID]
	if !ok || it.scans < strayScans {
		return o, false
	}
	delete(s.found, organizationID)
	return it.seen, true
}

// passOverStray is the pass over a tenant that does not live.
func (l *Loop) passOverStray(ctx context.Context, organizationID string) {
	o, due := l.strays.take(organizationID)
	if _, up := l.breaker.get(); !due || !up {
		return
	}
	if !l.tombstoned(ctx, o) {
		l.reportForeign(ctx, berth.Foreign{
			Kind: "stack", Name: berth.ContainerName(organizationID), OrganizationID: organizationID,
			Reason: "this Berth made it, but its database does not know that it is to go: quarantined",
		}, true)
		return
	}
	l.Log.Info("removing what a tenant left behind", "tenant", organizationID, "containers", len(o.Instances))
	if err := l.removeStray(ctx, o); err != nil && ctx.Err() == nil {
		l.Log.Warn("what a tenant left behind could not be removed", "tenant", organizationID, "error", err)
	}
}

// tombstoned reports whether a tombstone proves that all of o is to go.
func (l *Loop) tombstoned(ctx context.Context, o berth.Observed) bool {
	var tombstone berth.Tenant
	err := l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		var err error
		tombstone, err = tx.Tombstone(ctx, o.OrganizationID)
		return err
	})
	info, _ := l.breaker.get()
	if err != nil || tombstone.EngineID != info.ID {
		return false
	}
	return !slices.ContainsFunc(o.Instances, func(i berth.Instance) bool { return i.Generation > tombstone.Generation })
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

// reportForeign records a foreign object as an event, once ever. Objects of another
// installation that stand in nobody's way get one event for that installation as a
// whole: it makes, renames and removes its own as it likes.
func (l *Loop) reportForeign(ctx context.Context, x berth.Foreign, inTheWay bool) {
	info, _ := l.breaker.get()
	row := store.ForeignObject{EngineID: info.ID, Kind: x.Kind, ID: x.ID, FoundAt: store.Now()}
	if row.ID == "" {
		row.ID = x.Name
	}
	message := fmt.Sprintf("%s %s (%s) was left alone: %s", x.Kind, x.Name, x.ID, x.Reason)
	if x.Installation != "" && !inTheWay {
		row.Kind, row.ID = "installation", x.Installation
		message = fmt.Sprintf("what another installation of Berth (%s) has on this engine is left alone, such as %s %s", x.Installation, x.Kind, x.Name)
		x.OrganizationID = ""
	}
	key := row.Kind + " " + row.ID
	l.strays.mu.Lock()
	told := l.strays.told[key]
	l.strays.mu.Unlock()
	if told {
		return
	}
	first := false
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) (err error) {
		if first, err = tx.InsertForeign(ctx, row); err != nil || !first {
			return err
		}
		return tx.InsertEvent(ctx, event(x.OrganizationID, berth.EventForeign, message))
	})
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("foreign object could not be recorded", "tenant", x.OrganizationID, "error", err)
		}
		return
	}
	if first {
		l.Log.Warn("foreign object left alone", "tenant", x.OrganizationID, "kind", x.Kind, "name", x.Name, "reason", x.Reason)
	}
	l.strays.mu.Lock()
	defer l.strays.mu.Unlock()
	if l.strays.told == nil {
		l.strays.told = make(map[string]bool)
	}
	l.strays.told[key] = true
}
