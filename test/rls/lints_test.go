package rls

import (
	"regexp"
	"strings"
	"testing"
)

// lint is one of the faults that Supabase's advisor (splinter) looks for: a
// query that names what has it, in Berth's objects, and a statement that makes
// one.
type lint struct {
	name  string
	query string
	fault string
}

// ofBerth limits a query over pg_class c to what is Berth's.
const ofBerth = ` (c.relnamespace = 'berth'::regnamespace OR c.relnamespace = 'public'::regnamespace
	AND (c.relname LIKE 'tenant\_%' OR EXISTS (SELECT FROM berth.made m WHERE m.object = 'table public.' || c.relname)))`

const functionsOfBerth = ` (p.pronamespace = 'berth'::regnamespace OR p.pronamespace = 'public'::regnamespace
	AND p.proname IN ('get_next_available_port', 'get_container_health_status', 'get_container_avg_resource_usage'))`

var lints = []lint{
	{"row-level security is off",
		`SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND` + ofBerth,
		`ALTER TABLE public.tenant_health NO FORCE ROW LEVEL SECURITY`},
	{"row-level security without a policy",
		`SELECT c.oid::regclass::text FROM pg_class c WHERE c.relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) AND` + ofBerth,
		`CREATE TABLE berth.bare (id int PRIMARY KEY); ALTER TABLE berth.bare ENABLE ROW LEVEL SECURITY`},
	{"a policy where row-level security is off", // also on others' tables, where Berth could have made one
		`SELECT DISTINCT c.oid::regclass::text FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE NOT c.relrowsecurity`,
		`ALTER TABLE berth.tokens DISABLE ROW LEVEL SECURITY`},
	{"several permissive policies for one role and action",
		`SELECT c.oid::regclass || ' ' || r || ' ' || a FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid AND p.polpermissive,
			unnest(p.polroles) r, unnest(ARRAY['r', 'a', 'w', 'd']) a WHERE p.polcmd::text IN (a, '*') AND` + ofBerth + ` GROUP BY c.oid, r, a HAVING count(*) > 1`,
		`CREATE POLICY second ON public.tenant_health FOR SELECT TO authenticated USING (false)`},
	{"a policy for everybody",
		`SELECT c.oid::regclass::text FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE 0 = ANY (p.polroles) AND` + ofBerth,
		`CREATE POLICY all_of_them ON public.tenant_health FOR SELECT USING (false)`},
	{"a policy for clients that is always true",
		`SELECT c.oid::regclass::text FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid, unnest(p.polroles) r
			WHERE pg_get_userbyid(r) IN ('anon', 'authenticated', 'berth_api') AND 'true' IN (pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)) AND` + ofBerth,
		`CREATE POLICY open ON berth.made FOR SELECT TO authenticated USING (true)`},
	{"a policy that trusts what users write about themselves",
		`SELECT c.oid::regclass::text FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
			WHERE concat(pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)) ~ 'user_metadata' AND` + ofBerth,
		`CREATE POLICY mine ON berth.made FOR SELECT TO anon USING ((current_setting('request.jwt.claims')::jsonb -> 'user_metadata' ->> 'x') = 'y')`},
	{"a view with its owner's rights in reach of clients",
		`SELECT c.oid::regclass::text FROM pg_class c, unnest(ARRAY['anon', 'authenticated', 'service_role']) r WHERE c.relkind IN ('v', 'm')
			AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false) AND c.relnamespace IN ('public'::regnamespace, 'berth'::regnamespace)
			AND (has_table_privilege(r, c.oid, 'SELECT') OR c.relnamespace = 'public'::regnamespace)`,
		`CREATE VIEW public.leak AS SELECT id FROM public.tenant_containers`},
	{"a function with a search path that callers choose",
		`SELECT p.oid::regprocedure::text FROM pg_proc p WHERE NOT coalesce('search_path=""' = ANY (p.proconfig), false) AND` + functionsOfBerth,
		`CREATE FUNCTION berth.loose() RETURNS int LANGUAGE sql AS 'SELECT 1'`},
	{"a definer's function that clients can call",
		`SELECT p.oid::regprocedure::text FROM pg_proc p, unnest(ARRAY['anon', 'authenticated']) r WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace
			AND has_function_privilege(r, p.oid, 'EXECUTE') AND` + functionsOfBerth,
		`GRANT EXECUTE ON FUNCTION public.get_next_available_port() TO authenticated`},
	{"a foreign key without an index",
		`SELECT k.conname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype = 'f' AND NOT EXISTS (
			SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey) AND` + ofBerth,
		`DROP INDEX public.tenant_health_container`},
	{"two indexes that are the same",
		`SELECT min(i.indexrelid::regclass::text) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE` + ofBerth + `
			GROUP BY i.indrelid, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text, coalesce(pg_get_expr(i.indpred, i.indrelid), ''), coalesce(pg_get_expr(i.indexprs, i.indrelid), '') HAVING count(*) > 1`,
		`CREATE INDEX twice ON public.tenant_health (organization_id, seq)`},
	{"a table without a primary key",
		`SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary) AND` + ofBerth,
		`ALTER TABLE berth.tokens DROP CONSTRAINT tokens_pkey`},
	{"an extension among the tables",
		`SELECT extname::text FROM pg_extension WHERE extnamespace = 'public'::regnamespace`,
		`CREATE EXTENSION pg_trgm SCHEMA public`},
	{"a right for everybody",
		`SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = 0 AND` + ofBerth + `
		UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0 AND` + functionsOfBerth,
		`GRANT EXECUTE ON FUNCTION berth.known_user(text) TO PUBLIC`},
}

