package reconcile

import (
	"context"
	"sync"

	"github.com/unite-hub/berth/internal/store"
)

// waiters are those who await the end of a deployment, by organization.
type waiters struct {
	mu    sync.Mutex
	byOrg map[string]map[chan struct{}]bool
}

// join returns a channel that holds a token whenever a deployment of the
// organization may have ended.
func (w *waiters) join(organizationID string) (_ <-chan struct{}, release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := make(chan struct{}, 1)
	if w.byOrg[organizationID] == nil {
		w.byOrg[organizationID] = make(map[chan struct{}]bool)
	}
	w.byOrg[organizationID][news] = true
	return news, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.byOrg[organizationID], news); len(w.byOrg[organizationID]) == 0 {
			delete(w.byOrg, organizationID)
		}
	}
}

// wake has all who await a deployment of the organization look at it.
func (w *waiters) wake(organizationID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for news := range w.byOrg[organizationID] {
		select {
		case news <- struct{}{}:
		default:
		}
	}
}

// Await returns when the deployment is over, or with ctx's error. An order that
// replaces a deployment ends it before the loop gets to know, and wakes too.
func (l *Loop) Await(ctx context.Context, deploymentID string) error {
	return store.AwaitDeployment(ctx, l.Store, deploymentID, l.waiters.join)
}
