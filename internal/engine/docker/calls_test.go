package docker_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/unite-hub/berth"
)

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

// An id names one image for ever: what was resolved, or used before, is not
// inspected again for each container that is made.
func TestAnImageIsInspectedOnceHoweverManyContainersAreMade(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	var inspections atomic.Int64
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/images/") {
			inspections.Add(1)
		}
		through.ServeHTTP(w, r)
	})
	for what, resolve := range map[string]bool{"resolved": true, "known by its pin": false} {
		inspections.Store(0)
		e := open(t, o)
		s := stack(t)
		s.Run = false
		if resolve {
			pin, err := e.Resolve(t.Context(), shared.images.Local, nil, nil)
			must(t, err)
			s.Services[0].Image = pin
		}
		for replicas := range 3 {
			s.Services[0].Replicas = replicas + 1
			_, err := e.Apply(t.Context(), s)
			must(t, err)
		}
		other := stack(t)
		other.Run = false
		_, err := e.Apply(t.Context(), other)
		must(t, err)
		if n := inspections.Load(); n != 1 {
			t.Errorf("%s: the image was inspected %d times", what, n)
		}
		gone := stack(t)
		gone.Services[0].Image = "sha256:" + strings.Repeat("0", 64)
		_, err = e.Apply(t.Context(), gone)
		wantError(t, err, berth.CodeImageNotFound)
	}
}
