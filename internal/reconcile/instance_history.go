package reconcile

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

// histories are what the loop remembers of tenants beyond their deployments.
// After a crash they are made anew from what the store and the engine say.
type histories struct {
	mu    sync.Mutex
	byOrg map[string]*tenantHistory
}

// tenantHistory is there for each tenant, most of which have one instance or a few
// and no crashes: a map for each of these would be larger than all that is in it.
type tenantHistory struct {
	proven    few[time.Time]        // by instance id: the start since which it was found well
	instances few[*instanceHistory] // by instance id
	ends      map[string]ending     // by instance id, as events told them; nil while there are none
	toldAt    map[string]time.Time  // by service, when its crashes were last told; nil if never
	oomAt     time.Time             // when a kill for want of memory was last told
}

// few is a map of a few entries.
type few[T any] []struct {
	key   string
	value T
}

func (f few[T]) get(key string) (value T, ok bool) {
	for _, it := range f {
		if it.key == key {
			return it.value, true
		}
	}
	return value, false
}

func (f *few[T]) put(key string, value T) {
	for i, it := range *f {
		if it.key == key {
			(*f)[i].value = value
			return
		}
	}
	*f = append(*f, struct {
		key   string
		value T
	}{key, value})
}

// keep drops the entries whose keys are not among those.
func (f *few[T]) keep(keys map[string]bool) {
	list := *f
	n := 0
	for _, it := range list {
		if keys[it.key] {
			list[n] = it
			n++
		}
	}
	clear(list[n:])
	*f = list[:n]
}

// recall returns which of the instances that are seen were found well since
// they started. Of a tenant that is met for the first time, some are believed;
// what had been given up stays so.
func (s *histories) recall(t berth.Tenant, changing bool, seen berth.Observed) (proven map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.byOrg[t.OrganizationID]
	if it == nil {
		it = &tenantHistory{}
		s.byOrg[t.OrganizationID] = it
		for _, c := range seen.Instances {
			if believed(t, changing, c) {
				it.proven.put(c.ID, c.StartedAt)
			}
			if !plan.IsUp(c) && t.Status == berth.StatusFailed && strings.HasPrefix(t.Cause, plan.GivenUp) {
				it.instances.put(c.ID, &instanceHistory{slot: c.Slot(), hash: c.Hash, restarts: c.Restarts, started: c.StartedAt, since: time.Now(), crashes: plan.MaxCrashes})
			}
		}
	}
	proven = make(map[string]bool, len(it.proven))
	for _, c := range seen.Instances {
		if at, ok := it.proven.get(c.ID); ok && at.Equal(c.StartedAt) && c.State == berth.InstanceRunning {
			proven[c.ID] = true
		}
	}
	return proven
}

// believed reports whether an instance is taken to be well that nobody has
// asked yet: the tenant was well when it was last recorded, or nobody could
// tell, and the instance ran by then. What a deployment that is not over made
// is not.
func believed(t berth.Tenant, changing bool, c berth.Instance) bool {
	return t.Status == berth.StatusRunning && (t.Health == berth.HealthHealthy || t.Health == berth.HealthUnknown) &&
		!(changing && c.Generation >= t.Generation) && !c.StartedAt.Truncate(time.Microsecond).After(t.LastStartedAt)
}

// prove notes that instances were found well.
func (s *histories) prove(organizationID string, list []berth.Instance) {
	s.update(organizationID, func(it *tenantHistory) {
		for _, c := range list {
			it.proven.put(c.ID, c.StartedAt)
		}
	})
}

// forgetGone forgets the instances that are not there any more. Where the engine put
// another one of the same version in the place of one that is gone, that one has
// its past; what we made anew ourselves (changed) begins one.
func (s *histories) forgetGone(seen berth.Observed, changed bool) {
	there := make(map[string]bool, len(seen.Instances))
	for _, c := range seen.Instances {
		there[c.ID] = true
	}
	s.update(seen.OrganizationID, func(it *tenantHistory) {
		if !changed {
			for _, c := range seen.Instances {
				it.inherit(c, there)
			}
		}
		it.proven.keep(there)
		it.instances.keep(there)
		maps.DeleteFunc(it.ends, func(id string, _ ending) bool { return !there[id] })
	})
}

// inherit gives an instance the past of one that is gone and whose place it has.
// That it had to be replaced is a crash if an event told that it ended.
func (it *tenantHistory) inherit(c berth.Instance, there map[string]bool) {
	if _, known := it.instances.get(c.ID); known {
		return
	}
	for i, was := range it.instances {
		id, l := was.key, was.value
		if there[id] || l.slot != c.Slot() || l.hash != c.Hash {
			continue
		}
		it.instances[i].key = c.ID
		if end := it.ends[id]; end.last != nil {
			it.ends[c.ID], l.replaced = end, true
		}
		return
	}
}

func (s *histories) update(organizationID string, f func(*tenantHistory)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.byOrg[organizationID]; it != nil {
		f(it)
	}
}

func (s *histories) forget(organizationID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byOrg, organizationID)
}
