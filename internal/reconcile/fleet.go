package reconcile

import (
	"slices"
	"strings"
	"sync"

	"github.com/unite-hub/berth"
)

// members is the fleet as passes last saw it, for those who watch and measure
// it between them.
type members struct {
	mu    sync.Mutex
	byOrg map[string][]berth.Member
}

// Fleet returns the containers that run, by organization and name.
func (l *Loop) Fleet() []berth.Member {
	l.fleet.mu.Lock()
	defer l.fleet.mu.Unlock()
	all := make([]berth.Member, 0, len(l.fleet.byOrg))
	for _, list := range l.fleet.byOrg {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b berth.Member) int {
		if c := strings.Compare(a.OrganizationID, b.OrganizationID); c != 0 {
			return c
		}
		return strings.Compare(a.Instance.Name, b.Instance.Name)
	})
	return all
}

// publish shows what a pass saw last.
func (p *pass) publish() {
	if p.Tenant.OrganizationID == "" || p.blueprint == nil {
		return
	}
	main := map[string]berth.HealthCheck{}
	for _, svc := range p.Stack.Services {
		if svc.Main {
			main[svc.Name] = svc.Health
		}
	}
	list := []berth.Member{}
	for _, c := range p.Seen.Instances {
		if c.State != berth.InstanceRunning {
			continue
		}
		check, isMain := main[c.Service]
		list = append(list, berth.Member{
			OrganizationID: p.Tenant.OrganizationID, Instance: c, Main: isMain, Check: check, Settled: p.Deployment == nil,
		})
	}
	p.fleet.mu.Lock()
	defer p.fleet.mu.Unlock()
	p.fleet.byOrg[p.Tenant.OrganizationID] = list
}

// leave takes a tenant out of the fleet before it is removed: its addresses may
// be another one's at once.
func (l *Loop) leave(organizationID string) {
	l.fleet.mu.Lock()
	_, was := l.fleet.byOrg[organizationID]
	delete(l.fleet.byOrg, organizationID)
	l.fleet.mu.Unlock()
	if was && l.Left != nil {
		l.Left()
	}
}

func (m *members) of(organizationID string) []berth.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byOrg[organizationID]
}

func (m *members) knows(organizationID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.byOrg[organizationID]
	return ok
}

// keep forgets the tenants that are not among those that live.
func (m *members) keep(living []berth.Tenant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := make(map[string][]berth.Member, len(living))
	for _, t := range living {
		if list, ok := m.byOrg[t.OrganizationID]; ok {
			left[t.OrganizationID] = list
		}
	}
	m.byOrg = left
}
