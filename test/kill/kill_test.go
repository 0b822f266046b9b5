// Package kill_test kills the real control plane, as SIGKILL does, at every
// call by which it changes the Engine, before the call has its effect and
// after it, and right after every acknowledgement. Started again, it must end
// where a clean run ends.
package kill_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "kill", &rig)) }

// within bounds everything that is waited for.
const within = 2 * time.Minute * testbed.Crowded

// op is an order, and what it takes to be able to give it.
type op struct {
	name    string
	prepare []func(s *site, org string) error
	order   func(s *site, org string, call client.Call) error
}

func ops() []op {
	replicas, cpu, two := 3, 1.0, rig.ImageTwo
	provision := func(s *site, org string, call client.Call, start bool) error {
		_, err := s.client.Provision(s.Ctx, client.Provision{OrganizationID: org, TenantName: "Kill " + org[:8], ImageTag: rig.ImageOne, Start: start}, call)
		return err
	}
	running := func(s *site, org string) error { return provision(s, org, testbed.Patient(), true) }
	stopped := func(s *site, org string) error { return provision(s, org, testbed.Patient(), false) }
	of := func(name, source string) func(*site, string) error {
		return func(s *site, org string) error {
			_, err := s.client.ApplyBlueprint(s.Ctx, []byte(source))
			if err == nil {
				_, err = s.client.Provision(s.Ctx, client.Provision{OrganizationID: org, TenantName: "Kill " + org[:8], Blueprint: name, ImageTag: rig.ImageOne, Start: true}, testbed.Patient())
			}
			return err
		}
	}
	deploy := func(s *site, org string, c client.Call) error {
		_, err := s.client.Deploy(s.Ctx, org, client.Deploy{ImageTag: &two}, c)
		return err
	}
	onTwo := func(s *site, org string) error { return deploy(s, org, testbed.Patient()) }
	type steps = []func(*site, string) error
	return []op{
		{"provision and start", nil, func(s *site, org string, c client.Call) error { return provision(s, org, c, true) }},
		{"stop", steps{running}, func(s *site, org string, c client.Call) error { _, err := s.client.Stop(s.Ctx, org, c); return err }},
		{"start", steps{stopped}, func(s *site, org string, c client.Call) error { _, err := s.client.Start(s.Ctx, org, c); return err }},
		{"scale", steps{running}, func(s *site, org string, c client.Call) error {
			_, err := s.client.Scale(s.Ctx, org, client.Scale{CPULimit: &cpu, Replicas: &replicas}, c)
			return err
		}},
		{"deploy", steps{running}, deploy},
		{"deploy one of two services", steps{of("pair", fmt.Sprintf(pair, rig.ImageOne))}, deploy},
		{"deploy stop-first", steps{of("held", held)}, deploy},
		{"roll back", steps{running, onTwo}, func(s *site, org string, c client.Call) error {
			_, err := s.client.Rollback(s.Ctx, org, client.Rollback{}, c)
			return err
		}},
		{"deprovision", steps{running}, func(s *site, org string, c client.Call) error {
			_, err := s.client.Deprovision(s.Ctx, org, "delete", c)
			return err
		}},
	}
}

// pair has a service that a deployment changes, beside the old one and found by
// its name only later, and one that it carries over.
const pair = `name: pair
services:
  web:
    image: berth-demo:1
    user: "1001:1001"
  companion:
    image: %s
    user: "1001:1001"
x-berth: {service: web, port: 3000, health: {path: /api/health}}
`

// held has a volume that no two generations may write to.
const held = `name: held
services:
  web:
    image: berth-demo:1
    user: "1001:1001"
    volumes: ["uploads:/app/public/uploads"]
volumes: {uploads: {}}
x-berth: {service: web, port: 3000, health: {path: /api/health}}
`

func TestKilledAtAnyPointBerthEndsWhereACleanRunEnds(t *testing.T) {
	for _, o := range ops() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			org := s.ready(o)
			s.proxy.reset()
			if err := o.order(s, org, testbed.Patient()); err != nil {
				t.Fatal(err)
			}
			calls := s.proxy.calls()
			if calls == 0 {
				t.Fatal("the order changed nothing in the Engine")
			}
			want := s.converged(org, nil)
			s.clear(org)
			t.Logf("%d calls, so %d points, and the acknowledgement", calls, 2*calls)
			for n := 1; n <= calls; n++ {
				for _, after := range []bool{false, true} {
					s.killAt(o, n, after, want)
				}
			}
			s.killWhenAcknowledged(o, want)
		})
	}
}

// killAt kills the control plane at the n-th change of the Engine.
func (s *site) killAt(o op, n int, after bool, want state) {
	s.Helper()
	org := s.ready(o)
	killed := s.proxy.killAt(n, after, s.kill)
	err := o.order(s, org, testbed.Patient())
	select {
	case <-killed:
	case <-time.After(within):
		s.Fatalf("call %d was never made (%v)\n%s", n, err, s.process.Log())
	}
	s.expect(o, org, fmt.Sprintf("call %d of %s, after its effect: %v", n, o.name, after), want)
}

// killWhenAcknowledged kills the control plane as soon as the order is
// answered: what was acknowledged is on disk.
func (s *site) killWhenAcknowledged(o op, want state) {
	s.Helper()
	org := s.ready(o)
	if err := o.order(s, org, client.Call{Wait: -1}); err != nil {
		s.Fatal(err)
	}
	s.kill()
	s.expect(o, org, o.name+" acknowledged", want)
}

func (s *site) expect(o op, org, where string, want state) {
	s.Helper()
	s.start()
	if got := s.converged(org, &want); !reflect.DeepEqual(got, want) {
		s.Errorf("killed at %s:\ngot  %+v\nwant %+v\n%s", where, got, want, tail(s.process.Log()))
	}
	s.clear(org)
}

func tail(log string) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// ready prepares a new tenant for an order.
func (s *site) ready(o op) string {
	s.Helper()
	org := berth.NewID()
	s.orgs = append(s.orgs, org)
	for _, prepare := range o.prepare {
		if err := prepare(s, org); err != nil {
			s.Fatalf("prepare %s: %v\n%s", o.name, err, tail(s.process.Log()))
		}
	}
	return org
}
