// Package enginetest is the suite that every engine passes, and an in-memory
// engine that passes it too, so that tests of what stands above an engine can
// trust it.
package enginetest

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/reconcile"
)

// Harness is one engine under test, and what the suite needs around it.
type Harness struct {
	Engine reconcile.Engine
	// Stranger is another installation on the same engine.
	Stranger reconcile.Engine
	Manual   ManualChanges
	Images   Images

	// Subnet hands out /28s that nothing else uses.
	Subnet func() netip.Prefix

	// Replaces says that controllers of the engine's own replace an instance
	// that ends or goes, under another id.
	Replaces bool

	// Own returns a harness with a handle on the engine that only its caller
	// uses, and what cuts its calls. nil leaves out the tests that need it.
	Own func(t *testing.T) (Harness, Cut)
}

// Cut makes the n-th call through a handle from now fail: before it has an
// effect, or, of those calls that have one, after it, when only the answer is
// lost. reached tells whether there were that many, and ends the fault.
type Cut func(n int, after bool) (reached func() bool)

// cutTest prepares what an operation needs. try carries the operation out while
// one of its calls is cut, and tells whether there was such a call.
type cutTest func(t *testing.T, own Harness) (try func(cut cutNext) (reached bool))

// cutNext cuts that call of the next operation.
type cutNext func() (reached func() bool)

// lanes is how many tests share the calls of one operation.
const lanes = 2

// cutEverywhere tries an operation with its first call cut, the second and so on
// to the last: before the calls have their effect, and after it.
func (h Harness) cutEverywhere(t *testing.T, test cutTest) {
	for when, after := range map[string]bool{"before its effect": false, "after its effect": true} {
		for lane := range lanes {
			t.Run(when+", from call "+strconv.Itoa(lane+1), func(t *testing.T) {
				t.Parallel()
				own, cut := h.Own(t)
				try := test(t, own)
				for n := lane + 1; try(func() func() bool { return cut(n, after) }); n += lanes {
					if t.Failed() {
						t.Fatalf("with call %d cut", n)
					}
				}
			})
		}
	}
}

// Images that the engine has. App and Next run the same program, which listens
// on $PORT as user 65532 and answers
//
//	/health      200
//	/secret?name=N  mode, owner and content of a file in /run/secrets when it started
//	/env?name=N  the value of an environment variable
//	/put?v=TEXT  keeps TEXT in the file /data/value
//	/get         returns it
//	/lookup?name=N  the addresses of a name inside the network, sorted
//
// With the argument exit:N it ends at once with code N instead.
type Images struct {
	App, Next string // pins
	Broken    string // a pin; its program can't be executed, or ends at once
	Keeps     string // a pin: App, with /data declared as a volume
	Local     string // a reference that resolves to App without a registry
}

// ManualChanges are what people do by hand behind Berth's back. Kinds are "container",
// "network" and "volume".
type ManualChanges interface {
	// Kill ends a container's process as a person would: it stays down.
	Kill(t testing.TB, containerID string)
	// Remove removes an object by name, whatever still uses it.
	Remove(t testing.TB, kind, name string)
	// Add makes an object that is not Berth's. A container of it does not run.
	Add(t testing.TB, kind, name string, labels map[string]string)
	// Labels returns an object's labels; ok is false if there is no such object.
	Labels(t testing.TB, kind, name string) (labels map[string]string, ok bool)
	// Get asks the program behind an address.
	Get(t testing.TB, addr netip.AddrPort, path string) (body string, ok bool)
	// Rename, Pause, CutOff (from the tenant's network), Join (another network)
	// and Unlimit (processes) change a container that lives.
	Rename(t testing.TB, name, to string)
	Pause(t testing.TB, name string)
	CutOff(t testing.TB, name string)
	Join(t testing.TB, name string)
	Unlimit(t testing.TB, name string)
	// RemoveAll removes every object that has a tenant's name or label.
	RemoveAll(t testing.TB, organizationID string)
}

const (
	kindContainer = "container"
	kindNetwork   = "network"
	kindVolume    = "volume"
)

// within is how long anything that is waited for may take.
const within = time.Minute

// tenant is one tenant of one test.
type tenant struct {
	Harness
	t     *testing.T
	ctx   context.Context
	org   string
	stack berth.Stack
}

