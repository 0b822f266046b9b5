package rls

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// inhabited are the two projects with people in them, who are not Berth's doing.
var inhabited = map[string]string{
	"like the seed's": `
		INSERT INTO auth.users (id) SELECT id::uuid FROM unnest(ARRAY['` + ourOwner + `', '` + ourAdmin + `', '` + ourMember + `', '` + theirAdmin + `', '` + stranger + `', '` + newcomer + `']) id;
		INSERT INTO public.organizations (id, name) VALUES ('` + ours + `', 'Ours'), ('` + theirs + `', 'Theirs');
		INSERT INTO public.user_profiles (id, email, full_name) SELECT id, id || '@Example.com', 'Name' FROM auth.users WHERE id <> '` + newcomer + `';
		INSERT INTO public.user_organizations (user_id, organization_id, role, is_active) VALUES
			('` + ourOwner + `', '` + ours + `', 'Owner', true), ('` + ourAdmin + `', '` + ours + `', 'admin', NULL),
			('` + ourMember + `', '` + ours + `', 'billing', true), ('` + theirAdmin + `', '` + theirs + `', 'admin', true),
			('` + stranger + `', '` + ours + `', 'owner', false);`,
	"with other names and types": `
		INSERT INTO public.organizations (id, title) VALUES ('` + ours + `', 'Ours'), ('` + theirs + `', 'Theirs');
		INSERT INTO public.user_profiles (id) SELECT id::uuid FROM unnest(ARRAY['` + ourOwner + `', '` + ourAdmin + `', '` + ourMember + `', '` + theirAdmin + `', '` + stranger + `']) id;
		INSERT INTO public.user_organizations (user_id, org_id, role) VALUES
			('` + ourOwner + `', '` + ours + `', 'owner'), ('` + ourAdmin + `', '` + ours + `', 'admin'),
			('` + ourMember + `', '` + ours + `', 'viewer'), ('` + theirAdmin + `', '` + theirs + `', 'admin'), ('auth0|17', '` + ours + `', 'owner');`,
}

// project is a Supabase project with people and Berth's schema.
func project(t *testing.T, name string) (database_ string) {
	t.Helper()
	db := database(t, "", "sb_owner")
	c := connect(t, "postgres", db)
	c.run(projects[name])
	connect(t, "sb_owner", db).run(up(t))
	c.run(inhabited[name] + strings.Replace(twoOrganizations, "INSERT INTO public.organizations (id, name) VALUES ('"+ours+"', 'Ours'), ('"+theirs+"', 'Theirs');", "", 1))
	return db
}

func TestInAProjectThatIsThereItsPeopleSeeWhatIsTheirs(t *testing.T) {
	for name := range inhabited {
		db := project(t, name)
		c := connect(t, "authenticator", db)
		for user, want := range map[string]string{
			ourOwner: "sees 1, manages 1", ourAdmin: "sees 1, manages 1", ourMember: "sees 1, manages 0", theirAdmin: "sees 1, manages 1",
			stranger: "sees 0, manages 0", newcomer: "sees 0, manages 0",
		} {
			c.run("BEGIN")
			client("", "authenticated", "", user).dress(c)
			n := one[int64](c, `SELECT count(*) FROM public.tenant_containers`)
			foreign := one[int64](c, `SELECT count(*) FROM public.tenant_containers WHERE organization_id = $1`, theirs)
			result, err := c.Exec(t.Context(), `UPDATE public.tenant_containers SET tenant_name = tenant_name`)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("sees %d, manages %d", n, result.RowsAffected()); got != want || (foreign == 1) != (user == theirAdmin) {
				t.Errorf("%s: %s %s (%d of theirs), want %s", name, user, got, foreign, want)
			}
			c.run("ROLLBACK")
		}
	}
}

