package reconcile

import (
	"context"
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

// poll finds the orders that other control planes took, where there may be any.
func (l *Loop) poll(ctx context.Context) error {
	if l.EngineID == "" {
		return nil
	}
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
		// Ports too, that the control plane before may have had until now.
		for _, org := range append(open, l.routes.retry()...) {
			l.queue.remind(org, 0)
		}
	}
}
