package rls

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fleet stores 1,000 tenants and 1,000,000 probes, 1,000 of each and in the
// order of time, 200,000 periods of usage and 20,000 deployments. Triggers and
// foreign keys are off: what is stored keeps to them.
const fleet = `
	SET session_replication_role = replica;
	SET synchronous_commit = off;
	CREATE FUNCTION pg_temp.id(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (lpad(kind::text, 8, '0') || '-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
	INSERT INTO public.organizations (id, name) SELECT pg_temp.id(1, n), 'n' FROM generate_series(1, 1000) n;
	INSERT INTO public.user_profiles (id) SELECT pg_temp.id(3, n) FROM generate_series(1, 1000) n;
	INSERT INTO public.user_organizations (user_id, organization_id, role) SELECT pg_temp.id(3, n), pg_temp.id(1, n), 'admin' FROM generate_series(1, 1000) n;
	INSERT INTO public.tenant_containers (id, organization_id, tenant_name, container_name, tenant_url, slug, search_text)
		SELECT pg_temp.id(2, n), pg_temp.id(1, n), 'n', n, 'u', n, n FROM generate_series(1, 1000) n;
	CREATE TEMP TABLE later AS SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS statement FROM pg_index
		WHERE indrelid = 'public.tenant_health'::regclass AND NOT indisunique; -- made anew afterwards: that is faster
	DO $$ DECLARE i record; BEGIN FOR i IN SELECT * FROM later LOOP EXECUTE 'DROP INDEX ' || i.name; END LOOP; END $$;
	INSERT INTO public.tenant_health (id, container_id, organization_id, checked_at, status)
		SELECT pg_temp.id(round, right(t.id::text, 12)::int), t.id, t.organization_id, now() - (1000 - round) * interval '30 seconds', 'healthy'
		FROM generate_series(1, 1000) round, (SELECT id, organization_id FROM public.tenant_containers ORDER BY id) t;
	DO $$ DECLARE i record; BEGIN FOR i IN SELECT * FROM later LOOP EXECUTE i.statement; END LOOP; END $$;
	INSERT INTO public.tenant_resource_usage (container_id, organization_id, period_start, period_end, resolution, request_count)
		SELECT t.id, t.organization_id, date_trunc('minute', now()) - n * interval '1 minute', date_trunc('minute', now()) - (n - 1) * interval '1 minute', 'minute', 1
		FROM generate_series(1, 200) n, public.tenant_containers t;
	INSERT INTO public.tenant_deployments (container_id, organization_id, deployment_type, new_image_tag, status)
		SELECT t.id, t.organization_id, 'update', 'v1', 'completed' FROM generate_series(1, 20) n, public.tenant_containers t;
	RESET session_replication_role;
	ANALYZE`

// One of the thousand, in the middle.
const (
	someOrganization = "00000001-0000-4000-8000-000000000500"
	someTenant       = "00000002-0000-4000-8000-000000000500"
	someUser         = "00000003-0000-4000-8000-000000000500"
)

// node is a part of a plan that was run.
type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Role     string `json:"Parent Relationship"`
	Filter   string `json:"Filter"`
	Removed  int    `json:"Rows Removed by Filter"`
	Rows     int    `json:"Actual Rows"`
	Loops    int    `json:"Actual Loops"`
	Hit      int    `json:"Shared Hit Blocks"`
	Read     int    `json:"Shared Read Blocks"`
	Plans    []node `json:"Plans"`
}

func (n node) walk(visit func(node)) {
	visit(n)
	for _, p := range n.Plans {
		p.walk(visit)
	}
}

func explain(c conn, query string) (plan node, took time.Duration, text string) {
	c.Helper()
	text = one[string](c, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+query)
	var plans []struct {
		Plan node
		Took float64 `json:"Execution Time"`
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		c.Fatal(err)
	}
	return plans[0].Plan, time.Duration(plans[0].Took * float64(time.Millisecond)), text
}

