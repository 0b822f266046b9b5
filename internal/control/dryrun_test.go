package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/control"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/tenancy"
	"github.com/unite-hub/berth/internal/testbed"
)

const org = "550e8400-e29b-41d4-a716-446655440001"

var server *testbed.Postgres

func TestMain(m *testing.M) {
	ctx := context.Background()
	var err error
	if server, err = testbed.StartPostgres(ctx); err == nil {
		err = server.Exec(ctx, "postgres", `CREATE ROLE owner LOGIN CREATEROLE`)
	}
	if err == nil { // statements of one text are one transaction, in which no database is made
		err = server.Exec(ctx, "postgres", `CREATE DATABASE berth OWNER owner`)
	}
	if err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if err := server.Stop(); err != nil {
			log.Fatal(err)
		}
		os.Exit(code)
	}))
}

// login is the URL as Berth logs in: no superuser, whom row-level security
// would not hold.
func login() string {
	u, err := url.Parse(server.URLAs("owner", "berth"))
	if err != nil {
		panic(err)
	}
	return u.String()
}

// idle stands for the parts of a term that do nothing here.
type idle struct{}

func (idle) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (idle) Apply(set berth.RouteSet) berth.RouteReport {
	return berth.RouteReport{Term: set.Term, Version: set.Version}
}
func (idle) Drain(context.Context, string) int       { return 0 }
func (idle) PortFree(int) bool                       { return true }
func (idle) Inside(netip.Addr) bool                  { return false }
func (idle) Now(string) (r berth.Reading, ok bool)   { return r, false }
func (idle) Readings() []berth.Reading               { return nil }
func (idle) Write(string, []byte) error              { return nil }
func (idle) WriteEnv(string, []byte) (string, error) { return "", nil }
func (idle) Forget(string) error                     { return nil }
func (idle) Remove(string) error                     { return nil }
func (idle) Probe(context.Context, netip.AddrPort, berth.HealthCheck) berth.Probe {
	return berth.Probe{CheckedAt: now(), Status: berth.ProbeHealthy, Type: "http", HTTPStatus: 200}
}

// silent is an engine that shows no logs.
type silent struct{ *enginetest.Fake }

