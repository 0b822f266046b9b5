package move_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/move"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/testbed"
)

// server is the cluster of this package's tests.
var server *testbed.Postgres

func TestMain(m *testing.M) {
	ctx := context.Background()
	var err error
	if server, err = testbed.StartPostgres(ctx); err != nil {
		log.Fatal(err)
	}
	if err := server.Exec(ctx, "postgres", `CREATE ROLE owner LOGIN CREATEROLE`); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if err := server.Stop(); err != nil {
			log.Fatal(err)
		}
		os.Exit(code)
	}))
}

var databases atomic.Int64

// database makes one that owner has, who is no superuser.
func database(t testing.TB, statements ...string) string {
	t.Helper()
	name := fmt.Sprintf("move_%d", databases.Add(1))
	admin(t, "postgres", `CREATE DATABASE `+name+` OWNER owner`)
	for _, s := range statements {
		admin(t, name, s)
	}
	return name
}

func admin(t testing.TB, database, statements string) {
	t.Helper()
	if err := server.Exec(t.Context(), database, statements); err != nil {
		t.Fatal(err)
	}
}

func destination(t testing.TB, name string) *postgres.Store {
	t.Helper()
	return destinationAs(t, "owner", name)
}

func destinationAs(t testing.TB, role, name string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: server.URLAs(role, name)})
	return opened(t, s, err)
}

func origin(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	return opened(t, s, err)
}