func TestAMillionProbesAreFoundByIndexAndNoFunctionIsCalledForEachRow(t *testing.T) {
	db := database(t, migrated, "")
	began := time.Now()
	connect(t, "postgres", db).run(fleet)
	t.Logf("stored in %v", time.Since(began).Round(time.Second))

	whose := map[string]string{ // what a query says itself about whose rows it wants
		"":                "", // nothing: row-level security alone
		"organization_id": " AND organization_id = '" + someOrganization + "'",
		"container_id":    " AND container_id = '" + someTenant + "'",
	}
	queries := map[string]string{
		"latest probes":      `SELECT * FROM public.tenant_health WHERE true%s ORDER BY seq DESC LIMIT 20`,
		"probes of a time":   `SELECT * FROM public.tenant_health WHERE checked_at >= now() - interval '5 minutes'%s ORDER BY checked_at DESC LIMIT 20`,
		"count of probes":    `SELECT count(*) FROM public.tenant_health WHERE true%s`,
		"usage by period":    `SELECT * FROM public.tenant_resource_usage WHERE resolution = 'minute' AND period_start >= now() - interval '1 hour'%s ORDER BY period_start`,
		"latest deployments": `SELECT * FROM public.tenant_deployments WHERE true%s ORDER BY seq DESC LIMIT 20`,
	}
	asks := []actor{
		client("member with a JWT", "authenticated", "member", someUser),
		api("member", "viewer", "member", someOrganization),
		api("operator", "operator", "operator", ""),
	}
	for _, a := range asks {
		c := connect(t, a.login, db)
		c.run("BEGIN")
		a.dress(c)
		for name, query := range queries {
			for by, condition := range whose {
				// Berth's own queries name the organization, which the policy for
				// clients does by itself. The latest of anybody, of which only one's are
				// shown, are looked for among everybody's: so a client names whose it
				// wants (docs/postgresql.md).
				latest := strings.HasPrefix(name, "latest")
				if by == "" && (latest || a.role == "berth_api") || by == "container_id" && latest && a.role == "berth_api" {
					continue
				}
				plan, took, text := explain(c, fmt.Sprintf(query, condition))
				what := fmt.Sprintf("%s: %s, by %q", a.name, name, by)
				if fault := faultOf(plan); fault != "" {
					t.Errorf("%s: %s (%v)\n%s", what, fault, took, text)
				}
			}
		}
		for _, call := range []string{`public.get_container_health_status('` + someTenant + `')`, `public.get_container_avg_resource_usage('` + someTenant + `')`} {
			plan, took, _ := explain(c, "SELECT "+call)
			if blocks := plan.Hit + plan.Read; blocks > 400 {
				t.Errorf("%s: %s reads %d blocks in %v", a.name, call, blocks, took)
			}
		}
		c.run("ROLLBACK")
	}
	t.Run("a policy that calls a function for each row is noticed", func(t *testing.T) {
		c := connect(t, "postgres", db)
		c.run(`BEGIN; GRANT USAGE ON SCHEMA berth TO authenticated; GRANT EXECUTE ON FUNCTION berth.claim(text) TO authenticated;
			ALTER POLICY member_reads ON public.tenant_health USING (organization_id::text = berth.claim('org'));
			SET LOCAL ROLE authenticated; SET LOCAL request.jwt.claims = '{"org": "` + someOrganization + `"}'`)
		plan, _, _ := explain(c, `SELECT count(*) FROM public.tenant_health WHERE organization_id = '`+someOrganization+`'`)
		if faultOf(plan) == "" {
			t.Error("it is not")
		}
		c.run("ROLLBACK")
	})
}

func TestARoundOfProbesTouchesNoIndexOfTheTenants(t *testing.T) {
	db := database(t, migrated, "")
	c := connect(t, "postgres", db)
	c.run(`INSERT INTO public.organizations (id, name) SELECT ('00000001-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'n' FROM generate_series(1, 1000) n;
		INSERT INTO public.tenant_containers (organization_id, tenant_name, container_name, container_id, tenant_url, environment_vars)
			SELECT id, 'n', id, repeat(md5(id::text), 2), 'u', jsonb_build_object('KEY', gen_random_uuid()) FROM public.organizations`)
	for range 10 {
		c.run(`UPDATE public.tenant_containers SET last_health_check_at = clock_timestamp()`)
	}
	c.run(`SELECT pg_stat_force_next_flush()`)
	if n := one[int64](c, `SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'public.tenant_containers'::regclass`); n < 9000 {
		t.Errorf("of 10000 changes only %d leave the indexes alone", n)
	}
}

var bigTables = regexp.MustCompile(`^tenant_(health|resource_usage|deployments)$`)

// faultOf says what is wrong with how a plan reads the big tables.
func faultOf(plan node) (fault string) {
	reads := false
	plan.walk(func(n node) {
		if !bigTables.MatchString(n.Relation) {
			return
		}
		reads = true
		switch {
		case !strings.Contains(n.Type, "Index") && n.Type != "Bitmap Heap Scan":
			fault = n.Type + " on " + n.Relation
		case call.MatchString(strings.ReplaceAll(n.Filter, "now()", "")):
			fault = "a function for each row: " + n.Filter
		case strings.Contains(n.Filter, "SubPlan") && !strings.Contains(n.Filter, "hashed SubPlan"):
			fault = "a query for each row: " + n.Filter
		case n.Removed > 1000:
			fault = fmt.Sprintf("%d rows read in vain: %s", n.Removed, n.Filter)
		}
	})
	if !reads {
		return "the plan reads none of the big tables"
	}
	return fault
}
