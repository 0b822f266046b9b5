package reconcile_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/store/storetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestMain(m *testing.M) {
	vfs.Register(unsynced, forgetful{vfs.Find("").(vfs.VFSFilename)})
	goleak.VerifyTestMain(m)
}

// world is a whole Berth on a fake engine: real use cases, real loop, real
// database. It can crash and come back.
type world struct {
	t        testing.TB
	engine   *enginetest.Fake
	manual   enginetest.FakeManual
	edge     *recorder
	store    *sqlite.Store
	turns    inTurn // the store, one transaction at a time
	box      *secret.Box
	loop     *reconcile.Loop
	service  *tenancy.Service
	actor    berth.Actor
	config   reconcile.Config
	vitals   *vitals
	sick     atomic.Pointer[netip.AddrPort] // an instance that is unwell though its image is not
	hangs    atomic.Bool                    // what is unwell gives no answer
	left     func()                         // told of who left the fleet
	answered atomic.Pointer[func()]         // called after each healthy answer to a probe
	stop     func()
	log      io.Writer // nil: nobody reads it

	publicHost string // of tenants' URLs
}

const (
	imageV1, imageV2 = "sha256:1111111111111111111111111111111111111111111111111111111111111111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	imageSick        = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
	imageCrash       = "sha256:4444444444444444444444444444444444444444444444444444444444444444"
)

func newWorld(t testing.TB, dir string) *world {
	w := &world{t: t, engine: enginetest.NewFake(), edge: &recorder{}, actor: berth.Actor{ID: "op", Role: berth.RoleOperator},
		publicHost: "localhost", config: reconcile.Config{Patience: 20 * time.Second}, vitals: &vitals{byID: map[string]verdict{}}}
	w.manual = w.engine.Manual()
	for ref, image := range map[string]struct {
		pin string
		enginetest.Program
	}{
		"app:1": {imageV1, enginetest.Program{}}, "app:2": {imageV2, enginetest.Program{}},
		"app:sick": {imageSick, enginetest.Program{Sick: true}}, "app:crash": {imageCrash, enginetest.Program{ExitCode: 3}},
	} {
		w.engine.SetImage(image.pin, image.Program)
		w.engine.Tag(ref, image.pin)
	}
	var err error
	w.box, err = secrettest.Create(dir)
	w.must(err)
	w.store, err = openStore(filepath.Join(dir, "berth.db"))
	w.must(err)
	w.turns = inTurn{storetest.Again(w.store), make(chan struct{}, 1)}
	w.wire()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) logger() *slog.Logger {
	if w.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w.log, nil))
}

// wire makes a new loop and new use cases on what lasts: engine and database.
func (w *world) wire() {
	w.config.HostNetworks = func() ([]netip.Prefix, error) { return nil, nil }
	w.edge.reset()
	w.loop = reconcile.New(w.config, reconcile.Parts{
		Store: w.turns, Engine: w.engine, Edge: w.edge, Prober: prober{w.engine, w},
		Files: noFiles{}, Secrets: w.box, Vitals: w.vitals, Left: w.left, Log: w.logger(),
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) }),
	})
	w.service = w.serviceOf(w.loop)
	w.apply(blueprint.BuiltinSource())
}

// serviceOf makes use cases that ring a loop.
func (w *world) serviceOf(loop tenancy.Loop) *tenancy.Service {
	return tenancy.New(tenancy.Config{
		FirstPort: 3001, LastPort: 3999, ReservedPorts: []int{3008}, Pool: berth.DefaultPool(), PublicHost: w.publicHost,
		HostNetworks: w.config.HostNetworks, ComposePath: func(org string) string { return "/" + org }, Now: func() time.Time { return time.Now().UTC() },
		Blueprint: berth.BuiltinBlueprint, Examine: blueprint.Examine,
	}, tenancy.Parts{
		Store: w.turns, Loop: loop, Ports: w.edge, Secrets: w.box, Files: noFiles{}, Preview: w.previewer(),
		Health:  health.NewSweeper(health.SweeperConfig{Store: w.turns, Asker: prober{w.engine, w}, Now: time.Now}),
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) }),
	})
}

