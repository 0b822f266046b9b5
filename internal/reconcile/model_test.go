package reconcile_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// The model test gives random orders to a few tenants while instances die,
// things are removed by hand, the engine fails, and the process crashes in the
// middle of things. Whenever all is calm again, what runs must be what a
// simple model says, and nothing that was acknowledged may be missing.

const modelTenants = 3

// act is one thing that happens.
type act struct {
	Kind   string
	Tenant int
	Image  string // of provision and deploy
	N      int    // a number, for what needs one
}

var actKinds = []string{
	"provision", "provision", "provision", "start", "stop", "restart", "scale", "deploy", "deploy", "rollback", "configure", "cancel", "cancel", "cancel",
	"deprovision-keep", "deprovision-delete", "kill", "remove-container", "remove-network", "cut-off", "join", "unlimit", "squeeze", "slow", "pause", "rename", "rename", "engine-down", "fail-step",
	"crash-at-step", "crash-now", "wait", "calm", "calm",
}

func drawActs(t *rapid.T) []act {
	one := rapid.Custom(func(t *rapid.T) act {
		return act{
			Kind:   rapid.SampledFrom(actKinds).Draw(t, "kind"),
			Tenant: rapid.IntRange(0, modelTenants-1).Draw(t, "tenant"),
			Image:  rapid.SampledFrom([]string{"app:1", "app:2", "app:2", "app:sick", "app:crash", "app:absent"}).Draw(t, "image"),
			N:      rapid.IntRange(1, 12).Draw(t, "n"),
		}
	})
	return rapid.SliceOfN(one, 20, 60).Draw(t, "acts")
}

func TestModel(t *testing.T) {
	t.Parallel()
	checks := "60"
	if os.Getenv("BERTH_LONG") != "" {
		checks = "2000"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	steps := 0
	rapid.Check(t, func(rt *rapid.T) {
		acts := drawActs(rt)
		steps += len(acts)
		willful := rapid.Bool().Draw(rt, "willful") // an engine with controllers of its own
		if why := inModel(t, acts, willful); why != "" {
			rt.Fatal(why)
		}
	})
	t.Logf("%d steps", steps)
}

// inModel plays acts in a bubble of its own and returns what went wrong.
func inModel(t *testing.T, acts []act, willful bool) (why string) {
	dir, err := os.MkdirTemp("", "berth-model")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	synctest.Test(t, func(t *testing.T) {
		failing := &failing{TB: t}
		m := &model{world: newWorld(failing, dir), proven: map[string]string{}}
		defer func() {
			if r := recover(); r != nil {
				text, ok := r.(failure)
				if !ok {
					panic(r)
				}
				why = string(text)
			}
			m.endFaults()
			m.close()
		}()
		if willful {
			m.engine.SetWillful(true)
		}
		m.config.Observe = time.Second
		m.boot()
		for i, a := range acts {
			failing.at = fmt.Sprintf("act %d, %+v: ", i, a)
			m.play(a)
		}
		failing.at = "at the end: "
		m.converge()
	})
	return why
}

type failure string

// failing turns a test's end into a panic, so that it can leave a bubble.
type failing struct {
	testing.TB
	at string
}

func (f *failing) Helper()           {}
func (f *failing) Fatal(args ...any) { panic(failure(f.at + fmt.Sprint(args...))) }
func (f *failing) Fatalf(format string, args ...any) {
	panic(failure(f.at + fmt.Sprintf(format, args...)))
}

// model is a world, and what is known of it from what was acknowledged.
type model struct {
	*world
	dead     atomic.Bool // the process is: its writes go nowhere
	down     bool
	receipts []tenancy.Receipt
	volumes  [modelTenants]bool // that the tenant's volumes hold data nobody ordered gone
	proven   map[string]string  // organization to the image of its last good deployment
}

// mortalStore is the store of one process: after its death nothing gets through.
type mortalStore struct {
	store.Store
	dead *atomic.Bool
}

func (g mortalStore) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	if g.dead.Load() {
		return enginetest.ErrCrash
	}
	return g.Store.InTx(ctx, actor, func(tx store.Tx) error {
		err := fn(tx)
		if g.dead.Load() {
			return enginetest.ErrCrash
		}
		return err
	})
}

func (m *model) boot() {
	m.dead.Store(false)
	m.wire()
	m.loop.Store = mortalStore{m.turns, &m.dead}
	m.run()
}

// crash ends the process as kill -9 would: nothing more is written or asked
// of the engine. Then a new one starts.
func (m *model) crash() {
	m.dead.Store(true)
	m.engine.SetFaults(func(context.Context, enginetest.Step) error { return enginetest.ErrCrash })
	m.stop()
	m.engine.SetFaults(nil)
	m.boot()
}

