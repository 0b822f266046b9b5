package rls

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// supabaseProject is what a project has before Berth comes: Supabase's schema
// and default rights, and tables of its own.
const supabaseProject = `
	CREATE SCHEMA auth AUTHORIZATION sb_admin;
	GRANT USAGE ON SCHEMA auth TO sb_owner, anon, authenticated, service_role;
	CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
		SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
			nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
	ALTER FUNCTION auth.uid() OWNER TO sb_admin;
	CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
	GRANT REFERENCES ON auth.users TO sb_owner;
	GRANT SELECT, INSERT, DELETE ON auth.users TO sb_owner;
	SET SESSION AUTHORIZATION sb_owner;
	GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
	ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
	ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
	ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
`

// projects are two shapes of the tables that Berth leans on.
var projects = map[string]string{
	"like the seed's": supabaseProject + `
		CREATE TABLE public.organizations (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL,
			plan text NOT NULL DEFAULT 'free', created_at timestamptz DEFAULT now());
		CREATE TABLE public.user_profiles (id uuid PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE, email text, full_name text);
		CREATE TABLE public.user_organizations (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
			user_id uuid NOT NULL REFERENCES public.user_profiles (id) ON DELETE CASCADE,
			organization_id uuid NOT NULL REFERENCES public.organizations (id), role text NOT NULL, is_active boolean DEFAULT true);
		ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;
		ALTER TABLE public.user_profiles ENABLE ROW LEVEL SECURITY;
		ALTER TABLE public.user_organizations ENABLE ROW LEVEL SECURITY;
		CREATE POLICY mine ON public.user_organizations FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
		RESET SESSION AUTHORIZATION;`,
	"with other names and types": supabaseProject + `
		CREATE TYPE public.org_role AS ENUM ('owner', 'admin', 'viewer');
		CREATE TABLE public.organizations (id uuid PRIMARY KEY, title text NOT NULL DEFAULT '', owner_hint text NOT NULL DEFAULT '');
		CREATE TABLE public.user_profiles (id uuid PRIMARY KEY, handle text NOT NULL DEFAULT '');
		CREATE TABLE public.user_organizations (user_id text NOT NULL, org_id uuid NOT NULL, role public.org_role NOT NULL,
			PRIMARY KEY (user_id, org_id));
		RESET SESSION AUTHORIZATION;`,
}

// migrate runs the way up as a role and returns the shape that came of it.
func migrate(t *testing.T, role, database string) []string {
	t.Helper()
	connect(t, role, database).run(up(t))
	return shapeOf(t, database)
}

func shapeOf(t *testing.T, database string) []string {
	t.Helper()
	return rows[string](connect(t, "postgres", database), shape)
}

