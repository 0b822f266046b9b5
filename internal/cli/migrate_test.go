package cli

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/testbed"
	"github.com/unite-hub/berth/supabase"
)

// migrateRun is berth migrate with environment and arguments.
func migrateRun(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = Main(t.Context(), Env{
		Args: append([]string{"migrate"}, args...), Stdin: strings.NewReader("yes\n"), Stdout: &out, Stderr: &errs, Terminal: env["TERMINAL"] != "",
		Getenv: func(name string) string { return env[name] },
	})
	return code, out.String(), errs.String()
}

// installation makes a state directory with a database that holds something.
func installation(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		return tx.PutOrganization(t.Context(), berth.Organization{ID: berth.NewID(), Name: "One", CreatedAt: time.Now()})
	}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func postgresServer(t *testing.T) *testbed.Postgres {
	t.Helper()
	p, err := testbed.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestMigrateLaysTheSchemaAndTakesItBack(t *testing.T) {
	p := postgresServer(t)
	if err := p.CreateDatabase(t.Context(), "laid", ""); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BERTH_DATABASE_URL": p.URL("laid"), "TERMINAL": "1"}
	files, err := fs.Glob(supabase.Migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	newest, err := strconv.Atoi(strings.TrimPrefix(strings.SplitN(path.Base(slices.Max(files)), "_", 2)[0], "0"))
	if err != nil {
		t.Fatal(err)
	}
	// N is the newest version, P the one before it.
	numbered := strings.NewReplacer("N", strconv.Itoa(newest), "P", strconv.Itoa(newest-1)).Replace
	for _, step := range []struct {
		args string
		want string
	}{
		{"--status", "0 0 N"}, {"", "0 N N"}, {"", "N N N"}, {"--status", "N N N"},
		{"--down-to P", "N P N"}, {"--down-to 43 --yes", "P 43 N"}, {"--down-to 0 --yes", "43 0 N"}, {"", "0 N N"},
	} {
		step.args, step.want = numbered(step.args), numbered(step.want)
		code, out, errs := migrateRun(t, env, strings.Fields(step.args)...)
		_, numbers, _ := strings.Cut(out, "\n")
		if got := strings.Join(strings.Fields(numbers), " "); code != 0 || got != step.want {
			t.Fatalf("migrate %s: exit %d, %q, want %q; %s", step.args, code, got, step.want, errs)
		}
		if asked := strings.Contains(errs, "Type yes"); asked != (step.args == numbered("--down-to P")) {
			t.Errorf("migrate %s: asked %v", step.args, asked)
		}
	}
	if code, _, errs := migrateRun(t, env, "--down-to", strconv.Itoa(newest), "--yes"); code != 1 || !strings.Contains(errs, "no way down to "+strconv.Itoa(newest)) {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, out, _ := migrateRun(t, env, "-o", "json"); code != 0 || !strings.Contains(out, numbered(`"now": N`)) {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestMigrateMovesAnInstallationThatNobodyUses(t *testing.T) {
	p := postgresServer(t)
	dir := installation(t)
	if err := p.CreateDatabase(t.Context(), "moved", ""); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BERTH_DATABASE_URL": p.URL("moved")}
	before, err := os.ReadFile(filepath.Join(dir, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}

	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir() // serve was told another file than that of its state directory
	if err := os.Link(filepath.Join(dir, "berth.db"), filepath.Join(elsewhere, "other.db")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--from", "sqlite:", "--state-dir", dir},
		{"--from", "sqlite:" + filepath.Join(dir, "berth.db"), "--state-dir", filepath.Join(dir, "none")},
		{"--from", "sqlite:" + filepath.Join(elsewhere, "other.db"), "--state-dir", dir},
	} {
		if code, out, errs := migrateRun(t, env, args...); code != 1 || out != "" || !strings.Contains(errs, "hint: stop Berth first") {
			t.Errorf("%q of an installation in use: exit %d, %q, %q", args, code, out, errs)
		}
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}

	code, out, errs := migrateRun(t, env, "--from", "sqlite:", "--state-dir", dir)
	if code != 0 || !strings.Contains(errs, "secret.key") {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	got := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			got[f[0]] = f[1] + " " + f[2]
		}
	}
	if len(got) != 1+len(store.Tables()) || got["organizations"] != "1 equal" || got["tokens"] != "0 equal" || got["installation"] != "1 equal" {
		t.Errorf("the table is %q", out)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "berth.db")); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed, %v", err)
	}
	if code, _, errs := migrateRun(t, env, "--from", "sqlite:", "--state-dir", dir); code != 1 || !strings.Contains(errs, "never merged") {
		t.Errorf("a second time: exit %d, %q", code, errs)
	}
}

func TestCtrlCDuringAMoveLeavesNothing(t *testing.T) {
	p := postgresServer(t)
	dir := installation(t)
	if err := p.CreateDatabase(t.Context(), "broken", ""); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BERTH_DATABASE_URL": p.URL("broken")}
	if code, _, errs := migrateRun(t, env); code != 0 {
		t.Fatal(errs)
	}
	// Whoever inserts the first row waits for ever.
	if err := p.Exec(t.Context(), "broken", `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
		CREATE TRIGGER wait BEFORE INSERT ON public.organizations FOR EACH ROW EXECUTE FUNCTION wait()`); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		defer interrupt()
		for p.Exec(ctx, "broken", `DO $$ BEGIN ASSERT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'); END $$`) != nil && ctx.Err() == nil {
			<-time.After(10 * time.Millisecond)
		}
	}()
	var out, errs strings.Builder
	code := Main(ctx, Env{
		Args: []string{"migrate", "--from", "sqlite:", "--state-dir", dir}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string { return env[name] },
	})
	if code != 1 || out.String() != "" || !strings.Contains(errs.String(), "nothing was moved") {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
	if err := p.Exec(t.Context(), "broken", `DROP TRIGGER wait ON public.organizations;
		DO $$ BEGIN ASSERT (SELECT count(*) FROM public.organizations) = 0; END $$`); err != nil {
		t.Error(err)
	}
	if code, _, errs := migrateRun(t, env, "--from", "sqlite:", "--state-dir", dir); code != 0 {
		t.Errorf("a move afterwards: %s", errs)
	}
}
