package storm_test

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// wish is what a tenant is ordered to be.
type wish struct {
	there    bool
	running  bool
	version  int // of the image: 1 or 2
	replicas int
	cpu      float64
}

// order is one that was taken, and what it asks for if it succeeds.
type order struct {
	what       string
	deployment string
	change     func(*wish)
}

// tenant is one that lives through the storm. Only its own goroutine orders.
type tenant struct {
	name   string
	org    string
	port   int
	taken  []order
	before wish // before all that was taken
}

func (s *site) newTenant(n int) *tenant {
	s.Helper()
	tn := &tenant{name: string(rune('A' + n)), org: berth.NewID()}
	made, err := s.client().Provision(s.Ctx, client.Provision{OrganizationID: tn.org, TenantName: "Storm " + tn.name, ImageTag: s.images[0], Start: true}, testbed.Patient())
	s.Must(err)
	if !made.Done {
		s.Fatalf("tenant %s did not start in time", tn.name)
	}
	tn.port = made.ExternalPort
	t, err := s.client().Tenant(s.Ctx, tn.org)
	s.Must(err)
	tn.before = wish{there: true, running: true, version: 1, replicas: t.Replicas, cpu: t.CPULimit}
	return tn
}

// orders gives orders until the storm is over.
func (s *site) orders(tn *tenant, r *rand.Rand, over <-chan struct{}) {
	for {
		s.give(tn, r)
		select {
		case <-over:
			return
		case <-time.After(time.Duration(500+r.IntN(6000)) * time.Millisecond):
		}
	}
}

// give gives one order. That it does not fit what the tenant is now is an
// answer too.
func (s *site) give(tn *tenant, r *rand.Rand) {
	o := s.drawn(tn, r)
	key := berth.NewID()
	var id string
	err := s.call(key, func(c *client.Client, call client.Call) (err error) {
		id, err = o.give(c, call)
		return err
	})
	outcome := "order taken"
	var refused *client.Error
	switch {
	case err == nil && o.change == nil:
		outcome = "order cancelled"
	case err == nil:
		tn.taken = append(tn.taken, order{o.what, id, o.change})
	case errors.As(err, &refused):
		outcome = "order refused with " + refused.Code
	default:
		s.Error(err)
	}
	s.note(outcome, "%s: %s: deployment %s, %v", tn.name, o.what, id, err)
}

type drawn struct {
	what   string
	give   func(*client.Client, client.Call) (id string, err error)
	change func(*wish) // nil for a cancel, which asks for what was before
}

// drawn draws an order.
func (s *site) drawn(tn *tenant, r *rand.Rand) drawn {
	changed := func(c client.Changed, err error) (string, error) { return c.DeploymentID, err }
	switch n := r.IntN(100); {
	case n < 12:
		return drawn{"stop", func(c *client.Client, call client.Call) (string, error) { return changed(c.Stop(s.Ctx, tn.org, call)) },
			func(w *wish) { w.running = false }}
	case n < 20:
		return drawn{"cancel", func(c *client.Client, call client.Call) (string, error) {
			d, err := c.Cancel(s.Ctx, tn.org, call)
			return d.DeploymentID, err
		}, nil}
	case n < 37:
		return drawn{"start", func(c *client.Client, call client.Call) (string, error) { return changed(c.Start(s.Ctx, tn.org, call)) },
			func(w *wish) { w.running = true }}
	case n < 47:
		return drawn{"restart", func(c *client.Client, call client.Call) (string, error) {
			return changed(c.Restart(s.Ctx, tn.org, call))
		},
			func(w *wish) { w.running = true }}
	case n < 62:
		replicas, cpu := 1+r.IntN(2), []float64{0.25, 0.5, 1}[r.IntN(3)]
		return drawn{"scale", func(c *client.Client, call client.Call) (string, error) {
			return changed(c.Scale(s.Ctx, tn.org, client.Scale{Replicas: &replicas, CPULimit: &cpu}, call))
		}, func(w *wish) { w.replicas, w.cpu = replicas, cpu }}
	case n < 90:
		version := 1 + r.IntN(2)
		return drawn{"deploy " + s.images[version-1], func(c *client.Client, call client.Call) (string, error) {
			return changed(c.Deploy(s.Ctx, tn.org, client.Deploy{ImageTag: &s.images[version-1]}, call))
		}, func(w *wish) { w.version = version }}
	case n < 93:
		return drawn{"deprovision", func(c *client.Client, call client.Call) (string, error) {
			d, err := c.Deprovision(s.Ctx, tn.org, "delete", call)
			return d.DeploymentID, err
		}, func(w *wish) { w.there = false }}
	default:
		return drawn{"provision", func(c *client.Client, call client.Call) (string, error) {
			p, err := c.Provision(s.Ctx, client.Provision{OrganizationID: tn.org, TenantName: "Storm " + tn.name, ImageTag: s.images[0], Start: true}, call)
			return p.DeploymentID, err
		}, func(w *wish) {
			*w = wish{there: true, running: true, version: 1, replicas: tn.before.replicas, cpu: tn.before.cpu}
		}}
	}
}
