package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/tenancy"
	"github.com/unite-hub/berth/internal/testbed"
)

// Bounds of what a database may cost.
const (
	mostRLS    = 1.5 // times the same read without row-level security
	mostListMS = 20  // of a list of 100 among 1,000 tenants, at the median
	mostRows   = 15  // percent of one core, for 1,000 rows of health and usage a second
)

// databases reads 1,000 tenants with and without row-level security, lists them
// through the real API, and writes health and usage, on both databases.
func (b *bench) databases(ctx context.Context) (err error) {
	server, err := testbed.StartPostgres(ctx, "fsync=on", "shared_buffers=256MB")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := b.reads(ctx, server); err != nil {
		return err
	}
	if err := b.lists(ctx, server); err != nil {
		return err
	}
	return b.rows(ctx, server)
}

// openPostgres makes a database of 1,000 tenants.
func openPostgres(ctx context.Context, server *testbed.Postgres, name string) (*postgres.Store, []*berth.Member, error) {
	if err := server.CreateDatabase(ctx, name, ""); err != nil {
		return nil, nil, err
	}
	db, err := postgres.Open(ctx, postgres.Options{URL: server.URL(name)})
	if err != nil {
		return nil, nil, err
	}
	members, err := crowd(ctx, db, crowdSize, netip.AddrPort{})
	if err == nil {
		err = history(ctx, db, members)
	}
	if err == nil {
		err = server.Exec(ctx, name, "VACUUM ANALYZE")
	}
	return db, members, err
}

// history gives some tenants deployments and a day of usage.
func history(ctx context.Context, db store.Store, members []*berth.Member) error {
	now := time.Now().UTC().Truncate(time.Minute)
	return db.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for _, m := range members[:20] {
			t, err := tx.Tenant(ctx, m.OrganizationID)
			if err != nil {
				return err
			}
			for range 20 {
				d := berth.Deployment{ID: berth.NewID(), TenantID: t.ID, OrganizationID: t.OrganizationID, Type: berth.DeployUpdate,
					Status: berth.DeploymentCompleted, Generation: 1, New: t.Spec, Want: berth.WantRunning, CreatedAt: now, CompletedAt: now}
				if err := tx.InsertDeployment(ctx, d); err != nil {
					return err
				}
			}
			var day []berth.Usage
			for i := range 24 * 60 {
				at := now.Add(-time.Duration(i) * time.Minute)
				day = append(day, berth.Usage{OrganizationID: t.OrganizationID, Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute),
					CPUPercentAvg: berth.Known(1.5), MemoryAvg: berth.Known(int64(100 << 20)), Samples: 4})
			}
			if err := tx.PutUsage(ctx, day); err != nil {
				return err
			}
		}
		return nil
	})
}

// reads makes each read of the API on two databases that differ in row-level
// security only, in turn.
func (b *bench) reads(ctx context.Context, server *testbed.Postgres) (err error) {
	with, members, err := openPostgres(ctx, server, "secured")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, with.Close()) }()
	without, others, err := openPostgres(ctx, server, "open")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, without.Close()) }()
	if err := server.Exec(ctx, "open", `DO $$ DECLARE t regclass; BEGIN
		FOR t IN SELECT oid FROM pg_class WHERE relrowsecurity AND relkind IN ('r', 'p') LOOP
			EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t);
		END LOOP; END $$`); err != nil {
		return err
	}
	for _, who := range []string{"operator", "admin"} {
		for _, what := range []string{"one tenant", "100 tenants", "20 deployments", "a day of usage"} {
			var plain, secured sample
			for i := range b.pick(300, 30) {
				for _, side := range []struct {
					db      store.Store
					members []*berth.Member
					into    *sample
				}{{without, others, &plain}, {with, members, &secured}} {
					began := time.Now()
					if err := read(ctx, side.db, who, what, side.members[i%20].OrganizationID); err != nil {
						return fmt.Errorf("%s as %s: %w", what, who, err)
					}
					*side.into = append(*side.into, time.Since(began))
				}
			}
			ratio := float64(secured.median()) / float64(plain.median())
			fmt.Printf("   %-8s reads %-15s %.2f × without row-level security (%s)   %s / %s\n", who, what, ratio, b.bound(ratio, mostRLS), fine(secured.median()), fine(plain.median()))
		}
	}
	return nil
}