func opened[S interface{ Close() error }](t testing.TB, s S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestEverythingOfAnInstallationReadsTheSameAfterAMove(t *testing.T) {
	t.Parallel()
	from, to := origin(t), destination(t, database(t))
	seed(t, from)
	list, err := move.Run(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Rows == 0 {
			t.Errorf("the test has no row of %s", m.Table)
		}
	}
	for _, actor := range []berth.Actor{
		berth.System(), {ID: "token-1", Role: berth.RoleOperator}, {ID: id(10), Role: berth.RoleAdmin, OrganizationID: orgID(1)},
		{ID: id(11), Role: berth.RoleMember, OrganizationID: orgID(2)}, {},
	} {
		same(t, everything(t, to, actor), everything(t, from, actor))
	}
	chains(t, to)
}

// chains checks every chain of the audit, from its first entry on.
func chains(t testing.TB, s store.Store) {
	t.Helper()
	if err := s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		for _, org := range []string{"", orgID(1), orgID(7)} {
			entries, _, err := tx.ListAudit(t.Context(), store.AuditFilter{OrganizationID: org, Ascending: true, Page: whole})
			if err != nil || len(entries) < 4 {
				t.Errorf("chain of %q: %d entries, %v", org, len(entries), err)
			}
			var before *berth.AuditEntry
			for i := range entries {
				if !entries[i].Follows(before) {
					t.Errorf("chain of %q is broken at %d", org, i+1)
				}
				before = &entries[i]
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAMovedInstallationGoesOn(t *testing.T) {
	t.Parallel()
	from, to := origin(t), destination(t, database(t))
	seed(t, from)
	if _, err := move.Run(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	// The same orders, in both: they are numbered and chained alike.
	further := func(ctx context.Context, tx store.Tx) error {
		n := tenant(8)
		d := deployment(n, 5, berth.DeploymentPending)
		over := deployment(tenant(1), 3, berth.DeploymentCompleted)
		entry := berth.AuditEntry{ID: id(90), OrganizationID: orgID(1), At: noon, Action: "tenant.stop", Outcome: berth.AuditDone}
		first := berth.AuditEntry{ID: id(91), OrganizationID: orgID(8), At: noon, Action: "tenant.provision", Outcome: berth.AuditDone}
		return all(
			func() error { return tx.InsertTenant(ctx, n) },
			func() error { d.RollbackOf = ""; return tx.InsertDeployment(ctx, d) },
			func() error { return tx.UpdateDeployment(ctx, over) },
			func() error {
				return tx.InsertEvent(ctx, berth.Event{ID: id(92), OrganizationID: orgID(8), At: noon, Kind: "failed", Message: "m"})
			},
			func() error {
				return tx.InsertToken(ctx, berth.Token{ID: id(93), Name: "n", Prefix: "p", Hash: digest(93), Role: berth.RoleOperator, CreatedAt: noon})
			},
			func() error {
				return tx.InsertSession(ctx, berth.Session{ID: id(94), Hash: digest(94), UserID: id(10), CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)})
			},
			func() error {
				return tx.InsertInvitation(ctx, berth.Invitation{ID: id(95), Hash: digest(95), Email: "d@example.com", OrganizationID: orgID(8), Role: berth.RoleAdmin, CreatedAt: noon, ExpiresAt: noon})
			},
			func() error {
				return tx.RecordProbes(ctx, []berth.Probe{{OrganizationID: orgID(1), CheckedAt: noon.Add(time.Hour), Status: berth.ProbeHealthy}})
			},
			func() error {
				return tx.InsertChannel(ctx, store.StoredChannel{Channel: berth.Channel{ID: id(96), Type: berth.ChannelEmail, Target: "a@example.com", Kinds: []string{"failed"}, Enabled: true, CreatedAt: noon}})
			},
			func() error {
				return tx.InsertDelivery(ctx, berth.Delivery{ID: id(97), ChannelID: id(96), EventID: id(92), Kind: "failed", Body: []byte("{}"), CreatedAt: noon, State: berth.DeliveryPending})
			},
			func() error {
				return tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 3, Hash: "h3", CreatedAt: noon})
			},
			func() error { return tx.AppendAudit(ctx, &entry) },
			func() error { return tx.AppendAudit(ctx, &first) },
		)
	}
	for _, s := range []store.Store{from, to} {
		if err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error { return further(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	same(t, everything(t, to, berth.System()), everything(t, from, berth.System()))
	chains(t, to)
}

// rows counts what is in the tables of a database that a move fills.
func rows(t testing.TB, s *postgres.Store) (n int) {
	t.Helper()
	stop := errors.New("only counted")
	err := s.Fill(t.Context(), func(f store.Filling) error {
		for _, table := range store.Tables() {
			if err := f.Each(t.Context(), table, func(store.Row) error { n++; return nil }); err != nil {
				return err
			}
		}
		return stop
	})
	if !strings.Contains(fmt.Sprint(err), stop.Error()) {
		t.Fatalf("it is not as a new one is: %v", err)
	}
	return n
}

// breaking is an origin that does something at a number of rows.
type breaking struct {
	store.Origin
	at   int
	what func() error
}

func (b breaking) Rows(ctx context.Context, fn func(store.Rows) error) error {
	return b.Origin.Rows(ctx, func(r store.Rows) error { return fn(&breakingRows{r, b, 0}) })
}

type breakingRows struct {
	store.Rows
	breaking
	seen int
}

func (b *breakingRows) Each(ctx context.Context, t store.Table, fn func(store.Row) error) error {
	return b.Rows.Each(ctx, t, func(r store.Row) error {
		if b.seen++; b.seen == b.at {
			if err := b.what(); err != nil {
				return err
			}
		}
		return fn(r)
	})
}

func TestAMoveThatIsBrokenOffLeavesNothing(t *testing.T) {
	t.Parallel()
	from := origin(t)
	seed(t, from)
	name := database(t)
	to := destination(t, name)
	total := 0
	if err := from.Rows(t.Context(), func(r store.Rows) error {
		for _, table := range store.Tables() {
			if err := r.Each(t.Context(), table, func(store.Row) error { total++; return nil }); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, 9, total / 2, total} {
		ctx, cancel := context.WithCancel(t.Context())
		for what, broken := range map[string]struct {
			do   func() error
			want error
		}{
			"by its user":          {func() error { cancel(); return nil }, context.Canceled},
			"by an error":          {func() error { return errOfTheTest }, errOfTheTest},
			"by a lost connection": {func() error { admin(t, "postgres", terminate(name)); return nil }, nil},
		} {
			ctx := ctx
			if what != "by its user" {
				ctx = t.Context()
			}
			_, err := move.Run(ctx, breaking{from, at, broken.do}, to)
			if err == nil || broken.want != nil && !errors.Is(err, broken.want) {
				t.Errorf("broken off %s at row %d of %d: %v", what, at, total, err)
			}
			if n := rows(t, to); n != 0 {
				t.Errorf("broken off %s at row %d of %d: %d rows are left", what, at, total, n)
			}
		}
		cancel()
	}
	if _, err := move.Run(t.Context(), from, to); err != nil {
		t.Errorf("a move after all those: %v", err)
	}
}

var errOfTheTest = errors.New("broken off by the test")

func terminate(database string) string {
	return `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + database + `'`
}
