// Package reconcile compares what should be with what is, and takes the next
// step. It is the only writer of engines and routes.
//
// Orders ring the loop, engine events hint to it, and a full scan at an
// interval finds whatever both missed: rings and hints may be lost, the scan
// is the truth.
package reconcile

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Config is how the loop paces itself. Zero fields take the defaults.
type Config struct {
	ScanInterval    time.Duration // between full scans; 10 s
	Patience        time.Duration // for a deployment's first healthy answer; 60 s
	Observe         time.Duration // that a new generation must be well before traffic moves to it; none
	TransitionDrain time.Duration // for requests with an earlier generation, once traffic has moved; 30 s
	HoldDrain       time.Duration // for requests under way, before what serves them is stopped; 5 s
	CallDeadline    time.Duration // of one whole engine operation; 2 min
	PullDeadline    time.Duration // of making an image available; 10 min
	LookDeadline    time.Duration // of observing one tenant; 15 s
	ProbeRound      time.Duration // of probing a starting tenant in quick succession; 2 s
	Width           int           // places in the lanes of starts and of pulls, from which newLanes derives all others; 8
	Pool            netip.Prefix  // that another subnet is taken from if one clashes
	HostNetworks    func() ([]netip.Prefix, error)

	// EngineID is set where other control planes may lead other engines in the
	// same database: tenants of those are left to them.
	EngineID string

	// Term of this control plane's lease, 0 where it needs none. Routes carry it.
	Term int64
}

func (c Config) withDefaults() Config {
	c.ScanInterval = cmp.Or(c.ScanInterval, 10*time.Second)
	c.Patience = cmp.Or(c.Patience, time.Minute)
	c.TransitionDrain = cmp.Or(c.TransitionDrain, 30*time.Second)
	c.HoldDrain = cmp.Or(c.HoldDrain, 5*time.Second)
	c.CallDeadline = cmp.Or(c.CallDeadline, 2*time.Minute)
	c.PullDeadline = cmp.Or(c.PullDeadline, 10*time.Minute)
	c.LookDeadline = cmp.Or(c.LookDeadline, 15*time.Second)
	c.ProbeRound = cmp.Or(c.ProbeRound, 2*time.Second)
	c.Width = cmp.Or(c.Width, 8)
	if !c.Pool.IsValid() {
		c.Pool = berth.DefaultPool()
	}
	return c
}

// Parts are what the loop works with.
type Parts struct {
	Store   store.Store
	Engine  Engine
	Edge    Edge
	Prober  Prober
	Catalog *store.Catalog[Blueprint]
	Files   Files
	Secrets Secrets
	Vitals  Vitals                 // may be nil: then nothing is known between passes
	Ended   func(berth.Deployment) // may be nil; told of each deployment that is over, and must not block
	Left    func()                 // may be nil; called when a tenant has left the fleet, and must not block
	Killed  func(org string)       // may be nil; told of each process that the kernel killed for want of memory, and must not block
	Log     *slog.Logger
}

// Loop is the control loop. Make it with New; Enqueue, Await, Look, Progress and
// EngineInfo may be called at any time, before and during Run.
type Loop struct {
	Config
	Parts
	queue       *queue
	lanes       lanes
	routes      *routes
	breaker     breaker
	deployments deployments
	histories   histories
	fleet       members
	waiters     waiters
	rescan      chan struct{} // asks for a scan now
	strays      strays
	listed      listings
	outlines    map[string]outline // by organization id; only the scan touches it
}

// New returns a loop that does nothing until Run.
func New(c Config, p Parts) *Loop {
	l := &Loop{Config: c.withDefaults(), Parts: p, routes: newRoutes(p.Edge, c.Term), rescan: make(chan struct{}, 1)}
	l.lanes = newLanes(l.Width)
	l.queue = newQueue(l.pass)
	l.deployments.byOrg = make(map[string]deploymentProgress)
	l.fleet.byOrg, l.fleet.failedLooks = make(map[string]sighting), make(map[string]int)
	l.outlines = make(map[string]outline)
	l.histories.byOrg = make(map[string]*tenantHistory)
	l.waiters.byOrg = make(map[string]map[chan struct{}]bool)
	l.breaker.broken = make(chan struct{}, 1)
	return l
}

// Run reconciles until ctx ends. It returns when no pass runs any more.
// ready is called once the routes of all tenants are in force, or the engine
// did not answer in time.
func (l *Loop) Run(ctx context.Context, ready func()) error {
	first, cancel := context.WithTimeout(ctx, l.LookDeadline)
	l.pingEngine(first)
	l.restoreRoutes(first)
	cancel()
	ready()
	g, ctx := errgroup.WithContext(ctx)
	l.queue.open(ctx)
	g.Go(func() error { return l.scanAll(ctx) })
	g.Go(func() error { return l.followEvents(ctx) })
	g.Go(func() error { return l.watchEngine(ctx) })
	g.Go(func() error { return l.pollOrders(ctx) })
	g.Go(func() error { return l.housekeep(ctx) })
	err := g.Wait()
	l.queue.close()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Enqueue says that a tenant's desired state changed.
func (l *Loop) Enqueue(organizationID string) {
	l.waiters.wake(organizationID) // the order may have replaced what they await
	l.queue.preempt(organizationID)
}

// Judged says that the monitor has judged an instance for the first time, or otherwise
// than before. Where the tenant was found well and all its instances are, nothing is new.
// Unlike Enqueue it interrupts nothing, and back-off stays in force.
func (l *Loop) Judged(organizationID string) {
	busy := l.queue.knows(organizationID) // before the fleet is asked: a pass that has ended has shown what it found
	if busy || !l.fleet.well(organizationID) || l.anyUnwell(organizationID) {
		l.queue.add(organizationID)
	}
}

// Progress tells how far a deployment under way has come.
func (l *Loop) Progress(deploymentID string) (berth.Progress, bool) {
	return l.deployments.progress(deploymentID)
}

// EngineInfo is what was last known of the engine; ok is false while it does
// not answer.
func (l *Loop) EngineInfo() (info berth.EngineInfo, ok bool) { return l.breaker.get() }

// Look sees one tenant's instances now. It writes nothing: if nothing runs any more of
// what the last pass saw to run, with no deployment at work, a pass comes soon.
func (l *Loop) Look(ctx context.Context, organizationID string) (berth.Observed, error) {
	ctx, cancel := context.WithTimeout(ctx, l.LookDeadline)
	defer cancel()
	observe := l.Engine.Observe
	if o, ok := l.Engine.(InstanceObserver); ok {
		observe = o.ObserveInstances
	}
	seen, err := observe(ctx, organizationID)
	if err == nil && len(upstreams(seen)) == 0 && slices.ContainsFunc(l.fleet.of(organizationID), func(m *berth.Member) bool { return m.Steady }) {
		l.queue.addAfter(organizationID, 0)
	}
	return seen, err
}