func read(ctx context.Context, db store.Store, who, what, org string) error {
	actor := berth.Actor{ID: berth.NewID(), Role: berth.RoleOperator}
	if who == "admin" {
		actor.Role, actor.OrganizationID = berth.RoleAdmin, org
	}
	return db.View(ctx, actor, func(tx store.Tx) (err error) {
		switch what {
		case "one tenant":
			_, err = tx.Tenant(ctx, org)
		case "100 tenants":
			_, _, err = tx.ListTenants(ctx, store.TenantFilter{})
		case "20 deployments":
			_, _, err = tx.ListDeployments(ctx, org, store.Page{})
		default:
			var list []berth.Usage
			list, err = tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org, Resolution: berth.ByMinute, From: time.Now().Add(-24 * time.Hour), To: time.Now(), Limit: 1500})
			if err == nil && len(list) < 1000 {
				err = fmt.Errorf("%d periods", len(list))
			}
		}
		return err
	})
}

// lists asks the real API for 100 of 1,000 tenants, on both databases, beside a
// plain client that reads the same rows from PostgreSQL and encodes them.
func (b *bench) lists(ctx context.Context, server *testbed.Postgres) (err error) {
	dir, err := os.MkdirTemp("", "berth-lists")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	lite, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lite.Close()) }()
	if _, err := crowd(ctx, lite, crowdSize, netip.AddrPort{}); err != nil {
		return err
	}
	big, err := postgres.Open(ctx, postgres.Options{URL: server.URL("secured")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, big.Close()) }()
	plain, err := pgx.Connect(ctx, server.URL("secured"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close(context.WithoutCancel(ctx))) }()
	sides := []struct {
		name string
		ask  func() error
		took sample
	}{{name: "SQLite"}, {name: "PostgreSQL"}, {name: "plain"}}
	for i, db := range []store.Store{lite, big} {
		ask, closeAPI, err := listing(ctx, db, dir)
		if err != nil {
			return err
		}
		defer closeAPI()
		sides[i].ask = ask
	}
	sides[2].ask = func() error {
		rows, err := plain.Query(ctx, `SELECT * FROM public.tenant_containers WHERE deprovisioned_at IS NULL ORDER BY seq LIMIT 100`)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			return err
		}
		return json.NewEncoder(io.Discard).Encode(list)
	}
	for range b.pick(200, 20) {
		for i := range sides {
			began := time.Now()
			if err := sides[i].ask(); err != nil {
				return fmt.Errorf("%s: %w", sides[i].name, err)
			}
			sides[i].took = append(sides[i].took, time.Since(began))
		}
	}
	peer := sides[2].took.median()
	for _, s := range sides[:2] {
		took := float64(s.took.median().Microseconds()) / 1000
		fmt.Printf("   GET /api/tenants, 100 of %d, on %-11s %.2f × a plain SELECT and encoding of the rows (%s)   median %.1f ms (%s), p95 %s\n",
			crowdSize, s.name, float64(s.took.median())/float64(peer), fine(peer), took, b.bound(took, mostListMS), fine(s.took.quantile(.95)))
	}
	return nil
}

// listing serves the real API of a database, without a loop, and asks it.
func listing(ctx context.Context, db store.Store, dir string) (ask func() error, stop func(), err error) {
	keys := auth.New(auth.Config{Store: db})
	text, _, err := keys.Create(ctx, berth.System(), auth.NewToken{Name: "bench", Role: berth.RoleOperator})
	if err != nil {
		return nil, nil, err
	}
	service := tenancy.New(tenancy.Config{Now: time.Now, Blueprint: berth.BuiltinBlueprint, Examine: blueprint.Examine}, tenancy.Parts{
		Store: db, Loop: still{},
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) }),
	})
	if _, _, err := service.ApplyBlueprint(ctx, berth.System(), blueprint.BuiltinSource()); err != nil {
		return nil, nil, err
	}
	srv := httptest.NewServer(api.New(api.Config{Service: service, Auth: keys, Limits: api.Limits{}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), Version: "bench", StateDir: dir}))
	return func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/api/tenants?limit=100", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+text)
		resp, err := srv.Client().Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || bytes.Count(body, []byte(`"slug"`)) != 100) {
			err = fmt.Errorf("%s: %.200s", resp.Status, body)
		}
		return err
	}, srv.Close, nil
}

