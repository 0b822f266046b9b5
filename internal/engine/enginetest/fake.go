package enginetest

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

// Fake is an engine in memory. It passes the same suite as the real ones, and
// lets a test do what people, kernels and networks do. Everything is
// deterministic: ids are numbered, and steps are taken one after another.
//
// Whether a container answers is asked of the fake: a prober of a test calls
// Healthy. Its time is the zero time plus one second per start, so that it
// needs no clock.
type Fake struct {
	*machine
	installation string
}

// Step is one small step of the fake, as Faults sees it.
type Step struct {
	Op     string // such as "create container tenant_…"; reads are "info", "resolve", "pull …", "observe", "list"
	Tenant string // organization id; "" for list, info and resolve
	Read   bool   // it changes nothing
	After  bool   // false: about to be taken; true: taken, its answer on the way
}

// Faults is called before and after each step, without any lock held. An error
// before a step keeps it from being taken; after it, only the answer is lost.
// Either ends the call with that error. To hang, wait for ctx and return its
// error. To crash, return ErrCrash and let go of what called.
type Faults func(ctx context.Context, s Step) error

// ErrCrash marks the end of the process that called. The fake does nothing
// special with it.
var ErrCrash = berth.Errorf(berth.CodeInternal, "crashed here")

// Program is how containers of an image behave.
type Program struct {
	ExitCode int      // not 0: it ends at once with this code, and is started again and again
	Deaf     bool     // it runs and never listens
	Sick     bool     // it answers, and is not well
	Unwell   bool     // its own health check does not succeed
	Volumes  []string // paths that the image declares as volumes
}

// machine is what every installation on the same engine shares.
type machine struct {
	mu         sync.Mutex
	id         string
	cores      int
	unrouted   bool
	down       bool
	findings   []berth.EngineFinding
	own        *controllers // nil for an engine that does as it is told
	faults     Faults
	last       int // number of the latest id
	containers map[string]*fakeContainer
	networks   map[string]*fakeNetwork
	volumes    map[string]*fakeVolume
	images     map[string]Program     // by pin
	local      map[string]string      // reference to pin
	remote     map[string]remoteImage // reference to what its registry says
	watchers   map[chan berth.Hint]struct{}
	data       map[string]string // "volume path" to content, as /put wrote it
	starts     map[string]int    // how often a container of this name was started
	writers    []string          // volumes that two generations held at the same time, and must not
}

type remoteImage struct {
	pin        string
	err        error
	size, rate int64 // bytes, and bytes a second; 0: it comes at once
}

type fakeObject struct {
	id, name string
	labels   map[string]string
}

type fakeContainer struct {
	fakeObject
	service  berth.Service
	stored   []berth.Mount // that its image declares
	replica  int
	state    berth.InstanceState
	exit     int
	oom      bool
	restarts int
	last     int // exit code of its latest end
	started  time.Time
	network  string     // id; "" while not connected
	address  netip.Addr // while it runs
	port     int        // on the loopback address, if the engine is not routed
	named    bool       // found by its service's name inside the network
	besides  []string   // networks that someone connected it to
	pids     int64      // limit of processes in force
	keep     bool       // it was ordered to run: the engine's own controllers see to it, if it has any
	limits   berth.Limits
}

type fakeNetwork struct {
	fakeObject
	subnet netip.Prefix
}

type fakeVolume struct {
	fakeObject
	shared bool // as the stack said that was applied last
}

// NewFake returns an engine with two cores that has no images.
func NewFake() *Fake {
	return &Fake{installation: "fake-installation", machine: &machine{
		id: "fake-engine", cores: 2,
		containers: map[string]*fakeContainer{}, networks: map[string]*fakeNetwork{}, volumes: map[string]*fakeVolume{},
		images: map[string]Program{}, local: map[string]string{}, remote: map[string]remoteImage{},
		watchers: map[chan berth.Hint]struct{}{}, data: map[string]string{}, starts: map[string]int{},
	}}
}