func TestSupabasesLintsFindNothing(t *testing.T) {
	plain := connect(t, "postgres", database(t, migrated, ""))
	for _, l := range lints {
		if found := rows[string](plain, l.query); len(found) > 0 {
			t.Errorf("%s: %v", l.name, found)
		}
	}
	for name := range projects {
		c := connect(t, "postgres", project(t, name))
		for _, l := range lints {
			if found := rows[string](c, l.query); len(found) > 0 {
				t.Errorf("in a project %s: %s: %v", name, l.name, found)
			}
		}
	}
}

func TestEachLintFindsAFaultThatIsThere(t *testing.T) {
	c := connect(t, "postgres", database(t, migrated, ""))
	for _, l := range lints {
		c.run("BEGIN; " + l.fault)
		if found := rows[string](c, l.query); len(found) == 0 {
			t.Errorf("%s is not found", l.name)
		}
		c.run("ROLLBACK")
	}
}

// A function is called once for each row unless it stands in a sub-select that
// does not look at the row.
func TestPoliciesCallNoFunctionForEachRow(t *testing.T) {
	c := connect(t, "postgres", database(t, migrated, ""))
	const policies = `SELECT p.polrelid::regclass || '.' || p.polname || ' | ' || concat_ws(' AND ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p`
	all := rows[string](c, policies)
	if len(all) < 80 {
		t.Fatalf("there are %d policies only", len(all))
	}
	for _, line := range all {
		if call := callOf(line); call != "" {
			t.Errorf("%s calls %s", line, call)
		}
	}
	c.run(`CREATE POLICY slow ON berth.made FOR SELECT TO anon USING (berth.sees_all() AND (SELECT berth.sees_any()))`)
	found := rows[string](c, policies+` WHERE p.polname = 'slow'`)
	if callOf(found[0]) != "berth.sees_all(" {
		t.Errorf("a policy that does is not found: %s", found[0])
	}
}

var call = regexp.MustCompile(`[a-z_]+\.[a-z_]+\(|current_setting\(`)

// callOf returns the first call in a policy that is in no sub-select.
func callOf(policy string) string {
	for {
		start := strings.Index(policy, "( SELECT ")
		if start < 0 {
			return call.FindString(policy)
		}
		depth, end := 0, start
		for ; end < len(policy); end++ {
			switch policy[end] {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 {
				break
			}
		}
		policy = policy[:start] + policy[end+1:]
	}
}
