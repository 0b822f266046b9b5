package reconcile

import (
	"context"
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

// pollOrders finds the orders that other control planes took, where there may be any.
func (l *Loop) pollOrders(ctx context.Context) error {
	if l.EngineID == "" {
		return nil
	}
	before := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(orderPoll):
		}
		var open []string
		err := l.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
			open, err = tx.OpenDeployments(ctx)
			return err
		})
		if err != nil {
			continue // the scan says so
		}
		known := before
		before = make(map[string]bool, len(open))
		for _, org := range open {
			if before[org] = true; known[org] {
				l.queue.addRateLimited(org)
			} else {
				l.Enqueue(org)
			}
		}
		// Ports that the control plane before may have had until now.
		for _, org := range l.routes.retry() {
			l.queue.addAfter(org, 0)
		}
	}
}
