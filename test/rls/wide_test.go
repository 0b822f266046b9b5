package rls

import (
	"fmt"
	"slices"
	"testing"
)

// wide is a policy or a function of the schema as it must not be: a deployer or
// a member would reach more than Berth's own rules give it.
var wide = map[string]string{ // by the table that shows it
	"berth.secret_versions":       `ALTER POLICY api_reads ON berth.secret_versions USING (` + everybodys + `)`,
	"berth.tokens":                `ALTER POLICY api_reads ON berth.tokens USING (` + everybodys + `)`,
	"berth.invitations":           `ALTER POLICY api_adds ON berth.invitations WITH CHECK ((SELECT berth.may_write()) AND ` + everybodys + `)`,
	"berth.channels":              `ALTER POLICY api_reads ON berth.channels USING (` + everybodys + `)`,
	"berth.deliveries":            `ALTER POLICY api_adds ON berth.deliveries WITH CHECK ((SELECT berth.may_write()))`,
	"berth.events":                `ALTER POLICY api_reads ON berth.events USING (` + everybodys + `)`,
	"berth.audit_log":             `ALTER POLICY api_adds ON berth.audit_log WITH CHECK (` + everybodys + `)`,
	"berth.registry_credentials":  `ALTER POLICY api_adds ON berth.registry_credentials WITH CHECK ((SELECT berth.may_write()) AND (SELECT berth.sees_all()))`,
	"berth.sessions":              `ALTER POLICY api_reads ON berth.sessions USING ((SELECT berth.sees_all()))`,
	"berth.identities":            `ALTER POLICY api_adds ON berth.identities WITH CHECK ((SELECT berth.sees_all()))`,
	"berth.outbox":                `ALTER POLICY api_reads ON berth.outbox USING ((SELECT berth.sees_all()))`,
	"berth.foreign_objects":       `ALTER POLICY api_reads ON berth.foreign_objects USING ((SELECT berth.sees_all()))`,
	"berth.pulled_images":         `ALTER POLICY api_drops ON berth.pulled_images USING ((SELECT berth.sees_all())); ALTER POLICY api_reads ON berth.pulled_images USING ((SELECT berth.sees_all()))`,
	"berth.blueprints":            `ALTER POLICY api_adds ON berth.blueprints WITH CHECK ((SELECT berth.sees_all()))`,
	"berth.requests":              `ALTER POLICY api_reads ON berth.requests USING ((SELECT berth.sees_all()) OR actor_id = (SELECT berth.actor()))`,
	"berth.engine_leases":         `ALTER POLICY api_reads ON berth.engine_leases USING ((SELECT berth.sees_all()))`,
	"berth.installation":          `ALTER POLICY api_changes ON berth.installation USING ((SELECT berth.sees_any())) WITH CHECK ((SELECT berth.sees_any()))`,
	"berth.usage_marks":           `ALTER POLICY api_drops ON berth.usage_marks USING ((SELECT berth.sees_all()))`,
	"berth.tenant_health_rollups": `ALTER POLICY api_drops ON berth.tenant_health_rollups USING ((SELECT berth.may_write()))`,
	"public.tenant_health":        `ALTER POLICY api_drops ON public.tenant_health USING ((SELECT berth.may_write()) AND (SELECT berth.sees_all()))`,
	"berth.memberships": `CREATE OR REPLACE FUNCTION berth.installation() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
		RETURN berth.sees_all()`,
	"berth.users": `CREATE OR REPLACE FUNCTION berth.installation() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
		RETURN berth.sees_all()`,
}

const everybodys = `(SELECT berth.sees_all()) OR organization_id = (SELECT berth.own_organization())`

func TestTheMatrixFindsAPolicyThatIsTooWide(t *testing.T) {
	db := seededDatabase(t)
	want := parseExpectations(t)
	owner := connect(t, "postgres", db)
	asks := slices.DeleteFunc(slices.Clone(actors), func(a actor) bool { return a.role != "berth_api" || a.column == "" })
	for table, change := range wide {
		owner.run("BEGIN; " + change)
		var faults []string
		for _, a := range asks {
			owner.run("SAVEPOINT asks")
			a.dress(owner)
			_, found := ask(owner, a, table, want[table])
			faults = append(faults, found...)
			owner.run("ROLLBACK TO SAVEPOINT asks; RELEASE SAVEPOINT asks")
		}
		owner.run("ROLLBACK")
		if len(faults) == 0 {
			t.Errorf("it finds nothing with %s", change)
		}
	}
}

// Who appends to a chain reads its last entry. Only who manages the
// organization reads the others.
func TestWhoDoesNotManageSeesTheEndOfAChainOnly(t *testing.T) {
	db := database(t, migrated, "")
	owner := connect(t, "postgres", db)
	const third = "550e8400-e29b-41d4-a716-446655440003" // which is not known
	owner.run(twoOrganizations)
	for n, organization := range []string{"'" + ours + "'", "'" + theirs + "'", "'" + third + "'", "NULL"} {
		owner.run(fmt.Sprintf(`INSERT INTO berth.audit_log (id, organization_id, seq, at, action, outcome, hash)
			SELECT gen_random_uuid(), %s, s, now(), 'a', 'done', 'h' FROM generate_series(1, %d) s`, organization, 3+n))
	}
	for _, a := range actors {
		if a.role != "berth_api" || a.broken {
			continue
		}
		want := map[string][]string{
			"operator": {"1 1", "1 2", "1 3", "2 1", "2 2", "2 3", "2 4", "3 1", "3 2", "3 3", "3 4", "3 5", "house 1", "house 2", "house 3", "house 4", "house 5", "house 6"},
			"roving":   {"1 3", "2 4", "3 5"},
			"bound":    {"1 1", "1 2", "1 3"},
			"deployer": {"1 3"},
			"viewer":   {"1 3"},
		}[a.column]
		c := connect(t, a.login, db)
		c.run("BEGIN")
		a.dress(c)
		got := rows[string](c, `SELECT coalesce(right(organization_id::text, 1), 'house') || ' ' || seq FROM berth.audit_log ORDER BY 1`)
		if !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", a.name, got, want)
		}
		c.run("ROLLBACK")
	}
}
