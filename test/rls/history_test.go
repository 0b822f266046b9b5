package rls

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestAnOrganizationWithHistoryCantBeDeleted(t *testing.T) {
	c := connect(t, "postgres", seededDatabase(t))
	c.run(`UPDATE public.tenant_containers SET deprovisioned_at = now()`) // a tombstone is history too
	for _, statement := range []string{
		`DELETE FROM public.organizations WHERE id = '` + ours + `'`,
		`DELETE FROM public.tenant_containers WHERE organization_id = '` + ours + `'`,
	} {
		if err := c.try(statement); code(err) != foreignKeyViolation {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestAUserCanGoAndHistoryStillSaysWhoItWas(t *testing.T) {
	c := connect(t, "postgres", seededDatabase(t))
	c.run(`INSERT INTO public.tenant_deployments (container_id, deployment_type, new_image_tag, status, deployed_by_actor) VALUES ('` + ourTenant + `', 'update', 'v2', 'completed', '` + ourMember + `')`)
	const who = `SELECT concat_ws(' ', deployed_by, deployed_by_actor, organization_id) FROM public.tenant_deployments WHERE new_image_tag = 'v2' AND deployed_by_actor IS NOT NULL`
	if got := one[string](c, who); got != ourMember+" "+ourMember+" "+ours {
		t.Errorf("deployed by %s", got)
	}
	c.run(`DELETE FROM public.user_profiles WHERE id = '` + ourMember + `'`)
	if got := one[string](c, who); got != ourMember+" "+ours {
		t.Errorf("afterwards: deployed by %s", got)
	}
}

func TestADeploymentThatIsOverIsNeverRewritten(t *testing.T) {
	db := seededDatabase(t)
	for _, login := range []string{"postgres", "berth_login", "authenticator"} {
		c := connect(t, login, db)
		role := map[string]string{"berth_login": "berth_system", "authenticator": "service_role"}[login]
		if role != "" {
			c.run("SET ROLE " + role)
		}
		err := c.try(`UPDATE public.tenant_deployments SET error_message = 'x' WHERE status = 'completed'`)
		if want := map[string]string{"authenticator": notAllowed}[login]; want == "" && code(err) != "55000" || want != "" && code(err) != want {
			t.Errorf("%s: %v", login, err)
		}
	}
}

func TestTheLoopDropsWhatIsOverAndNothingElse(t *testing.T) {
	db := seededDatabase(t)
	admin := connect(t, "postgres", db)
	const old, newer = "99999999-0000-4000-8000-000000000001", "99999999-0000-4000-8000-000000000002"
	admin.run(`INSERT INTO public.tenant_deployments (id, container_id, deployment_type, new_image_tag, status, rollback_deployment_id)
		VALUES ('` + old + `', '` + ourTenant + `', 'update', 'v2', 'completed', NULL), ('` + newer + `', '` + ourTenant + `', 'rollback', 'v2', 'completed', '` + old + `')`)
	loop := connect(t, "berth_login", db)
	loop.run("SET ROLE berth_system")
	for _, statement := range []string{ // what lives and what is open is not there for it
		`DELETE FROM public.tenant_containers WHERE deprovisioned_at IS NULL`,
		`DELETE FROM public.tenant_deployments WHERE status = 'pending'`,
	} {
		if result, err := loop.PgConn().Exec(t.Context(), statement).ReadAll(); err != nil || result[0].CommandTag.RowsAffected() != 0 {
			t.Errorf("%s: %v rows, %v", statement, result, err)
		}
	}
	unlink := `UPDATE public.tenant_deployments SET rollback_deployment_id = NULL WHERE id = '` + newer + `'`
	if err := admin.try(unlink); code(err) != "55000" {
		t.Errorf("a superuser rewrites history: %v", err)
	}
	if err := loop.try(`DELETE FROM public.tenant_deployments WHERE id = '` + old + `'`); code(err) != foreignKeyViolation {
		t.Errorf("what is referred to was dropped: %v", err)
	}
	loop.run(unlink)
	loop.run(`DELETE FROM public.tenant_deployments WHERE id = '` + old + `'`)
}

func TestNobodyChangesTheAuditLog(t *testing.T) {
	db := seededDatabase(t)
	statements := []string{`UPDATE berth.audit_log SET action = 'x'`, `UPDATE berth.audit_log SET action = 'x' WHERE false`,
		`DELETE FROM berth.audit_log`, `TRUNCATE berth.audit_log`, `TRUNCATE berth.audit_log, berth.tokens CASCADE`}
	for _, login := range []string{"postgres", "berth_login"} {
		c := connect(t, login, db)
		for _, setting := range []string{"origin", "replica"} {
			if login == "berth_login" {
				c.run("SET ROLE berth_system")
			} else {
				c.run("SET session_replication_role = " + setting)
			}
			for _, statement := range statements {
				if err := c.try(statement); code(err) != notAllowed {
					t.Errorf("%s, %s: %s: %v", login, setting, statement, err)
				}
			}
		}
	}
	owned := database(t, "", "plain_owner")
	c := connect(t, "plain_owner", owned)
	c.run(up(t))
	for _, statement := range statements {
		if err := c.try(statement); code(err) != notAllowed {
			t.Errorf("the owner: %s: %v", statement, err)
		}
	}
}

func TestAChainHasEachNumberOnce(t *testing.T) {
	c := connect(t, "postgres", database(t, migrated, ""))
	for _, organization := range []string{"NULL", "'" + ours + "'"} {
		insert := `INSERT INTO berth.audit_log (id, organization_id, seq, at, action, outcome, hash) VALUES (gen_random_uuid(), ` + organization + `, 1, now(), 'a', 'done', 'h')`
		c.run(insert)
		if err := c.try(insert); code(err) != uniqueViolation || !strings.Contains(err.Error(), "audit_log_chain") {
			t.Errorf("a second entry 1 of %s: %v", organization, err)
		}
	}
}

func TestWhatOthersChangeRaisesTheRevisionAndBerthsOwnRolesDoItThemselves(t *testing.T) {
	db := seededDatabase(t)
	look := func(c conn) (revision int64, updated time.Time, text string) {
		c.Helper()
		if err := c.QueryRow(t.Context(), `SELECT revision, updated_at, search_text FROM public.tenant_containers WHERE id = $1`, ourTenant).Scan(&revision, &updated, &text); err != nil {
			t.Fatal(err)
		}
		return revision, updated, text
	}
	admin := connect(t, "postgres", db)
	admin.run("LISTEN berth")
	revision, updated, _ := look(admin)
	c := connect(t, "authenticator", db)
	c.run(`SET ROLE service_role; UPDATE public.tenant_containers SET tenant_name = 'ÄRGER' WHERE id = '` + ourTenant + `'`)
	r, u, text := look(admin)
	if r != revision+1 || !u.After(updated) || !strings.HasPrefix(text, "ärger\n") {
		t.Errorf("service_role's change: revision %d, updated %v, search text %q", r, u, text)
	}
	if n, err := admin.WaitForNotification(t.Context()); err != nil || n.Payload != ours {
		t.Errorf("the channel told of %+v, %v", n, err)
	}
	loop := connect(t, "berth_login", db)
	loop.run(`SET ROLE berth_system; UPDATE public.tenant_containers SET tenant_name = 'x', revision = 70 WHERE id = '` + ourTenant + `'`)
	if got, same, _ := look(admin); got != 70 || !same.Equal(u) {
		t.Errorf("the loop's change: revision %d, updated %v", got, same)
	}
}

func TestOthersWaitForBerthsWriters(t *testing.T) {
	db := seededDatabase(t)
	loop := connect(t, "berth_login", db)
	loop.run(`BEGIN; SET LOCAL ROLE berth_system; SELECT berth.queue_writers()`)
	other := connect(t, "authenticator", db)
	other.run(`SET ROLE service_role; SET lock_timeout = '100ms'`)
	for _, statement := range []string{
		`UPDATE public.tenant_containers SET tenant_name = 'x'`,
		`INSERT INTO public.tenant_deployments (container_id, deployment_type, new_image_tag) VALUES ('` + ourTenant + `', 'update', 'v2')`,
		`SELECT public.get_next_available_port()`,
	} {
		if err := other.try(statement); code(err) != "55P03" {
			t.Errorf("%s: %v", statement, err)
		}
	}
	other.run(`INSERT INTO public.tenant_health (container_id, status) VALUES ('` + ourTenant + `', 'healthy'); SELECT FROM public.tenant_containers`)
	loop.run(`COMMIT`)
	other.run(`UPDATE public.tenant_containers SET tenant_name = 'x'`)
}

func TestTheSeedsOwnStatementsWork(t *testing.T) {
	db := database(t, migrated, "")
	connect(t, "postgres", db).run(`INSERT INTO public.organizations (id, name) VALUES ('` + ours + `', 'Ours')`)
	c := connect(t, "authenticator", db)
	c.run(`SET ROLE service_role;
		INSERT INTO public.tenant_containers (organization_id, tenant_name, container_name, external_port, cpu_limit, memory_limit_mb, disk_limit_mb, tenant_url, status)
			VALUES ('` + ours + `', 'Acme Corp', 'tenant_` + ours + `', 3001, 0.50, 512, 2048, 'http://localhost:3001', 'provisioning');
		INSERT INTO public.tenant_deployments (container_id, deployment_type, status, new_image_tag, started_at) SELECT id, 'provision', 'completed', 'latest', now() FROM public.tenant_containers;
		INSERT INTO public.tenant_health (container_id, status, response_time_ms, http_status_code, check_type, check_endpoint) SELECT id, 'healthy', 12, 200, 'http', '/api/health' FROM public.tenant_containers;
		INSERT INTO public.tenant_resource_usage (container_id, period_start, period_end, cpu_usage_percent_avg, memory_usage_mb_avg) SELECT id, now() - interval '1 minute', now(), 1000.5, 100 FROM public.tenant_containers;
		UPDATE public.tenant_containers SET cpu_limit = 64, status = 'running', last_started_at = now()`)
	got := one[string](c, `SELECT concat_ws(' ', want, generation, revision, blueprint, replicas, slug, health_status, environment_vars) FROM public.tenant_containers`)
	if want := "stopped 1 2 builtin@1 1 tenant-" + ours + " unknown {}"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, table := range []string{"tenant_deployments", "tenant_health", "tenant_resource_usage"} {
		if got := one[string](c, `SELECT organization_id::text FROM public.`+table); got != ours {
			t.Errorf("%s belongs to %s", table, got)
		}
	}
}

func TestAnAdminManagesWhatTheOperatorAllows(t *testing.T) {
	db := seededDatabase(t)
	owner := connect(t, "postgres", db)
	c := connect(t, "authenticator", db)
	const start, stop, rename = `UPDATE public.tenant_containers SET want = 'running'`, `UPDATE public.tenant_containers SET want = 'stopped'`, `UPDATE public.tenant_containers SET tenant_name = 'N'`
	for _, tc := range []struct {
		allowed   int
		statement string
		want      string
		who       string
	}{
		{22, start, "", ourAdmin}, {22, stop, "", ourAdmin}, {22, rename, "", ourOwner},
		{4, start, notAllowed, ourAdmin}, {2, start, "", ourAdmin}, {2, stop, notAllowed, ourAdmin}, {6, rename, notAllowed, ourAdmin},
		{22, `UPDATE public.tenant_containers SET want = 'gone'`, notAllowed, ourAdmin},
		{22, `UPDATE public.tenant_containers SET tenant_name = ''`, "23514", ourAdmin},
		{22, `UPDATE public.tenant_containers SET image_tag = 'evil'`, notAllowed, ourAdmin},
		{22, `UPDATE public.tenant_containers SET cpu_limit = 64`, notAllowed, ourAdmin},
		{22, `UPDATE public.tenant_containers SET organization_id = '` + theirs + `'`, notAllowed, ourAdmin},
		{22, `UPDATE public.tenant_containers SET revision = 0`, notAllowed, ourAdmin},
	} {
		owner.run(`UPDATE public.tenant_containers SET want = CASE WHEN $$` + tc.statement + `$$ LIKE '%running%' THEN 'stopped' ELSE 'running' END, tenant_name = 'old'`)
		owner.run(fmt.Sprintf(`UPDATE berth.organization_settings SET self_service = %d; DELETE FROM berth.events`, tc.allowed))
		c.run(`BEGIN; SET LOCAL ROLE authenticated; SET LOCAL request.jwt.claims = '{"sub": "` + tc.who + `"}'`)
		err := c.try(tc.statement)
		c.run("COMMIT")
		if code(err) != tc.want {
			t.Errorf("%s where %d is allowed: %v", tc.statement, tc.allowed, err)
		}
		noted := one[int64](owner, `SELECT count(*) FROM berth.events WHERE kind = 'changed' AND organization_id = $1 AND message LIKE '%' || $2 || '%'`, ours, tc.who)
		if (noted == 1) != (tc.want == "") || noted > 1 {
			t.Errorf("%s: %d events", tc.statement, noted)
		}
		if got := one[int64](owner, `SELECT count(*) FROM public.tenant_containers WHERE organization_id = $1 AND tenant_name = 'N'`, theirs); got != 0 {
			t.Error("the other organization's tenant was renamed")
		}
	}
}

func TestClaimsEndWithTheTransaction(t *testing.T) {
	db := seededDatabase(t)
	c := connect(t, "berth_login", db)
	err := pgx.BeginFunc(t.Context(), c.Conn, func(pgx.Tx) error {
		api("operator", "operator", "operator", "").dress(c)
		if n := one[int64](c, `SELECT count(*) FROM public.tenant_containers`); n < 2 {
			t.Errorf("the operator sees %d", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.try(`SELECT FROM public.tenant_containers`); code(err) != notAllowed {
		t.Errorf("the login itself: %v", err)
	}
	c.run(`BEGIN; SET LOCAL ROLE berth_api`)
	if n := one[int64](c, `SELECT count(*) FROM public.tenant_containers`); n != 0 {
		t.Errorf("the next transaction sees %d", n)
	}
	c.run(`ROLLBACK`)
}