func TestBerthReadsAndWritesPeopleInWhateverShapeTheyAre(t *testing.T) {
	for name := range inhabited {
		db := project(t, name)
		c := connect(t, "berth_login", db)
		c.run("SET ROLE berth_system")
		got := rows[string](c, `SELECT concat_ws(' ', right(user_id::text, 1), role) FROM berth.memberships WHERE organization_id = $1 ORDER BY 1`, ours)
		if want := []string{"1 admin", "2 admin", "3 member"}; !slices.Equal(got, want) {
			t.Errorf("%s: members %v, want %v", name, got, want)
		}
		c.run(`SELECT berth.put_membership('` + theirAdmin + `', '` + ours + `', 'admin', now()), berth.put_membership('` + ourOwner + `', '` + ours + `', 'admin', now())`)
		if got := rows[string](c, `SELECT role FROM berth.memberships WHERE user_id = $1 ORDER BY organization_id`, theirAdmin); !slices.Equal(got, []string{"admin", "admin"}) {
			t.Errorf("%s: after put_membership %v", name, got)
		}
		if got := one[string](c, `SELECT lower(role::text) FROM public.user_organizations WHERE user_id::text = $1`, ourOwner); got != "owner" {
			t.Errorf("%s: an owner became %s", name, got)
		}
		for _, want := range []bool{true, false} {
			if got := one[bool](c, `SELECT berth.drop_membership($1, $2)`, theirAdmin, ours); got != want {
				t.Errorf("%s: drop_membership says %v", name, got)
			}
		}

		c.run(`SELECT berth.put_organization('` + ours + `', 'Renamed', 6, now()), berth.know_organization('` + theirs + `', 'Not renamed', now()),
			berth.put_organization('44444444-0000-4000-8000-000000000001', 'New', 0, '2026-01-02 03:04:05Z')`)
		organizations := rows[string](c, `SELECT concat_ws(' ', name, self_service) FROM berth.organizations ORDER BY id`)
		want := []string{"New 0", "Renamed 6", "Theirs 0"}
		if name != "like the seed's" {
			want[2] = theirs + " 0" // it has no column that is sure to be the name
		}
		if !slices.Equal(organizations, want) {
			t.Errorf("%s: organizations %v, want %v", name, organizations, want)
		}

		c.run(`SELECT berth.put_user('` + newcomer + `', 'Ada@Example.com', 'ada@example.com', 'Ada', true, now(), NULL)`)
		if got := one[string](c, `SELECT concat_ws(' ', id, email, name, operator) FROM berth.users WHERE email_folded = 'ada@example.com'`); got != newcomer+" Ada@Example.com Ada t" {
			t.Errorf("%s: user %s", name, got)
		}
		if err := c.try(`SELECT berth.put_user('` + stranger + `', 'ADA@example.com', 'ada@example.com', 'B', false, now(), NULL)`); code(err) != uniqueViolation || !strings.Contains(err.Error(), "user_settings_email") {
			t.Errorf("%s: a second user of one address: %v", name, err)
		}
	}
}

func TestPeopleAreWrittenByWhoMayWriteTheirOrganization(t *testing.T) {
	db := seededDatabase(t)
	for _, a := range actors {
		if a.role != "berth_api" || a.broken {
			continue
		}
		c := connect(t, a.login, db)
		all, manages := a.column == "operator", a.column == "operator" || a.column == "bound"
		roves, writes := all || a.column == "roving", a.column != "" && a.column != "viewer"
		for statement, may := range map[string]bool{
			`SELECT berth.put_membership('` + stranger + `', '` + ours + `', 'member', now())`:   manages,
			`SELECT berth.put_membership('` + stranger + `', '` + theirs + `', 'member', now())`: all,
			`SELECT berth.drop_membership('` + ourMember + `', '` + ours + `')`:                  manages,
			`SELECT berth.drop_membership('` + theirAdmin + `', '` + theirs + `')`:               all,
			`SELECT berth.put_organization('` + ours + `', 'n', 0, now())`:                       all,
			`SELECT berth.put_organization('` + theirs + `', 'n', 0, now())`:                     all,
			`SELECT berth.know_organization('` + ours + `', 'n', now())`:                         writes,
			`SELECT berth.know_organization(gen_random_uuid(), 'n', now())`:                      roves,
			`SELECT berth.put_user('` + stranger + `', 'e', 'e', 'n', true, now(), NULL)`:        all,
		} {
			c.run("BEGIN")
			a.dress(c)
			if err := c.try(statement); (err == nil) != may || err != nil && code(err) != notAllowed {
				t.Errorf("%s: %s: %v, want allowed: %v", a.name, statement, err, may)
			}
			c.run("ROLLBACK")
		}
	}
}