// apply stores a blueprint as Berth itself would.
func (w *world) apply(source []byte) berth.BlueprintVersion {
	w.t.Helper()
	v, _, err := w.service.ApplyBlueprint(context.Background(), berth.System(), source)
	w.must(err)
	return v
}

// run runs the loop until the returned function is called.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.loop.Run(ctx, func() { close(ready) }) }()
	<-ready
	w.stop = func() {
		cancel()
		w.must(<-ended)
		w.stop = nil
	}
}

func (w *world) close() {
	if w.stop != nil {
		w.stop()
	}
	w.must(w.store.Close())
}

// inTurn lets one transaction at a time into the database. Those that meet there
// sleep for a moment, by the bubble's clock; if one of them is cancelled
// meanwhile, it waits for a mutex that the sleeper holds, and a bubble's clock
// stands still while anyone waits for a mutex. How transactions get on with each
// other is storetest's to test.
type inTurn struct {
	store.Store
	turn chan struct{}
}

func (s inTurn) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.Store.InTx(ctx, actor, fn)
}

func (s inTurn) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.Store.View(ctx, actor, fn)
}

func (s inTurn) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test in a world of its own, on a clock of its own.
func inBubble(t *testing.T, f func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		defer w.close()
		f(w)
	})
}

func orgID(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012d", n) }

// done waits for an order's end and returns the deployment.
func (w *world) done(r tenancy.Receipt, err error) berth.Deployment {
	w.t.Helper()
	w.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	r, err = w.service.Await(ctx, w.actor, r)
	w.must(err)
	if !r.Deployment.Over() {
		w.t.Fatalf("%s is not over after twenty minutes", r.Deployment.Type)
	}
	return r.Deployment
}

// completed waits for an order's end and wants it to be a success.
func (w *world) completed(r tenancy.Receipt, err error) berth.Deployment {
	w.t.Helper()
	d := w.done(r, err)
	if d.Status != berth.DeploymentCompleted {
		w.t.Fatalf("%s ended %s: %s", d.Type, d.Status, d.Error)
	}
	return d
}

func (w *world) provision(n int, image string, start bool) (tenancy.Receipt, error) {
	return w.service.Provision(context.Background(), w.actor, tenancy.Call{},
		tenancy.Provision{OrganizationID: orgID(n), Name: fmt.Sprint("Tenant ", n), ImageTag: image, Start: start})
}

func (w *world) tenant(n int) berth.Tenant {
	w.t.Helper()
	t, err := w.service.Tenant(context.Background(), w.actor, orgID(n))
	w.must(err)
	return t
}

func (w *world) observed(n int) berth.Observed {
	w.t.Helper()
	return w.engine.Truth(orgID(n))
}

// observedWhileDown is the id of a tenant's instance, from its record.
func (w *world) observedWhileDown(n int) string {
	w.t.Helper()
	return w.tenant(n).ContainerID
}

// eventually waits, in the bubble's time, until what is wanted holds.
func (w *world) eventually(within time.Duration, what string, holds func() bool) {
	w.t.Helper()
	pause := 50 * time.Millisecond
	for deadline, began := time.Now().Add(within), time.Now(); !holds(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("after %v, not yet: %s", within, what)
		}
		<-time.After(pause)
		if time.Since(began) > 5*time.Second { // most that is waited for reads the database
			pause = 250 * time.Millisecond
		}
	}
}

func (w *world) running(n int) bool {
	o := w.observed(n)
	return len(o.Instances) > 0 && o.Instances[0].State == berth.InstanceRunning
}

// recorder is an edge that keeps the routes that it was given.
type recorder struct {
	mu      sync.Mutex
	set     berth.RouteSet
	taken   map[int]bool
	history []berth.Route
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set = berth.RouteSet{}
}

