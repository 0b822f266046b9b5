package reconcile

import (
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

// listings are what the last scan's list showed of tenants that no pass has looked
// at yet: after a start these are all, and each would have the engine go through
// everything that it holds.
type listings struct {
	mu    sync.Mutex
	byOrg map[string]listing
}

type listing struct {
	seen berth.Observed
	at   time.Time // when the engine was asked
}

// replace takes in what a list showed of some organizations.
func (l *listings) replace(organizationIDs []string, seen map[string]*berth.Observed, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byOrg = nil
	for _, org := range organizationIDs {
		if o := seen[org]; o != nil {
			if l.byOrg == nil {
				l.byOrg = make(map[string]listing, len(organizationIDs))
			}
			l.byOrg[org] = listing{*o, at}
		}
	}
}

// take returns what was listed of a tenant, once: what comes later looks anew.
func (l *listings) take(organizationID string) (it listing, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	it, ok = l.byOrg[organizationID]
	delete(l.byOrg, organizationID)
	return it, ok
}

// drop forgets a tenant that may have changed since the list.
func (l *listings) drop(organizationID string) { l.take(organizationID) }
