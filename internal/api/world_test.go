package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	one = "550e8400-e29b-41d4-a716-446655440001"
	two = "550e8400-e29b-41d4-a716-446655440002"
)

// world is the real API on real use cases, a real loop and a real database,
// over a fake engine.
type world struct {
	t       *testing.T
	engine  *enginetest.Fake
	store   *sqlite.Store
	auth    *auth.Auth
	box     *secret.Box
	handler *api.API
	api     api.Config
	config  tenancy.Config
	parts   tenancy.Parts
	service *tenancy.Service
	token   string
	log     *syncBuffer
	dir     string
}

// again is the API anew, with another configuration.
func (w *world) again(change func(*api.Config)) *api.API {
	c := w.api
	change(&c)
	return api.New(c)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, func(*auth.Config, *api.Config) {})
}

// newWorldWith lets change how people and programs are told apart.
func newWorldWith(t *testing.T, change func(*auth.Config, *api.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, engine: enginetest.NewFake(), log: &syncBuffer{}}
	pin := "sha256:" + strings.Repeat("1", 64)
	w.engine.SetImage(pin, enginetest.Program{})
	w.engine.Tag("app:1", pin)
	sick := "sha256:" + strings.Repeat("2", 64)
	w.engine.SetImage(sick, enginetest.Program{Sick: true})
	w.engine.Tag("app:sick", sick)
	box, err := secrettest.Create(dir)
	w.box = box
	w.must(err)
	w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	w.must(err)
	log := slog.New(slog.NewTextHandler(w.log, nil))
	networks := func() ([]netip.Prefix, error) { return nil, nil }
	loop := reconcile.New(reconcile.Config{Patience: 500 * time.Millisecond, ProbeRound: 100 * time.Millisecond, HostNetworks: networks}, reconcile.Parts{
		Store: w.store, Engine: w.engine, Edge: noEdge{}, Prober: prober{w.engine}, Files: noEdge{}, Secrets: box, Log: log,
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) }),
	})
	catalog := store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) })
	w.config = tenancy.Config{
		FirstPort: 3001, LastPort: 3004, ReservedPorts: []int{3003}, Pool: berth.DefaultPool(), PublicHost: "localhost", HostNetworks: networks,
		Blueprint: berth.BuiltinBlueprint, Examine: blueprint.Examine, Redact: blueprint.Redact,
		ComposePath: func(org string) string { return "/compose/" + org }, Now: moment,
	}
	w.parts = tenancy.Parts{
		Preview: previewer(w.store, w.engine, box),
		Store:   w.store, Loop: loop, Ports: noEdge{}, Secrets: box, Keys: box, Files: noEdge{}, Catalog: catalog,
		Health: health.NewSweeper(health.SweeperConfig{
			Store: w.store, Asker: prober{w.engine}, Now: moment, Look: loop.Look,
			Check: func(ctx context.Context, tx store.Blueprints, id string) (berth.HealthCheck, error) {
				b, err := catalog.Get(ctx, tx, id)
				if err != nil {
					return berth.HealthCheck{}, err
				}
				return b.Defaults().Health, nil
			},
		}),
	}
	w.service = tenancy.New(w.config, w.parts)
	_, _, err = w.service.ApplyBlueprint(t.Context(), berth.System(), blueprint.BuiltinSource())
	w.must(err)
	ac := auth.Config{Store: w.store, Failures: auth.Failures{Burst: 1_000_000}, Log: log}
	c := api.Config{Service: w.service, Log: log, Version: "test", StateDir: dir}
	change(&ac, &c)
	w.auth = auth.New(ac)
	c.Auth, w.dir = w.auth, dir
	w.handler, w.api = api.New(c), c
	w.token, _, err = w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "test"})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- loop.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// restart is what an operator does to change how Berth runs. The loop goes on.
func (w *world) restart(change func(*tenancy.Config, *tenancy.Parts)) {
	change(&w.config, &w.parts)
	w.service = tenancy.New(w.config, w.parts)
	w.api.Service = w.service
	w.handler = api.New(w.api)
}

// metered has the API show what a meter read.
func (w *world) metered(m meter) {
	w.restart(func(_ *tenancy.Config, p *tenancy.Parts) { p.Meter = m })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %d %s", err, a.status, a.body)
	}
	return m
}

// ask sends a request with the operator's token; headers come in pairs.
func (w *world) ask(method, path, body string, headers ...string) answer {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, in)
	r.Header.Set("Authorization", "Bearer "+w.token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Header(), rec.Body.String()}
}

// wantProblem checks the shape that every refusal has.
func (w *world) wantProblem(a answer, status int, what string) map[string]any {
	w.t.Helper()
	if a.status != status {
		w.t.Errorf("%s: %d, want %d: %s", what, a.status, status, a.body)
		return nil
	}
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		w.t.Errorf("%s: Content-Type %s", what, kind)
	}
	p := a.json(w.t)
	if p["success"] != false || p["error"] == "" || p["error"] == nil || p["code"] == "" || p["code"] == nil || p["hint"] == "" || p["hint"] == nil {
		w.t.Errorf("%s: not a whole problem: %s", what, a.body)
	}
	return p
}

// dump is everything that an order could have changed.
func (w *world) dump() string {
	w.t.Helper()
	out := w.ask("GET", "/api/tenants", "").body
	for _, org := range []string{one, two} {
		out += w.ask("GET", "/api/tenants/"+org+"/deployments", "").body
	}
	return out + w.ask("GET", "/api/tokens", "").body + w.ask("GET", "/api/registries", "").body
}

// noEdge stands where nothing of an edge or of files is looked at.
type noEdge struct{}

func (noEdge) Drain(context.Context, string) int { return 0 }

func (noEdge) Apply(set berth.RouteSet) berth.RouteReport {
	return berth.RouteReport{Term: set.Term, Version: set.Version}
}
func (noEdge) PortFree(int) bool          { return true }
func (noEdge) Write(string, []byte) error { return nil }
func (noEdge) WriteEnv(org string, _ []byte) (string, error) {
	return "/compose/" + org + "/.env", nil
}
func (noEdge) Forget(string) error { return nil }
func (noEdge) Remove(string) error { return nil }

type prober struct{ engine *enginetest.Fake }

func (p prober) Probe(_ context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe {
	pr := berth.Probe{CheckedAt: store.Now(), Status: berth.ProbeHealthy, Type: "http", Endpoint: check.Path, HTTPStatus: 200}
	if !p.engine.Healthy(addr) {
		pr.Status, pr.HTTPStatus, pr.Cause = berth.ProbeUnhealthy, 500, "answered 500"
	}
	return pr
}

var _ store.Store = (*sqlite.Store)(nil)

func previewer(st store.Store, engine *enginetest.Fake, box *secret.Box) *reconcile.Previewer {
	return reconcile.NewPreviewer(reconcile.Config{}, reconcile.Parts{
		Store: st, Engine: engine, Secrets: box,
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) }),
	})
}