// Stranger returns another installation of Berth on the same engine.
func (f *Fake) Stranger(installation string) *Fake {
	return &Fake{installation: installation, machine: f.machine}
}

// SetFaults puts faults in force; nil ends them.
func (f *Fake) SetFaults(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// SetRouted tells whether the host reaches container addresses.
func (f *Fake) SetRouted(routed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unrouted = !routed
}

// SetFindings tells what an operator should know of the engine.
func (f *Fake) SetFindings(findings ...berth.EngineFinding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.findings = findings
}

// SetDown stops the engine, so that every call fails, or starts it again.
// Containers go on.
func (f *Fake) SetDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
	if down {
		for w := range f.watchers {
			close(w)
			delete(f.watchers, w)
		}
	}
}

// step takes one step between its faults. fn runs under the lock.
func (f *Fake) step(ctx context.Context, s Step, fn func() error) error {
	f.mu.Lock()
	faults := f.faults
	f.mu.Unlock()
	around := func(after bool) error {
		if err := ctx.Err(); err != nil && !after {
			return err
		}
		if faults == nil {
			return nil
		}
		s.After = after
		return faults(ctx, s)
	}
	err := around(false)
	if err == nil {
		err = f.locked(func() error {
			if err := f.conflict(s); err != nil {
				return err
			}
			return fn()
		})
		if late := around(true); late != nil && err == nil {
			err = late
		}
	}
	return asError(err, s)
}

func (f *Fake) locked(fn func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return berth.Errorf(berth.CodeEngineUnavailable, "The engine can't be reached").WithHint("start it")
	}
	return fn()
}

func asError(err error, s Step) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*berth.Error); ok {
		return e.WithOp(s.Op, s.Tenant)
	}
	return berth.Errorf(berth.CodeEngineUnavailable, "The engine did not answer: %w", err).
		WithHint("it is safe to repeat").WithOp(s.Op, s.Tenant)
}

// nextID returns a new id. The lock is held.
func (f *Fake) nextID(kind string) string {
	f.last++
	return kind + "-" + strconv.Itoa(f.last)
}

// Info identifies the engine.
func (f *Fake) Info(ctx context.Context) (info berth.EngineInfo, err error) {
	err = f.step(ctx, Step{Op: "info", Read: true}, func() error {
		info = berth.EngineInfo{ID: f.id, Name: "fake", Version: "1", Cores: f.cores, Routed: !f.unrouted, Findings: f.findings}
		return nil
	})
	return info, err
}

// Observe looks at one tenant.
func (f *Fake) Observe(ctx context.Context, organizationID string) (o berth.Observed, err error) {
	err = f.step(ctx, Step{Op: "observe", Tenant: organizationID, Read: true}, func() error {
		o = f.show(f.observed(organizationID))
		return nil
	})
	return o, err
}

// Inspect looks closer at what a list showed of a tenant.
func (f *Fake) Inspect(ctx context.Context, listed berth.Observed) (berth.Observed, error) {
	o := listed
	err := f.step(ctx, Step{Op: "inspect", Tenant: o.OrganizationID, Read: true}, func() error {
		o.Instances = nil
		for _, c := range listed.Instances {
			if now := f.containers[c.ID]; now != nil {
				o.Instances = append(o.Instances, f.seen(now))
			}
		}
		return nil
	})
	return o, err
}

// ObserveInstances looks at one tenant's instances.
func (f *Fake) ObserveInstances(ctx context.Context, organizationID string) (o berth.Observed, err error) {
	err = f.step(ctx, Step{Op: "observe instances", Tenant: organizationID, Read: true}, func() error {
		o = berth.Observed{OrganizationID: organizationID, Instances: f.show(f.observed(organizationID)).Instances}
		return nil
	})
	return o, err
}

