package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// orderPoll is how soon an order that another control plane took is found if
// its ring was lost.
const orderPoll = time.Second

// elsewhere reports whether a tenant is another control plane's to run.
func (l *Loop) elsewhere(t berth.Tenant) bool {
	return l.EngineID != "" && t.EngineID != "" && t.EngineID != l.EngineID
}

// keptElsewhere reports whether a tenant that no engine has taken up yet has
// volumes on an engine that is another control plane's.
func (l *Loop) keptElsewhere(t berth.Tenant, volumes []berth.VolumeRecord) bool {
	return l.EngineID != "" && t.EngineID == "" && slices.ContainsFunc(volumes, func(v berth.VolumeRecord) bool {
		return v.EngineID != "" && v.EngineID != l.EngineID
	})
}

// expected refuses an engine that answers in the place of the one that is led:
// whoever leads that one may be another.
func (l *Loop) expected(info berth.EngineInfo) error {
	if l.EngineID == "" || info.ID == l.EngineID {
		return nil
	}
	return berth.Errorf(berth.CodeEngineMismatch, "engine %s answers in the place of %s", info.ID, l.EngineID)
}

// pollOrders finds the orders that other control planes took, or took back, where
// there may be any.
func (l *Loop) pollOrders(ctx context.Context) error {
	if l.EngineID == "" {
		return nil
	}
	for last := (ordersElsewhere{}); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(orderPoll):
		}
		if now, err := l.pollOnce(ctx, last); err == nil { // else the scan says so
			last = now
		}
		// Ports that the control plane before may have had until now.
		for _, org := range l.routes.retry() {
			l.queue.addAfter(org, 0)
		}
	}
}

// ordersElsewhere are deployments, by organization id: those that a poll found
// open, and those that it found taken back while this loop was at work on them.
type ordersElsewhere struct{ open, takenBack map[string]string }

// pollOnce interrupts once for each deployment that began elsewhere, and once for
// each that ended there.
func (l *Loop) pollOnce(ctx context.Context, last ordersElsewhere) (ordersElsewhere, error) {
	now := ordersElsewhere{map[string]string{}, map[string]string{}}
	atWork := l.deployments.ids() // before the look: what begins after it is in neither
	err := l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		for _, engine := range l.engines() {
			open, err := tx.OpenDeployments(ctx, engine)
			if err != nil {
				return err
			}
			maps.Copy(now.open, open)
		}
		return nil
	})
	if err != nil {
		return last, err
	}
	for org, id := range now.open {
		if atWork[org] == id || last.open[org] == id {
			l.queue.addRateLimited(org)
		} else {
			l.Enqueue(org)
		}
	}
	still := l.deployments.ids() // without those that this loop ended
	for org, id := range atWork {
		if now.open[org] != "" || still[org] != id {
			continue
		}
		now.takenBack[org] = id
		if last.takenBack[org] != id {
			l.Enqueue(org)
		}
	}
	return now, nil
}
