package docker_test

import "testing"

// What people and probes ask for often costs one list, and one look at each of
// the tenant's own containers.
func TestALookAtInstancesCostsTheEngineLittle(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	s, other := stack(t), stack(t)
	s.Services[0].Replicas = 2
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	_, err = e.Apply(t.Context(), other)
	must(t, err)
	for _, c := range []struct {
		org       string
		instances int
	}{{s.OrganizationID, 2}, {other.OrganizationID, 1}} {
		before := p.calls.Load()
		seen, err := e.ObserveInstances(t.Context(), c.org)
		must(t, err)
		if got := p.calls.Load() - before; got != int64(1+c.instances) || len(seen.Instances) != c.instances {
			t.Errorf("a look at %d instances (found %d) took %d calls", c.instances, len(seen.Instances), got)
		}
	}
}