// List looks at everything.
func (f *Fake) List(ctx context.Context) (inv berth.Inventory, err error) {
	err = f.step(ctx, Step{Op: "list", Read: true}, func() error {
		tenants := f.byTenant()
		for _, org := range slices.Sorted(maps.Keys(tenants)) {
			o := f.describe(org, tenants[org])
			for i := range o.Instances {
				c := &o.Instances[i]
				c.CPU, c.MemoryMB = 0, 0
			}
			if o.Network || len(o.Instances)+len(o.Volumes) > 0 {
				inv.Tenants = append(inv.Tenants, o)
			} else {
				inv.Foreign = append(inv.Foreign, o.Foreign...)
			}
		}
		return nil
	})
	return inv, err
}

// seal stands for the real engine's: it says what it covers.
func (f *Fake) seal(kind, name, org, generation, hash string) string {
	return strings.Join([]string{f.installation, kind, name, org, generation, hash}, "|")
}

func (f *Fake) sealed(labels map[string]string, kind, name string, s berth.Stack, hash string) map[string]string {
	generation := strconv.Itoa(s.Generation)
	labels[berth.LabelTenantID], labels[berth.LabelInstallation] = s.OrganizationID, f.installation
	labels[berth.LabelGeneration], labels[berth.LabelSpecHash] = generation, hash
	labels[berth.LabelSeal] = f.seal(kind, name, s.OrganizationID, generation, hash)
	return labels
}

func (f *Fake) ours(kind string, o fakeObject) bool {
	l := o.labels
	fits := func(name string) bool {
		return l[berth.LabelSeal] == f.seal(kind, name, l[berth.LabelTenantID], l[berth.LabelGeneration], l[berth.LabelSpecHash])
	}
	if l[berth.LabelSeal] == "" || kind != kindContainer {
		return l[berth.LabelSeal] != "" && fits(o.name)
	}
	generation, _ := strconv.Atoi(l[berth.LabelGeneration])
	replica, _ := strconv.Atoi(l[berth.LabelReplica])
	names := namesOf(l[berth.LabelTenantID], berth.Instance{Generation: generation, Service: l[berth.LabelService], Replica: replica})
	return fits(o.name) || slices.Contains(names, o.name) && slices.ContainsFunc(names, fits)
}

// observed is what there is of one tenant. The lock is held.
func (f *Fake) observed(org string) berth.Observed { return f.describe(org, f.objectsOf(org)) }

// describe puts what concerns a tenant in Berth's words. The lock is held.
func (f *Fake) describe(org string, have objects) berth.Observed {
	o := berth.Observed{OrganizationID: org}
	have.each(func(kind string, x fakeObject) {
		if !f.ours(kind, x) {
			one := berth.Foreign{Kind: kind, ID: x.id, Name: x.name, OrganizationID: org, Reason: "its seal does not fit"}
			if i := x.labels[berth.LabelInstallation]; i != f.installation && x.labels[berth.LabelSeal] != "" {
				one.Installation = i
			}
			o.Foreign = append(o.Foreign, one)
		}
	})
	for _, n := range have.networks {
		if !o.Network && f.ours(kindNetwork, n.fakeObject) {
			o.Network, o.Subnet = true, n.subnet
		}
	}
	for _, v := range have.volumes {
		if f.ours(kindVolume, v.fakeObject) {
			o.Volumes = append(o.Volumes, v.name)
		}
	}
	for _, c := range have.containers {
		if f.ours(kindContainer, c.fakeObject) {
			o.Instances = append(o.Instances, f.seen(c))
		}
	}
	return o
}

// Starts is how often a container of this name was started.
func (f *Fake) Starts(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts[name]
}

func (f *Fake) addressOf(c *fakeContainer) netip.AddrPort {
	switch {
	case c.state != berth.InstanceRunning || c.service.Port == 0:
		return netip.AddrPort{}
	case f.unrouted:
		if c.port == 0 {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(c.port))
	case f.networks[c.network] == nil:
		return netip.AddrPort{}
	default:
		return netip.AddrPortFrom(c.address, uint16(c.service.Port))
	}
}

// State describes a tenant's containers, one a line.
func (f FakeManual) State(org string) (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.objectsOf(org).containers {
		out = append(out, c.name+" "+string(c.state)+" "+c.service.Image[7:9])
	}
	return out
}
