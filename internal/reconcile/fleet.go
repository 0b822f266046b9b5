package reconcile

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

// members is the fleet as passes last saw it, for those who watch and measure
// it between them.
type members struct {
	mu          sync.Mutex
	byOrg       map[string]sighting
	failedLooks map[string]int       // looks on end that failed, by organization id; few have any
	sorted      []*berth.Member      // all of them, by organization and name; nil after a change
	expiry      time.Time            // what was seen before counts no more
	checks      []*berth.HealthCheck // that members share, the latest last
}

// sighting is what a look at a tenant found to run.
type sighting struct {
	list []*berth.Member // never changed
	at   time.Time       // when the engine was asked
	well bool            // nothing was left to do, and the tenant was well
}

// mostChecks is how many different health checks are shared at a time: there are as
// many as blueprints in use.
const mostChecks = 32

// Fleet returns the instances that run, by organization and name. The list is
// everyone's and never changed: as long as nothing changes, it is the same one.
func (l *Loop) Fleet() []*berth.Member {
	l.fleet.mu.Lock()
	defer l.fleet.mu.Unlock()
	if l.fleet.sorted != nil {
		return l.fleet.sorted
	}
	all := make([]*berth.Member, 0, len(l.fleet.byOrg))
	for _, it := range l.fleet.byOrg {
		all = append(all, it.list...)
	}
	slices.SortFunc(all, func(a, b *berth.Member) int {
		if c := strings.Compare(a.OrganizationID, b.OrganizationID); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	l.fleet.sorted = slices.Clip(all)
	return l.fleet.sorted
}

// publish shows what a pass saw last. done says that it left nothing to do.
func (p *pass) publish(done bool) {
	if p.Tenant.OrganizationID == "" || p.blueprint == nil || p.saw.IsZero() {
		return
	}
	main := map[string]berth.HealthCheck{}
	for _, svc := range p.Stack.Services {
		if svc.Main {
			main[svc.Name] = svc.Health
		}
	}
	list := []*berth.Member{}
	for _, c := range p.Seen.Instances {
		if c.State != berth.InstanceRunning {
			continue
		}
		member := &berth.Member{
			OrganizationID: p.Tenant.OrganizationID, InstanceID: c.ID, Name: c.Name, Health: c.Health, HealthCause: c.HealthCause, StartedAt: c.StartedAt,
			Address: c.Address, StopGrace: c.StopGrace, Steady: p.Deployment == nil,
		}
		if check, isMain := main[c.Service]; isMain {
			member.Main, member.Check = true, p.fleet.shared(check)
		}
		list = append(list, member)
	}
	well := done && p.Deployment == nil && p.Tenant.Status == berth.StatusRunning && p.Tenant.Health == berth.HealthHealthy
	p.fleet.put(p.Tenant.OrganizationID, sighting{list, p.saw, well})
}

// shared returns the one copy of a check that all have who are asked like that.
func (m *members) shared(check berth.HealthCheck) *berth.HealthCheck {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, known := range m.checks {
		if reflect.DeepEqual(*known, check) {
			return known
		}
	}
	m.checks = append(m.checks[max(0, len(m.checks)+1-mostChecks):], &check)
	return &check
}

// put takes in a tenant's instances, as the engine showed them when it was asked;
// most looks find what the one before did.
func (m *members) put(organizationID string, now sighting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.byOrg[organizationID]
	if ok && reflect.DeepEqual(old.list, now.list) {
		now.list = old.list
	} else {
		m.sorted = nil
	}
	m.byOrg[organizationID] = now
}

// well reports whether the last pass over a tenant found it well and left nothing to do.
func (m *members) well(organizationID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byOrg[organizationID].well
}

// leave takes a tenant out of the fleet before it is removed: its addresses may
// be another one's at once.
func (l *Loop) leave(organizationID string) {
	l.fleet.mu.Lock()
	_, was := l.fleet.byOrg[organizationID]
	delete(l.fleet.byOrg, organizationID)
	if was {
		l.fleet.sorted = nil
	}
	l.fleet.mu.Unlock()
	if was && l.Left != nil {
		l.Left()
	}
}

func (m *members) of(organizationID string) []*berth.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byOrg[organizationID].list
}

// expire says that what was seen before then counts no more.
func (m *members) expire(then time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expiry = then
}

// expired reports whether a tenant was not seen since the last expiry.
func (m *members) expired(organizationID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.byOrg[organizationID]
	return !ok || it.at.Before(m.expiry)
}

// unseen reports whether a tenant was not seen since then.
func (m *members) unseen(organizationID string, then time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byOrg[organizationID].at.Before(then)
}

// differs reports whether other instances run than those that the last pass
// over a tenant saw.
func (m *members) differs(organizationID string, seen berth.Observed) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, known := m.byOrg[organizationID]
	if !known {
		return false // it is looked at anyway
	}
	running := 0
	for _, c := range seen.Instances {
		if c.State != berth.InstanceRunning {
			continue
		}
		running++
		if !slices.ContainsFunc(it.list, func(m *berth.Member) bool { return m.InstanceID == c.ID }) {
			return true
		}
	}
	return running != len(it.list)
}

// lookFailed counts a look at a tenant that failed, and returns how many on end did.
func (m *members) lookFailed(organizationID string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failedLooks[organizationID]++
	return m.failedLooks[organizationID]
}

// lookSucceeded says that a look at a tenant did not fail.
func (m *members) lookSucceeded(organizationID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.failedLooks, organizationID)
}

// keep forgets the tenants that are not among those that live.
func (m *members) keep(living map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.failedLooks, func(org string, _ int) bool { return !living[org] })
	for org := range m.byOrg {
		if !living[org] {
			delete(m.byOrg, org)
			m.sorted = nil
		}
	}
}