// unshaped cuts what differs by design from project to project.
func unshaped(lines []string) []string {
	list := make([]string, len(lines))
	for i, line := range lines {
		for _, prefix := range shaped {
			if strings.HasPrefix(line, prefix) {
				line = strings.Join(strings.SplitN(line, " | ", 3)[:2], " | ")
			}
		}
		list[i] = line
	}
	return list
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

func TestTheSchemaIsTheSameWhoeverMigratesAndHoweverOften(t *testing.T) {
	want := shapeOf(t, migrated)
	if len(want) < 500 {
		t.Fatalf("the schema has %d lines only", len(want))
	}
	for name, role := range map[string]string{"a superuser": "postgres", "an owner who may make roles": "plain_owner"} {
		t.Run(name, func(t *testing.T) {
			db := database(t, "", role)
			same(t, "at first", migrate(t, role, db), want)
			same(t, "again", migrate(t, role, db), want)
		})
	}
}

func TestASupabaseProjectKeepsWhatItHasAndGetsTheSameSchema(t *testing.T) {
	want := unshaped(shapeOf(t, migrated))
	for name, project := range projects {
		t.Run(name, func(t *testing.T) {
			db := database(t, "", "sb_owner")
			connect(t, "postgres", db).run(project)
			const theirs = `SELECT concat_ws(' ', c.oid::regclass, a.attname, format_type(a.atttypid, NULL), c.relrowsecurity, c.relforcerowsecurity,
				(SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND polname <> 'berth_system'))
				FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
				WHERE c.relname IN ('organizations', 'user_profiles', 'user_organizations', 'users') AND c.relnamespace <> 'berth'::regnamespace ORDER BY 1`
			own := strings.Replace(theirs, "'berth'::regnamespace", "0", 1)
			before := rows[string](connect(t, "postgres", db), own)

			same(t, "at first", unshaped(migrate(t, "sb_owner", db)), want)
			same(t, "again", unshaped(migrate(t, "sb_owner", db)), want)
			same(t, "what was there", rows[string](connect(t, "postgres", db), theirs), before)

			connect(t, "sb_owner", db).run(down(t))
			same(t, "what was there, after the way down", rows[string](connect(t, "postgres", db), own), before)
			same(t, "up again", unshaped(migrate(t, "sb_owner", db)), want)
		})
	}
}

func TestTheWayDownLeavesNothingAndUpAgainIsTheSame(t *testing.T) {
	want := shapeOf(t, migrated)
	for _, role := range []string{"postgres", "plain_owner"} {
		db := database(t, "", role)
		c := connect(t, role, db)
		c.run(up(t))
		c.run(`CREATE TABLE berth.schema_migrations (version bigint PRIMARY KEY); INSERT INTO berth.schema_migrations VALUES (43), (44), (45), (46)`)
		c.run(down(t))
		c.run(down(t)) // harmless
		if left := rows[string](c, `SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'berth', 'auth'))
			UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'berth', 'auth'))`); len(left) > 0 {
			t.Errorf("the way down leaves %v", left)
		}
		same(t, "up again as "+role, migrate(t, role, db), want)
	}
}

func TestNoWayDownWhileATenantLives(t *testing.T) {
	for _, role := range []string{"postgres", "plain_owner"} {
		db := database(t, "", role)
		c := connect(t, role, db)
		c.run(up(t))
		c.run(twoOrganizations)
		before := shapeOf(t, db)
		for _, text := range strings.SplitAfter(down(t), "\nCOMMIT;\n") {
			if text == "" {
				continue
			}
			if err := c.try(text); err == nil || !strings.Contains(err.Error(), "tenants live") {
				t.Errorf("as %s: %v", role, err)
			}
			_ = c.try("ROLLBACK")
		}
		same(t, "after the refusal", shapeOf(t, db), before)
		c.run(`UPDATE public.tenant_containers SET deprovisioned_at = now()`)
		c.run(down(t))
	}
}

func TestFourMigratorsAtOnceLeadToOneSchema(t *testing.T) {
	want := shapeOf(t, migrated)
	for range 3 {
		db := database(t, "", "")
		var all sync.WaitGroup
		for range 4 {
			c := connect(t, "postgres", db)
			all.Go(func() {
				if err := c.try(up(t)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		same(t, "afterwards", shapeOf(t, db), want)
	}
}

func TestPsqlRunsTheFilesAsTheyAre(t *testing.T) {
	db := database(t, "", "")
	files, err := filepath.Glob("../../supabase/migrations/*.sql") // in the order of their names
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	for range 2 {
		for _, file := range files {
			cmd := exec.CommandContext(t.Context(), "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1",
				"--dbname", server.URL(db), "--file", file)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%s: %v\n%s", file, err, out)
			}
		}
	}
	same(t, "afterwards", shapeOf(t, db), shapeOf(t, migrated))
}

func TestAShapeThatBerthCantReadIsRefusedInPlainWords(t *testing.T) {
	for statement, want := range map[string]string{
		`CREATE TABLE public.organizations (id bigint PRIMARY KEY)`:               "no column id of type uuid",
		`CREATE TABLE public.user_organizations (member uuid, organization uuid)`: "must have user_id",
		`CREATE TABLE public.user_profiles (key uuid PRIMARY KEY)`:                "no column id of type uuid",
	} {
		c := connect(t, "postgres", database(t, "", ""))
		c.run(statement)
		if err := c.try(up(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