func (r *recorder) Apply(set berth.RouteSet) berth.RouteReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := berth.RouteReport{Term: r.set.Term, Version: r.set.Version}
	if !set.Newer(r.set.Term, r.set.Version) || set.Since != 0 && (set.Term != r.set.Term || set.Since != r.set.Version) {
		return report
	}
	routes := set.Routes
	if set.Since != 0 {
		gone := slices.Clone(set.Removed)
		for _, route := range set.Routes {
			gone = append(gone, route.OrganizationID)
		}
		kept := slices.DeleteFunc(slices.Clone(r.set.Routes), func(o berth.Route) bool { return slices.Contains(gone, o.OrganizationID) })
		routes = append(kept, routes...)
	}
	r.set = berth.RouteSet{Term: set.Term, Version: set.Version, Routes: routes}
	report.Term, report.Version = set.Term, set.Version
	for _, route := range set.Routes {
		r.history = append(r.history, route)
		if r.taken[route.Port] {
			report.Refused = append(report.Refused, berth.RouteError{OrganizationID: route.OrganizationID, Port: route.Port,
				Err: berth.Errorf(berth.CodePortTaken, "port %d is in use", route.Port)})
		}
	}
	return report
}

// past are the routes that were ever put in force, oldest first.
func (r *recorder) past() []berth.Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.history)
}

// forget makes the past begin now.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = nil
}

func (r *recorder) Drain(context.Context, string) int { return 0 }

func (r *recorder) route(n int) (berth.Route, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, route := range r.set.Routes {
		if route.OrganizationID == orgID(n) {
			return route, true
		}
	}
	return berth.Route{}, false
}

func (r *recorder) PortFree(port int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.taken[port]
}

func (r *recorder) take(port int, taken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken == nil {
		r.taken = map[int]bool{}
	}
	r.taken[port] = taken
}

type prober struct {
	engine *enginetest.Fake
	w      *world
}

func (p prober) Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe {
	pr := berth.Probe{CheckedAt: store.Now(), Status: berth.ProbeHealthy, Type: "http", Endpoint: check.Path, HTTPStatus: 200}
	if sick := p.w.sick.Load(); !p.engine.Healthy(addr) || sick != nil && *sick == addr {
		pr.Status, pr.HTTPStatus, pr.Cause = berth.ProbeUnhealthy, 500, "answered 500"
		if p.w.hangs.Load() {
			late, cancel := context.WithTimeout(ctx, check.Timeout)
			<-late.Done()
			cancel()
			pr.Status, pr.HTTPStatus, pr.Cause = berth.ProbeTimeout, 0, "gave no answer"
		}
	} else if answered := p.w.answered.Load(); answered != nil {
		(*answered)()
	}
	return pr
}

// vitals are what a monitor would know.
type vitals struct {
	mu   sync.Mutex
	byID map[string]verdict
}

// verdict is one on one start of an instance.
type verdict struct {
	startedAt time.Time
	vital     berth.Vital
}

func (v *vitals) Vital(instanceID string, startedAt time.Time) (berth.Vital, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	it, ok := v.byID[instanceID]
	return it.vital, ok && it.startedAt.Equal(startedAt)
}

// say lets the monitor know something and tell the loop.
func (w *world) say(n int, instanceID string, v berth.Vital) {
	it := verdict{vital: v}
	for _, c := range w.observed(n).Instances {
		if c.ID == instanceID {
			it.startedAt = c.StartedAt
		}
	}
	w.vitals.mu.Lock()
	w.vitals.byID[instanceID] = it
	w.vitals.mu.Unlock()
	w.loop.Judged(orgID(n))
}

type noFiles struct{}

func (noFiles) Write(string, []byte) error              { return nil }
func (noFiles) WriteEnv(string, []byte) (string, error) { return "", nil }
func (noFiles) Forget(string) error                     { return nil }
func (noFiles) Remove(string) error                     { return nil }

// previewer reads what the loop acts on.
func (w *world) previewer() *reconcile.Previewer {
	return reconcile.NewPreviewer(w.config, reconcile.Parts{
		Store: w.turns, Engine: w.engine, Secrets: w.box,
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) }),
	})
}
