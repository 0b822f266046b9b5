package rls

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
)

// insertTenant stores the nth organization and its tenant on the next free port.
const insertTenant = `INSERT INTO public.tenant_containers (organization_id, tenant_name, container_name, external_port, cpu_limit, memory_limit_mb, disk_limit_mb, tenant_url, status)
	VALUES ($1::uuid, 'n', 'tenant_' || $1::uuid, public.get_next_available_port(), 0.5, 512, 2048, 'u', 'provisioning') RETURNING external_port`

// provision stores an organization and its tenant as service_role, in a
// transaction of its own, and returns the tenant's port.
func provision(ctx context.Context, c *pgx.Conn, organization string) (port int, err error) {
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL ROLE service_role"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO public.organizations (id, name) VALUES ($1, 'n')`, organization); err != nil {
			return err
		}
		return tx.QueryRow(ctx, insertTenant, organization).Scan(&port)
	})
	return port, err
}

func TestFiftyAtOnceGetFiftyDifferentPorts(t *testing.T) {
	db := database(t, "", "plain_owner") // as whom the function runs
	connect(t, "plain_owner", db).run(up(t))
	var all sync.WaitGroup
	ports := make([]int, 50)
	for i := range ports {
		c := connect(t, "authenticator", db)
		all.Go(func() {
			port, err := provision(t.Context(), c.Conn, berth.NewID())
			if err != nil {
				t.Error(err)
			}
			ports[i] = port
		})
	}
	all.Wait()
	slices.Sort(ports)
	var want []int
	for p := 3001; len(want) < 50; p++ {
		if p != 3008 {
			want = append(want, p)
		}
	}
	if !slices.Equal(ports, want) {
		t.Errorf("got %v", ports)
	}
}

