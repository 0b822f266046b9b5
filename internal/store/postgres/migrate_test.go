package postgres_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/supabase"
)

// as runs statements as the owner and returns the first value of the last.
func as(t testing.TB, url, statements string) string {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	results, err := c.PgConn().Exec(ctx, statements).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

func version(t testing.TB, s *postgres.Store) int64 {
	t.Helper()
	v, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestControlPlanesThatStartAtOnceOnAnEmptyDatabaseAllWork(t *testing.T) {
	t.Parallel()
	url := login(database(t, false))
	var wg sync.WaitGroup
	ids := make(chan string, 4)
	for i := range cap(ids) {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if err := tryInsert(t.Context(), s, i); err != nil {
				t.Error(err)
			}
			err = s.View(t.Context(), berth.System(), func(tx store.Tx) error {
				id, err := tx.Installation(t.Context())
				ids <- id
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first || !berth.IsUUID(id) {
			t.Errorf("installations %q and %q", first, id)
		}
	}
}

func TestTheSchemaGoesDownAndUpAgain(t *testing.T) {
	t.Parallel()
	url := login(database(t, false))
	s := open(t, url)
	newest := version(t, s)
	insert(t, s, 1)
	if err := s.MigrateDown(t.Context(), 0); !berth.Is(err, berth.CodeInvalidRequest) || !strings.Contains(err.Error(), "tenants live") {
		t.Errorf("got %v, want that living tenants are not dropped", err)
	}
	if got := version(t, s); got != newest || len(ports(t, s)) != 1 {
		t.Errorf("version %d, want that all is as it was", got)
	}
	if err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		n, err := tx.Tenant(t.Context(), orgID(1))
		if err != nil {
			return err
		}
		n.DeprovisionedAt = noon
		return tx.UpdateTenant(t.Context(), &n)
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // where it is already, it stays
		if err := s.MigrateDown(t.Context(), newest-1); err != nil {
			t.Fatal(err)
		}
		if got := version(t, s); got >= newest || got == 0 {
			t.Errorf("version %d, want less than %d", got, newest)
		}
	}
	if again := open(t, url); version(t, again) != newest {
		t.Error("the schema does not come up again")
	}
	if err := s.MigrateDown(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := version(t, s); got != 0 {
		t.Errorf("version %d", got)
	}
	if left := as(t, url, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('berth', 'auth') OR n.nspname = 'public' AND c.relkind IN ('r', 'v')`); left != "0" {
		t.Errorf("%s tables, views and indices are left", left)
	}
	if again := open(t, url); version(t, again) != newest {
		t.Error("the schema does not come up again")
	}
}

func TestASchemaThatTheSupabaseCLILaidIsTaken(t *testing.T) {
	t.Parallel()
	url := login(database(t, false))
	files, err := fs.Glob(supabase.Migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		data, err := fs.ReadFile(supabase.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		as(t, url, string(data))
	}
	s := open(t, url)
	insert(t, s, 1)
	if version(t, s) == 0 {
		t.Error("nothing was recorded")
	}
}

func TestASchemaOfANewerBerthIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	url := login(database(t, true))
	as(t, url, `INSERT INTO berth.schema_migrations (version, name) VALUES (9999, '9999_later')`)
	for _, keep := range []bool{false, true} {
		s, err := postgres.Open(t.Context(), postgres.Options{URL: url, KeepSchema: keep})
		if err == nil {
			s.Close()
		}
		var e *berth.Error
		if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Message, "newer Berth") || !strings.Contains(e.Message, "9999") || e.Hint == "" {
			t.Errorf("got %v, want that it is refused", err)
		}
	}
	if got := as(t, url, `SELECT max(version) FROM berth.schema_migrations`); got != "9999" {
		t.Errorf("version %s", got)
	}
}

func TestALoginThatIsNoMemberOfBerthsRolesIsToldSo(t *testing.T) {
	t.Parallel()
	name := database(t, true)
	admin(t, "postgres", `CREATE ROLE outsider LOGIN`)
	_, err := postgres.Open(t.Context(), postgres.Options{URL: strings.Replace(login(name), "owner", "outsider", 1)})
	var e *berth.Error
	if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || !strings.Contains(e.Hint, "member of berth_api") {
		t.Errorf("got %v", err)
	}
}

func TestALoginThatOwnsNothingWorksOnASchemaThatIsUpToDate(t *testing.T) {
	t.Parallel()
	empty, laid := database(t, false), database(t, true)
	admin(t, "postgres", `CREATE ROLE plain LOGIN; GRANT berth_api, berth_system TO plain`)
	url := func(name string) string { return strings.Replace(login(name), "owner", "plain", 1) }
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url(laid), KeepSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	insert(t, s, 1)
	acquire(t, s, berth.NewID(), long)
	for name, o := range map[string]postgres.Options{
		"empty, only looked at": {URL: url(empty), KeepSchema: true},
		"empty, to be laid":     {URL: url(empty)},
	} {
		s, err := postgres.Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		var e *berth.Error
		if !errors.As(err, &e) || e.Code != berth.CodeStorageUnavailable || e.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
		silent(t, err)
	}
}

// A control plane of the next version may change the schema under one that
// runs: what that has prepared does not hold any more.
func TestASchemaThatChangesUnderAStoreIsWorkedOn(t *testing.T) {
	t.Parallel()
	name := database(t, true)
	s := open(t, login(name))
	insert(t, s, 1)
	read := func() error {
		return s.View(t.Context(), berth.System(), func(tx store.Tx) error {
			_, err := tx.Tenant(t.Context(), orgID(1))
			return err
		})
	}
	for range 3 { // statements are prepared once on each connection
		if err := read(); err != nil {
			t.Fatal(err)
		}
	}
	as(t, login(name), `ALTER TABLE public.tenant_containers ALTER COLUMN tenant_name TYPE varchar(4000), ADD COLUMN later int NOT NULL DEFAULT 1`)
	if err := read(); err != nil {
		t.Errorf("read: %v", err)
	}
	as(t, login(name), `ALTER TABLE public.tenant_containers ALTER COLUMN tenant_name TYPE text`)
	err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		one, err := tx.Tenant(t.Context(), orgID(1))
		if err != nil {
			return err
		}
		return tx.UpdateTenant(t.Context(), &one)
	})
	if err != nil {
		t.Errorf("write: %v", err)
	}
}