// rows has a process of its own write 500 rows of health and 500 of usage a
// second into each database, and measures what that costs it.
func (b *bench) rows(ctx context.Context, server *testbed.Postgres) (err error) {
	dir, err := os.MkdirTemp("", "berth-rows")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := server.CreateDatabase(ctx, "rows", ""); err != nil {
		return err
	}
	for name, url := range map[string]string{"SQLite": "sqlite:" + filepath.Join(dir, "rows.db"), "PostgreSQL": server.URL("rows")} {
		if err := b.writeRows(ctx, name, url); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (b *bench) writeRows(ctx context.Context, name, url string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "-rows", fmt.Sprint(b.pick(60, 5)))
	child.Env = append(os.Environ(), "BENCH_DATABASE="+url)
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return err
	}
	var core, rate float64
	if _, err := fmt.Sscan(string(out), &core, &rate); err != nil {
		return err
	}
	fmt.Printf("   %-10s %.0f rows of health and usage a second   %.2f %% of one core (%s)\n", name, rate, core, b.bound(core, mostRows))
	return nil
}

// record is the child: it writes for a time and prints what that cost, in
// percent of one core, and how many rows a second there were.
func record(ctx context.Context, seconds int) (err error) {
	db, closeDB, err := openURL(ctx, os.Getenv("BENCH_DATABASE"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	members, err := crowd(ctx, db, crowdSize, netip.AddrPort{})
	if err != nil {
		return err
	}
	began, used, written := time.Now(), ownCPU(), 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := range seconds {
		// As the monitor and the meter write: health in places of the interval, usage by minute.
		for part := range 10 {
			var probes []berth.Probe
			for i := range 50 {
				m := members[(n*500+part*50+i)%crowdSize]
				probes = append(probes, berth.Probe{OrganizationID: m.OrganizationID, CheckedAt: time.Now().UTC(), Status: berth.ProbeHealthy,
					ResponseTime: 3 * time.Millisecond, HTTPStatus: 200, Type: "http", Endpoint: "/api/health"})
			}
			if err := db.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, probes) }); err != nil {
				return err
			}
			written += len(probes)
		}
		var list []berth.Usage
		for i := range 500 {
			m := members[(n*500+i)%crowdSize]
			at := began.UTC().Truncate(time.Minute).Add(time.Duration(n) * time.Minute)
			list = append(list, berth.Usage{OrganizationID: m.OrganizationID, Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute),
				CPUPercentAvg: berth.Known(1.5), CPUPercentMax: berth.Known(2.5), MemoryAvg: berth.Known(int64(100 << 20)), MemoryMax: berth.Known(int64(120 << 20)),
				NetworkRx: berth.Known(int64(1000)), NetworkTx: berth.Known(int64(2000)), Requests: berth.Known(int64(10)), Errors: berth.Known(int64(0)), Samples: 4})
		}
		if err := db.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.PutUsage(ctx, list) }); err != nil {
			return err
		}
		written += len(list)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	took := time.Since(began)
	fmt.Println(100*(ownCPU()-used).Seconds()/took.Seconds(), float64(written)/took.Seconds())
	return nil
}

func openURL(ctx context.Context, url string) (store.Store, func() error, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		db, err := sqlite.Open(ctx, sqlite.Options{Path: path})
		if err != nil {
			return nil, nil, err
		}
		return db, db.Close, nil
	}
	db, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

// still is a loop that does not run: lists ask it for the engine's size only.
type still struct{ tenancy.Loop }

func (still) EngineInfo() (berth.EngineInfo, bool) { return berth.EngineInfo{ID: "e", Cores: 2}, true }