func TestAPortThatIsFreeAgainIsTheNextOne(t *testing.T) {
	db := database(t, migrated, "")
	c := connect(t, "authenticator", db)
	var ids []string
	for range 9 {
		id := berth.NewID()
		ids = append(ids, id)
		if _, err := provision(t.Context(), c.Conn, id); err != nil {
			t.Fatal(err)
		}
	}
	admin := connect(t, "postgres", db)
	if got := rows[int32](admin, `SELECT external_port FROM public.tenant_containers ORDER BY 1`); !slices.Equal(got, []int32{3001, 3002, 3003, 3004, 3005, 3006, 3007, 3009, 3010}) {
		t.Errorf("got %v", got)
	}
	admin.run(`UPDATE public.tenant_containers SET deprovisioned_at = now() WHERE organization_id IN ('` + ids[4] + `', '` + ids[6] + `')`)
	for _, want := range []int32{3005, 3005} { // asked for only, it stays free
		if got := one[int32](admin, `SELECT public.get_next_available_port()`); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

func TestWithoutAFreePortTheErrorSaysSo(t *testing.T) {
	db := database(t, migrated, "")
	admin := connect(t, "postgres", db)
	admin.run(`INSERT INTO public.organizations (id, name) SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'n' FROM generate_series(3001, 32766) n WHERE n <> 3008;
		INSERT INTO public.tenant_containers (organization_id, tenant_name, container_name, tenant_url, external_port)
		SELECT o.id, 'n', o.id, 'u', right(o.id::text, 12)::int FROM public.organizations o`)
	if port, err := provision(t.Context(), connect(t, "authenticator", db).Conn, berth.NewID()); port != 32767 || err != nil {
		t.Errorf("the last one: %d, %v", port, err)
	}
	_, err := provision(t.Context(), connect(t, "authenticator", db).Conn, berth.NewID())
	if err == nil || !strings.Contains(err.Error(), "No available ports in valid range") {
		t.Errorf("got %v", err)
	}
}

// The function and berth.HealthOf are one rule in two languages.
func TestHealthInTheDatabaseIsWhatBerthSays(t *testing.T) {
	db := database(t, migrated, "")
	c := connect(t, "postgres", db)
	c.run(twoOrganizations)
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[berth.Health]int{}
	for range 300 {
		c.run("BEGIN")
		now := one[time.Time](c, `SELECT now()`)
		var probes []berth.Probe
		for age := time.Duration(0); len(probes) < random.IntN(9); {
			age += time.Duration(random.IntN(100_000)) * time.Millisecond
			status := []berth.ProbeStatus{berth.ProbeHealthy, berth.ProbeHealthy, berth.ProbeUnhealthy, berth.ProbeTimeout}[random.IntN(4)]
			probes = append(probes, berth.Probe{CheckedAt: now.Add(-age), Status: status})
			if _, err := c.Exec(t.Context(), `INSERT INTO public.tenant_health (container_id, checked_at, status) VALUES ($1, $2, $3)`, ourTenant, now.Add(-age), string(status)); err != nil {
				t.Fatal(err)
			}
		}
		want := berth.HealthOf(probes, now)
		seen[want]++
		if got := one[string](c, `SELECT public.get_container_health_status($1)`, ourTenant); got != string(want) {
			t.Errorf("got %s, want %s of %+v", got, want, probes)
		}
		c.run("ROLLBACK")
	}
	if len(seen) != 4 {
		t.Errorf("only %v were met", seen)
	}
}

// The function and berth.AverageUsage are one rule in two languages.
func TestAverageUsageInTheDatabaseIsWhatBerthSays(t *testing.T) {
	db := database(t, migrated, "")
	c := connect(t, "postgres", db)
	c.run(twoOrganizations)
	random := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		c.run("BEGIN")
		at := one[time.Time](c, `SELECT now()`)
		var list []berth.Usage
		for range random.IntN(20) {
			u := berth.Usage{Start: at.Add(-time.Duration(1+random.IntN(90)) * time.Second), End: at}
			at = u.Start
			cpu, memory, requests := float64(random.IntN(40_000))/100, int64(random.IntN(4000)), int64(random.IntN(100))
			u.CPUPercentAvg = berth.Maybe[float64]{Value: cpu, Known: random.IntN(4) > 0}
			u.MemoryAvg = berth.Maybe[int64]{Value: memory << 20, Known: random.IntN(4) > 0}
			u.Requests = berth.Maybe[int64]{Value: requests, Known: random.IntN(4) > 0}
			list = append(list, u)
			if _, err := c.Exec(t.Context(), `INSERT INTO public.tenant_resource_usage (container_id, period_start, period_end, cpu_usage_percent_avg, memory_usage_mb_avg, request_count)
				VALUES ($1, $2, $3, $4, $5, $6)`, ourTenant, u.Start, u.End, orNil(u.CPUPercentAvg, cpu), orNil(u.MemoryAvg, memory), u.Requests.Pointer()); err != nil {
				t.Fatal(err)
			}
		}
		want := berth.AverageUsage(list)
		var cpu, memory *float64
		var requests, failed *int64
		if err := c.QueryRow(t.Context(), `SELECT avg_cpu_percent::float8, avg_memory_mb::float8, total_requests, total_errors
			FROM public.get_container_avg_resource_usage($1)`, ourTenant).Scan(&cpu, &memory, &requests, &failed); err != nil {
			t.Fatal(err)
		}
		if !close(cpu, want.CPUPercentAvg.Value, want.CPUPercentAvg.Known) || !close(memory, float64(want.MemoryAvg.Value)/(1<<20), want.MemoryAvg.Known) ||
			(requests != nil) != want.Requests.Known || requests != nil && *requests != want.Requests.Value || failed != nil {
			t.Errorf("got %v %v %v %v, want %+v", cpu, memory, requests, failed, want)
		}
		c.run("ROLLBACK")
	}
}

func orNil[T, V any](m berth.Maybe[T], v V) any {
	if !m.Known {
		return nil
	}
	return v
}

// close compares to the hundredth, in which PostgreSQL answers.
func close(got *float64, want float64, known bool) bool {
	return (got != nil) == known && (got == nil || *got > want-0.011 && *got < want+0.011)
}

func TestPeriodsOfTwoResolutionsCountOnce(t *testing.T) {
	db := database(t, migrated, "")
	c := connect(t, "postgres", db)
	c.run(twoOrganizations)
	c.run(`BEGIN;
		INSERT INTO public.tenant_resource_usage (container_id, resolution, period_start, period_end, request_count) VALUES
			('` + ourTenant + `', 'minute', now() - interval '2 minutes', now() - interval '1 minute', 1),
			('` + ourTenant + `', 'hour', now() - interval '60 minutes', now(), 10),                        -- holds the minute above
			('` + ourTenant + `', 'hour', now() - interval '120 minutes', now() - interval '60 minutes', 100),
			('` + ourTenant + `', 'day', now() - interval '24 hours', now(), 1000),                         -- holds all of them
			('` + ourTenant + `', 'day', now() - interval '48 hours', now() - interval '24 hours', 10000)`)
	for hours, want := range map[int]int64{1: 1, 24: 101, 72: 10101} {
		if got := one[int64](c, `SELECT total_requests FROM public.get_container_avg_resource_usage($1, $2)`, ourTenant, hours); got != want {
			t.Errorf("of %d hours: %d requests, want %d", hours, got, want)
		}
	}
}

func TestTheFunctionsShowAMemberItsOwnOnly(t *testing.T) {
	db := seededDatabase(t)
	for _, a := range actors {
		if a.role != "authenticated" || a.column == "" {
			continue
		}
		c := connect(t, a.login, db)
		c.run("BEGIN")
		a.dress(c)
		for container, want := range map[string]string{ourTenant: "healthy", theirTenant: "unknown"} {
			if a.column == "self" {
				want = "unknown"
			}
			if got := one[string](c, `SELECT public.get_container_health_status($1)`, container); got != want {
				t.Errorf("%s: %s is %s, want %s", a.name, container, got, want)
			}
		}
		if err := c.try(`SELECT public.get_next_available_port()`); code(err) != notAllowed {
			t.Errorf("%s is given a port: %v", a.name, err)
		}
		c.run("ROLLBACK")
	}
}

// callable says which role may call what, beside Berth's own. The migrator's
// own rights are not asked for.
var callable = map[string]string{
	"get_next_available_port":          "service_role",
	"get_container_health_status":      "authenticated service_role",
	"get_container_avg_resource_usage": "authenticated service_role",
	"my_organizations":                 "authenticated", // by policies; it has no USAGE of the schema
}

func TestNoClientCallsAFunctionThatIsNotForIt(t *testing.T) {
	c := connect(t, "postgres", database(t, migrated, ""))
	for _, role := range []string{"anon", "authenticated", "service_role"} {
		for _, f := range rows[string](c, `SELECT proname FROM pg_proc WHERE pronamespace IN ('berth'::regnamespace, 'public'::regnamespace)
			AND has_function_privilege($1, oid, 'EXECUTE')`, role) {
			if !strings.Contains(callable[f], role) {
				t.Errorf("%s may call %s", role, f)
			}
		}
		if one[bool](c, `SELECT has_schema_privilege($1, 'berth', 'USAGE')`, role) {
			t.Errorf("%s may look into schema berth", role)
		}
	}
	for _, f := range []string{"put_user(uuid, text, text, text, boolean, timestamptz, timestamptz)", "taken_ports()", "queue_writers()"} {
		if !one[bool](c, `SELECT has_function_privilege('berth_api', 'berth.`+f+`', 'EXECUTE')`) {
			t.Errorf("berth_api may not call %s", f)
		}
	}
	for _, f := range []string{"ports_in_use()", "known_user(text)", "my_organizations(text)", "self_service()", "audit_change(uuid, text, text, text)"} {
		if one[bool](c, `SELECT has_function_privilege('berth_api', 'berth.`+f+`', 'EXECUTE')`) {
			t.Errorf("berth_api may call %s, which asks nobody who it is", f)
		}
	}
}

func TestTakenNumbersAreForWhoSeesAnything(t *testing.T) {
	db := seededDatabase(t)
	connect(t, "postgres", db).run(`UPDATE public.tenant_containers SET subnet = '10.64.0.' || external_port % 10 || '/28'`)
	for _, a := range actors {
		if a.role != "berth_api" && a.role != "berth_system" || a.broken {
			continue
		}
		c := connect(t, a.login, db)
		c.run("BEGIN")
		a.dress(c)
		want := fmt.Sprint([]int32{3001, 3002}, []string{"10.64.0.1/28", "10.64.0.2/28"})
		if a.column == "" {
			want = fmt.Sprint([]int32{}, []string{})
		}
		if got := fmt.Sprint(rows[int32](c, `SELECT * FROM berth.taken_ports()`), rows[string](c, `SELECT s FROM berth.taken_subnets() s ORDER BY 1`)); got != want {
			t.Errorf("%s: %s, want %s", a.name, got, want)
		}
		c.run("ROLLBACK")
	}
}
