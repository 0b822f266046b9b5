package reconcile

import (
	"context"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// waiters are those who await the end of a deployment.
type waiters struct {
	mu   sync.Mutex
	byID map[string]*waiter
}

type waiter struct {
	n    int
	over chan struct{}
}

func (w *waiters) join(deploymentID string) (over <-chan struct{}, release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	it := w.byID[deploymentID]
	if it == nil {
		it = &waiter{over: make(chan struct{})}
		w.byID[deploymentID] = it
	}
	it.n++
	return it.over, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if it.n--; it.n == 0 && w.byID[deploymentID] == it {
			delete(w.byID, deploymentID)
		}
	}
}

func (w *waiters) wake(deploymentID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it, ok := w.byID[deploymentID]; ok {
		close(it.over)
		delete(w.byID, deploymentID)
	}
}

// awaitPoll is how often Await looks at the store, for deployments that ended
// without the loop: superseded ones.
const awaitPoll = 500 * time.Millisecond

// Await returns when the deployment is over, or with ctx's error.
func (l *Loop) Await(ctx context.Context, deploymentID string) error {
	over, release := l.waiters.join(deploymentID)
	defer release()
	tick := time.NewTicker(awaitPoll)
	defer tick.Stop()
	for {
		var d berth.Deployment
		err := l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
			var err error
			d, err = tx.Deployment(ctx, deploymentID)
			return err
		})
		if err != nil || d.Over() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			over = nil // the store says so too: looked at above
		case <-tick.C:
		}
	}
}