func (m *model) play(a act) {
	call := tenancy.Call{}
	org := orgID(a.Tenant)
	replicas, greeting := a.N%3+1, fmt.Sprint("hello ", a.N)
	var r tenancy.Receipt
	var err error
	switch a.Kind {
	case "provision":
		r, err = m.provision(a.Tenant, a.Image, a.N%3 > 0)
	case "start":
		r, err = m.service.Start(ctx, m.actor, call, org)
	case "stop":
		r, err = m.service.Stop(ctx, m.actor, call, org)
	case "restart":
		r, err = m.service.Restart(ctx, m.actor, call, org)
	case "scale":
		r, err = m.service.Scale(ctx, m.actor, call, org, tenancy.Scale{Replicas: &replicas})
	case "deploy":
		r, err = m.service.Deploy(ctx, m.actor, call, org, tenancy.Deploy{ImageTag: &a.Image})
	case "rollback":
		r, err = m.service.Rollback(ctx, m.actor, call, org, "")
	case "configure":
		r, err = m.service.Configure(ctx, m.actor, call, org, tenancy.Configure{Environment: map[string]*string{"GREETING": &greeting}})
	case "deprovision-keep":
		r, err = m.service.Deprovision(ctx, m.actor, call, org, berth.VolumesKeep)
	case "deprovision-delete":
		if r, err = m.service.Deprovision(ctx, m.actor, call, org, berth.VolumesDelete); err == nil && r.Deployment.Volumes == berth.VolumesDelete {
			m.volumes[a.Tenant] = false
		}
	case "cancel":
		_, err = m.service.Cancel(ctx, m.actor, org, "")
	case "calm":
		m.converge()
	default:
		m.disturb(a)
	}
	if err != nil {
		m.wantExpected(err)
		return
	}
	if r.Deployment.ID != "" {
		m.receipts = append(m.receipts, r)
	}
}

// wantExpected fails on an error that no state of the model explains.
func (m *model) wantExpected(err error) {
	switch berth.CodeOf(err).Kind() {
	case berth.KindConflict, berth.KindNotFound:
	default:
		m.t.Fatalf("refused: %v (%s)", err, berth.CodeOf(err))
	}
}

// disturb does what no order asks for.
func (m *model) disturb(a act) {
	org := orgID(a.Tenant)
	switch a.Kind {
	case "kill", "remove-container":
		// The loop works on: what was there a moment ago may be gone.
		if a.Kind == "remove-container" {
			m.manual.TryRemove("container", berth.ContainerName(org))
			return
		}
		if m.down {
			return
		}
		if o, err := m.engine.Observe(ctx, org); err == nil && len(o.Instances) > 0 {
			m.manual.TryKill(o.Instances[0].ID)
		}
	case "remove-network":
		m.manual.TryRemove("network", berth.NetworkName(org))
	case "cut-off", "join", "unlimit", "squeeze", "slow", "pause", "rename":
		m.manual.TryChange(berth.ContainerName(org), a.Kind)
	case "engine-down":
		m.down = !m.down
		m.engine.SetDown(m.down)
	case "fail-step":
		m.engine.SetFaults(nth(a.N, berth.Errorf(berth.CodeEngineUnavailable, "the engine failed")))
	case "crash-at-step":
		reached := make(chan struct{})
		m.engine.SetFaults(nthDo(a.N, func() error {
			m.dead.Store(true)
			close(reached)
			return enginetest.ErrCrash
		}))
		select {
		case <-reached:
		case <-time.After(30 * time.Second):
		}
		m.crash()
	case "crash-now":
		m.crash()
	case "wait":
		<-time.After(time.Duration(a.N) * 500 * time.Millisecond)
	}
}

// nth fails the n-th change from now, before its effect if n is even, else
// after it.
func nth(n int, err error) enginetest.Faults { return nthDo(n, func() error { return err }) }

func nthDo(n int, do func() error) enginetest.Faults {
	var seen atomic.Int32
	return func(_ context.Context, s enginetest.Step) error {
		if s.Read || s.After == (n%2 == 0) || int(seen.Add(1)) != n {
			return nil
		}
		return do()
	}
}

// endFaults ends what faults and hands do. What was renamed is nobody's any more: it
// stands in the way until whoever renamed it takes it away.
func (m *model) endFaults() {
	for n := range modelTenants {
		m.manual.TryRemove("container", enginetest.Renamed(berth.ContainerName(orgID(n))))
	}
	m.engine.SetFaults(nil)
	if m.down {
		m.down = false
		m.engine.SetDown(false)
	}
}

// converge lets everything settle and compares what is with what should be.
func (m *model) converge() {
	m.endFaults()
	for i, r := range m.receipts {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		now, err := m.service.Await(ctx, m.actor, r)
		cancel()
		m.must(err)
		if !now.Deployment.Over() {
			m.t.Fatalf("%s of %s is not over after ten calm minutes: %+v", r.Deployment.Type, r.Tenant.OrganizationID, now.Tenant)
		}
		m.checkHistory(now.Deployment)
		m.learn(now.Deployment)
		m.receipts[i] = now
	}
	m.receipts = nil
	<-time.After(3 * time.Minute)
	ports := map[int]bool{}
	for n := range modelTenants {
		m.checkTenant(n, ports)
	}
	if held := m.engine.HeldTwice(); len(held) > 0 {
		m.t.Fatalf("two generations held one volume: %v", held)
	}
}