// tenant returns a new tenant that is swept when the test ends. Its stack runs
// App once, with one volume.
func (h Harness) tenant(t *testing.T) *tenant {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	org := berth.NewID()
	t.Cleanup(func() { h.Manual.RemoveAll(t, org) })
	volume := berth.VolumeName(org, "data")
	return &tenant{Harness: h, t: t, ctx: ctx, org: org, stack: berth.Stack{
		OrganizationID: org, Name: "Ada's \"bakery\"\u202e", Generation: 1, Project: berth.ContainerName(org), Run: true,
		Subnet: h.Subnet(), Network: berth.NetworkName(org),
		Volumes: []berth.Volume{{Name: volume}},
		Services: []berth.Service{{
			Name: "app", Main: true, Image: h.Images.App, Reference: "app:v1", Replicas: 1, Port: 3000, User: "65532:65532",
			Environment: []berth.EnvVar{{Name: "ODD", Value: "a\nb $HOME \"'=\\ ✓"}, {Name: "PORT", Value: "3000"}, {Name: "TENANT_ID", Value: org}},
			Limits:      berth.Limits{CPU: 0.5, MemoryMB: 256, DiskMB: 1024}, PidsLimit: 64,
			Mounts: []berth.Mount{{Volume: volume, Target: "/data"}},
			Tmpfs:  []berth.Tmpfs{{Target: "/tmp", SizeMB: 16}},
			Labels: map[string]string{"traefik.enable": "true"}, StopGrace: 5,
		}},
	}}
}

// next returns the stack of the next generation, changed.
func (x *tenant) next(change func(*berth.Stack)) berth.Stack {
	s := x.stack
	s.Generation++
	s.Services = slices.Clone(s.Services)
	s.Volumes = slices.Clone(s.Volumes)
	for i := range s.Services {
		s.Services[i].Environment = slices.Clone(s.Services[i].Environment)
		s.Services[i].Labels = maps.Clone(s.Services[i].Labels)
	}
	change(&s)
	x.stack = s
	return s
}

func (x *tenant) apply(s berth.Stack) berth.Observed {
	x.t.Helper()
	o, err := x.Engine.Apply(x.ctx, s)
	if err != nil {
		x.t.Fatalf("apply: %v", err)
	}
	return o
}

func (x *tenant) observe() berth.Observed {
	x.t.Helper()
	o, err := x.Engine.Observe(x.ctx, x.org)
	if err != nil {
		x.t.Fatalf("observe: %v", err)
	}
	return o
}

// runs waits until a container answers, and checks that it is this tenant's.
func (x *tenant) runs(o berth.Observed) {
	x.t.Helper()
	if len(o.Instances) == 0 {
		x.t.Fatal("there is no container")
	}
	for _, c := range o.Instances {
		if c.State != berth.InstanceRunning || !c.Address.IsValid() || c.StartedAt.IsZero() {
			x.t.Fatalf("container %s is %s at %v, started %v", c.Name, c.State, c.Address, c.StartedAt)
		}
		if got := x.get(c, "/env?name=TENANT_ID"); got != x.org {
			x.t.Fatalf("container %s answers as %q", c.Name, got)
		}
	}
}

// ended waits until an instance is seen down, or replaced.
func (x *tenant) ended(c berth.Instance) {
	x.t.Helper()
	eventually(x.t, c.Slot().String()+" has ended", func() bool {
		return slices.ContainsFunc(x.observe().Instances, func(now berth.Instance) bool {
			return now.Slot() == c.Slot() && (now.State == berth.InstanceExited || x.Replaces && now.ID != c.ID)
		})
	})
}

// get asks a container until it answers.
func (x *tenant) get(c berth.Instance, path string) (body string) {
	x.t.Helper()
	eventually(x.t, "container "+c.Name+" answers "+path, func() (ok bool) {
		body, ok = x.Manual.Get(x.t, c.Address, path)
		return ok
	})
	return body
}

func (x *tenant) fails(code berth.Code, s berth.Stack) error {
	x.t.Helper()
	_, err := x.Engine.Apply(x.ctx, s)
	wantCode(x.t, err, code)
	return err
}

// wantCode checks that an error can be acted on.
func wantCode(t *testing.T, err error, code berth.Code) {
	t.Helper()
	if got := berth.CodeOf(err); got != code {
		t.Fatalf("error has code %q, not %q: %v", got, code, err)
	}
}

// eventually polls until ok returns true, less often the longer that takes: many
// tests wait for one Engine at the same time. testbed.Pauses does the same, which this
// package may not import.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for pause := 5 * time.Millisecond; !ok(); pause = min(pause*5/4, 100*time.Millisecond) {
		select {
		case <-time.After(pause):
		case <-deadline.C:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func ids(o berth.Observed) (list []string) {
	for _, c := range o.Instances {
		list = append(list, c.ID)
	}
	return list
}