func (silent) Logs(context.Context, string, berth.LogOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// rungLoop counts the orders that it is told of.
type rungLoop struct {
	*reconcile.Loop
	rings *atomic.Int64
}

func (l rungLoop) Enqueue(organizationID string) {
	l.rings.Add(1)
	l.Loop.Enqueue(organizationID)
}

// plane is one control plane of several on a database and an engine.
type plane struct {
	t       *testing.T
	store   *postgres.Store
	view    *control.View
	service *tenancy.Service
	handler http.Handler
	auth    *auth.Auth
	rings   atomic.Int64 // of its loop
}

func newPlane(t *testing.T, engine *enginetest.Fake, box *secret.Box) *plane {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	p := &plane{t: t}
	var err error
	p.store, err = postgres.Open(t.Context(), postgres.Options{URL: login()})
	p.must(err)
	p.view = control.NewView(p.store, silent{engine}, idle{}, true)
	networks := func() ([]netip.Prefix, error) { return nil, nil }
	loopCatalog := store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) })
	parts := func(st store.Store) reconcile.Parts {
		return reconcile.Parts{Store: st, Engine: engine, Edge: idle{}, Prober: idle{}, Files: idle{}, Secrets: box, Log: quiet, Catalog: loopCatalog}
	}
	p.service = tenancy.New(tenancy.Config{
		FirstPort: 3001, LastPort: 3099, Pool: berth.DefaultPool(), PublicHost: "localhost", HostNetworks: networks, Now: now, Shared: true,
		Blueprint: berth.BuiltinBlueprint, Examine: blueprint.Examine, Redact: blueprint.Redact, ComposePath: func(string) string { return "" },
	}, tenancy.Parts{
		Store: p.store, Loop: p.view, Ports: p.view, Secrets: box, Keys: box, Files: idle{}, Leading: p.view.Leading,
		Preview: reconcile.NewPreviewer(reconcile.Config{}, parts(p.store)),
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) }),
	})
	_, _, err = p.service.ApplyBlueprint(t.Context(), berth.System(), blueprint.BuiltinSource())
	p.must(err)
	p.auth = auth.New(auth.Config{Store: p.store, Log: quiet})
	p.handler = api.New(api.Config{Service: p.service, Auth: p.auth, Log: quiet, Version: "test", StateDir: t.TempDir()})
	c := control.New(control.Config{
		Store: p.store, Shared: p.store, Engine: silent{engine}, View: p.view, Holder: berth.NewID(), URL: "http://localhost", Log: quiet,
		Chores: func(store.Store) []func(context.Context) error { return nil },
		NewTerm: func(st store.Store, lease store.Lease, _ func() error) (*control.Term, error) {
			loop := reconcile.New(reconcile.Config{HostNetworks: networks, EngineID: lease.EngineID, Term: lease.Fence, Observe: time.Millisecond}, parts(st))
			return &control.Term{Loop: rungLoop{loop, &p.rings}, Edge: idle{}, Meter: idle{}, Monitor: idle{}, Close: func() error { return nil }}, nil
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, p.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *plane) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) ask(token, method, path, body string) (status int, answer string) {
	p.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	p.handler.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// order gives an order that has to be carried out.
func (p *plane) order(token, method, path, body string) {
	p.t.Helper()
	if status, answer := p.ask(token, method, path, body); status != http.StatusOK && status != http.StatusCreated {
		p.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
}

// database shows all that there is in it, row by row, but for the leases, which are
// renewed each second.
type database struct {
	t    *testing.T
	conn *pgx.Conn
	all  string // one statement for all tables
}

func openDatabase(t *testing.T) *database {
	t.Helper()
	d := &database{t: t}
	var err error
	d.conn, err = pgx.Connect(t.Context(), server.URL("berth"))
	d.must(err)
	t.Cleanup(func() { d.must(d.conn.Close(context.Background())) })
	rows, err := d.conn.Query(t.Context(), `SELECT format('SELECT %L || x::text FROM %I.%I x', tablename || ' ', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'engine_leases'`)
	d.must(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	d.must(err)
	if len(tables) < 20 {
		t.Fatalf("only %d tables were found: %s", len(tables), tables)
	}
	d.all = strings.Join(tables, " UNION ALL ") + " ORDER BY 1"
	return d
}

func (d *database) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *database) dump() []string {
	d.t.Helper()
	rows, err := d.conn.Query(d.t.Context(), d.all)
	d.must(err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	d.must(err)
	return lines
}

// settled is the dump once the loop has nothing more to write.
func (d *database) settled() []string {
	d.t.Helper()
	for before, deadline := d.dump(), time.Now().Add(time.Minute); ; {
		<-time.After(200 * time.Millisecond)
		after := d.dump()
		if slices.Equal(after, before) {
			return after
		}
		if before = after; time.Now().After(deadline) {
			d.t.Fatal("the database does not come to rest")
		}
	}
}

// difference are the lines that only one of two dumps has.
func difference(before, after []string) (list []string) {
	for _, line := range before {
		if !slices.Contains(after, line) {
			list = append(list, "gone: "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			list = append(list, "new: "+line)
		}
	}
	return list
}

// A dry run is an order whose transaction is undone: on PostgreSQL, where rows are
// the organization's own, and on a control plane that does not run the engine.
func TestADryRunOnPostgreSQLChangesNothingWhoeverAsksAndWhoeverLeads(t *testing.T) {
	engine := enginetest.NewFake()
	for i, tag := range []string{"app:1", "app:2"} {
		pin := "sha256:" + strings.Repeat(fmt.Sprint(i+1), 64)
		engine.SetImage(pin, enginetest.Program{})
		engine.Tag(tag, pin)
	}
	box, err := secrettest.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leader := newPlane(t, engine, box)
	follower := newPlane(t, engine, box)
	if !leader.view.Leading() || follower.view.Leading() {
		t.Fatalf("the first leads: %t, the second too: %t", leader.view.Leading(), follower.view.Leading())
	}
	all := berth.SelfService
	name := "One"
	_, err = leader.service.PutOrganization(t.Context(), berth.System(), org, tenancy.PutOrganization{Name: &name, SelfService: &all})
	leader.must(err)
	token := func(n auth.NewToken) string {
		text, _, err := leader.auth.Create(t.Context(), berth.System(), n)
		leader.must(err)
		return text
	}
	people := map[string]string{
		"an operator": token(auth.NewToken{Name: "operator"}), "the organization's admin": token(auth.NewToken{Name: "admin", Role: berth.RoleAdmin, OrganizationID: org}),
	}
	operator, tenant := people["an operator"], "/api/tenants/"+org
	follower.order(operator, "POST", "/api/tenants/provision", `{"organizationId":"`+org+`","tenantName":"One","imageTag":"app:1","start":true}`)
	follower.order(operator, "POST", tenant+"/deploy", `{"imageTag":"app:2","environment":{"PLAIN":"x"}}`) // to have what to go back to

	var mu sync.Mutex
	var rung []string
	listening, heard := make(chan struct{}), make(chan error, 1)
	listener, err := postgres.Open(t.Context(), postgres.Options{URL: login()})
	leader.must(err)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		heard <- listener.Listen(ctx, func(organizationID string) {
			if organizationID == "" {
				close(listening)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			rung = append(rung, organizationID)
		})
	}()
	defer func() {
		stop()
		<-heard
		leader.must(listener.Close())
	}()
	<-listening

	db := openDatabase(t)
	for who, plane := range map[string]*plane{"the leader": leader, "a follower": follower} {
		for whose, token := range people {
			if status, answer := plane.ask(token, "GET", tenant, ""); status != http.StatusOK { // the token's use is on record
				t.Fatalf("%s asks %s: %d %s", whose, who, status, answer)
			}
			before := db.settled()
			for _, o := range []struct {
				method, path, body string
				admin              int // what an admin is answered
			}{
				{"POST", "/deploy", `{"imageTag":"app:1","environment":{"CANARY":"secret"}}`, 200},
				{"POST", "/scale", `{"memoryLimitMb":700,"replicas":2}`, 200},
				{"PATCH", "", `{"tenantName":"Other","environment":{"CANARY":"secret"}}`, 200},
				{"POST", "/rollback", "", 200},
				{"POST", "/stop", "", 200},
				{"POST", "/restart", "", 200},
				{"DELETE", "", "", 403},
			} {
				want := http.StatusOK
				if token != operator {
					want = o.admin
				}
				rings := leader.rings.Load()
				status, answer := plane.ask(token, o.method, tenant+o.path+"?dryRun=true", o.body)
				what := fmt.Sprintf("%s %s, tried by %s, asked of %s", o.method, o.path, whose, who)
				if status != want {
					t.Errorf("%s: %d, want %d: %s", what, status, want, answer)
				}
				var forecast struct {
					DryRun  bool
					Steps   []any
					Failure *string
				}
				if err := json.Unmarshal([]byte(answer), &forecast); err != nil || want == 200 && (!forecast.DryRun || len(forecast.Steps) == 0 || forecast.Failure != nil) {
					t.Errorf("%s: %v: %s", what, err, answer)
				}
				if is := leader.rings.Load(); is != rings {
					t.Errorf("%s: the loop was rung %d times", what, is-rings)
				}
				after := db.dump()
				list := difference(before, after)
				before = after
				if want == 403 { // that it was tried in vain is on record
					list = slices.DeleteFunc(list, func(line string) bool { return strings.Contains(line, "audit_log") })
				}
				if len(list) > 0 {
					t.Errorf("%s: changed\n%s", what, strings.Join(list, "\n"))
				}
			}
		}
	}
	// Rings come in the order of their commits: before this one there is none.
	follower.order(people["the organization's admin"], "POST", tenant+"/restart", "")
	for deadline := time.Now().Add(time.Minute); ; {
		mu.Lock()
		got := slices.Clone(rung)
		mu.Unlock()
		if len(got) > 1 {
			t.Errorf("dry runs rang: %s", got)
		}
		if len(got) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an order did not ring")
		}
		<-time.After(20 * time.Millisecond)
	}
}