// learn keeps what a deployment proved. One that failed proves nothing: the
// tenant must be as it was.
func (m *model) learn(d berth.Deployment) {
	if d.Type == berth.DeployProvision || d.Type == berth.DeployDeprovision {
		delete(m.proven, d.OrganizationID)
	}
	if d.Status == berth.DeploymentCompleted && d.Type != berth.DeployDeprovision {
		m.proven[d.OrganizationID] = d.New.ImageDigest
	}
}

// checkHistory checks that a row of history is complete and true.
func (m *model) checkHistory(d berth.Deployment) {
	switch {
	case d.CompletedAt.IsZero():
		m.t.Fatalf("over, and never completed: %+v", d)
	case d.New.ImageTag == "":
		m.t.Fatalf("without an image: %+v", d)
	case d.Status == berth.DeploymentFailed && d.Error == "":
		m.t.Fatalf("failed without a cause: %+v", d)
	case d.Status == berth.DeploymentCompleted && d.New.ImageDigest == "" && d.Type != berth.DeployDeprovision:
		m.t.Fatalf("completed without saying what ran: %+v", d)
	}
}

func (m *model) checkTenant(n int, ports map[int]bool) {
	t, err := m.service.Tenant(ctx, m.actor, orgID(n))
	seen := m.observed(n)
	if m.volumes[n] && len(seen.Volumes) != 3 {
		m.t.Fatalf("tenant %d has the volumes %v; nobody ordered the others gone", n, seen.Volumes)
	}
	m.volumes[n] = len(seen.Volumes) == 3
	if berth.Is(err, berth.CodeContainerNotFound) {
		if len(seen.Instances) > 0 || seen.Network {
			m.t.Fatalf("tenant %d is gone, and this is left: %+v", n, seen)
		}
		if _, ok := m.edge.route(n); ok {
			m.t.Fatalf("tenant %d is gone, and a route is left", n)
		}
		return
	}
	m.must(err)
	if ports[t.ExternalPort] {
		m.t.Fatalf("port %d twice", t.ExternalPort)
	}
	ports[t.ExternalPort] = true
	if pin := m.proven[t.OrganizationID]; pin != "" && t.Spec.ImageDigest != pin {
		m.t.Fatalf("tenant %d is at %s (%s); its last good deployment was %s", n, t.Spec.ImageDigest, t.Spec.ImageTag, pin)
	}
	good := t.Spec.ImageDigest == imageV1 || t.Spec.ImageDigest == imageV2
	if !good { // it never ran: only a first image can be bad
		if t.Status == berth.StatusRunning && t.Health == berth.HealthHealthy {
			m.t.Fatalf("tenant %d is said to be well with %s", n, t.Spec.ImageTag)
		}
		return
	}
	m.checkStack(n, t, seen)
}

// checkStack checks that a tenant's instances are exactly those of its
// present generation, in the state that was asked for.
func (m *model) checkStack(n int, t berth.Tenant, seen berth.Observed) {
	running := 0
	for _, c := range seen.Instances {
		if c.Image != t.Spec.ImageDigest || c.Hash != seen.Instances[0].Hash {
			m.t.Fatalf("tenant %d runs %s beside generation %d, which is %s", n, c.Image, t.Generation, t.Spec.ImageDigest)
		}
		if c.State != berth.InstanceRunning {
			continue // it is compared when it starts
		}
		running++
		if l := t.Spec.Limits; c.CPU == 0 || c.MemoryMB == 0 || c.CPU > l.CPU || c.MemoryMB > l.MemoryMB || float64(c.MemoryMB*t.Spec.Replicas) < 0.9*float64(l.MemoryMB) || len(c.Differs) > 0 {
			m.t.Fatalf("tenant %d has an instance with %.2f cores and %d MB of its %+v, that differs in %v", n, c.CPU, c.MemoryMB, l, c.Differs)
		}
	}
	route, _ := m.edge.route(n)
	switch {
	case len(seen.Instances) != t.Spec.Replicas || !seen.Network:
		m.t.Fatalf("tenant %d has %d containers of %d, network %v: %+v", n, len(seen.Instances), t.Spec.Replicas, seen.Network, t)
	case t.Want == berth.WantRunning && (running != t.Spec.Replicas || t.Status != berth.StatusRunning || t.Health != berth.HealthHealthy || t.Cause != ""):
		m.t.Fatalf("tenant %d should be well: %d run; %+v", n, running, t)
	case t.Want == berth.WantRunning && (route.State != berth.RouteServing || len(route.Upstreams) != running):
		m.t.Fatalf("tenant %d is not served: %+v", n, route)
	case t.Want == berth.WantStopped && (running != 0 || t.Status != berth.StatusStopped || route.State != berth.RouteStopped):
		m.t.Fatalf("tenant %d should be stopped: %d run; %+v; %+v", n, running, t, route)
	case !strings.HasPrefix(t.URL, "http://localhost:"):
		m.t.Fatalf("tenant %d has the URL %s", n, t.URL)
	}
}
