package rls

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// actor is who asks, and by which column of the expectations.
type actor struct {
	name   string
	login  string
	role   string // "" for the login's own
	claims string
	column string // "" may do nothing
	self   string // id in its claims
	broken bool   // its claims are no JSON: refused with an error
}

func client(name, role, column, sub string) actor {
	return actor{name: name, login: "authenticator", role: role, column: column, self: sub,
		claims: fmt.Sprintf(`{"sub": %q, "role": %q, "aud": "authenticated", "user_metadata": {"berth_role": "operator"}}`, sub, role)}
}

// api is who a request of Berth's API acts as. They use the id of our admin,
// so that it can be seen that the id alone opens nothing.
func api(name, column, role, organization string) actor {
	return actor{name: name, login: "berth_login", role: "berth_api", column: column, self: ourAdmin,
		claims: fmt.Sprintf(`{"sub": %q, "role": "berth_api", "berth_role": %q, "berth_organization": %q}`, ourAdmin, role, organization)}
}

func nobody(name, role, claims string) actor {
	login := "berth_login"
	if role == "authenticated" || role == "anon" {
		login = "authenticator"
	}
	return actor{name: name, login: login, role: role, claims: claims, self: ourAdmin}
}

var actors = []actor{
	{name: "superuser", login: "postgres", column: "superuser", self: ourAdmin},
	{name: "the loop", login: "berth_login", role: "berth_system", column: "system", self: ourAdmin},
	client("service_role", "service_role", "service", ourAdmin),
	api("operator", "operator", "operator", ""),
	api("deployer of all", "roving", "deployer", ""),
	api("operator of ours", "bound", "operator", ours),
	api("admin of ours", "bound", "admin", ours),
	api("deployer of ours", "deployer", "deployer", ours),
	api("member of ours", "viewer", "member", ours),
	client("owner with a JWT", "authenticated", "admin", ourOwner),
	client("admin with a JWT", "authenticated", "admin", ourAdmin),
	client("member with a JWT", "authenticated", "member", ourMember),

	client("anon", "anon", "", ourAdmin),
	client("stranger with a JWT", "authenticated", "self", stranger),
	nobody("authenticated without a JWT", "authenticated", ""),
	nobody("anon without a JWT", "anon", ""),
	nobody("a JWT that claims Berth's roles", "authenticated", `{"sub": "33333333-0000-4000-8000-000000000001", "role": "berth_api", "berth_role": "operator", "berth_organization": ""}`),
	nobody("Berth's login in no role", "", `{"sub": "`+ourAdmin+`", "berth_role": "operator", "berth_organization": ""}`),
	nobody("berth_api without claims", "berth_api", ""),
	nobody("berth_api with empty claims", "berth_api", "{}"),
	nobody("admin of none", "berth_api", `{"sub": "`+ourAdmin+`", "berth_role": "admin", "berth_organization": ""}`),
	nobody("member of none", "berth_api", `{"sub": "`+ourAdmin+`", "berth_role": "member"}`),
	nobody("unknown role", "berth_api", `{"sub": "`+ourAdmin+`", "berth_role": "root", "berth_organization": "`+ours+`"}`),
	nobody("the loop's role in claims", "berth_api", `{"sub": "system", "berth_role": "system", "berth_organization": ""}`),
	nobody("an organization that is none", "berth_api", `{"sub": "`+ourAdmin+`", "berth_role": "operator", "berth_organization": "' OR true --"}`),
	nobody("roles in a list", "berth_api", `{"sub": "`+ourAdmin+`", "berth_role": ["operator"], "berth_organization": ["`+ours+`"]}`),
	nobody("claims in a list", "berth_api", `["operator"]`),
	nobody("claims that are a text", "berth_api", `"operator"`),
	func() actor {
		a := nobody("claims that are no JSON", "berth_api", `{"berth_role": "operator"`)
		a.broken = true
		return a
	}(),
}

// expectations say what each may do: SELECT, INSERT, UPDATE, DELETE. The loop,
// service_role and operators do it to every row; roving, a deployer of all, to
// those of any organization; the others to what is their own organization's, or
// of a person or request their own. "S*" also reads what is no organization's;
// "S!" is of their own whoever they are. A table that is not here fails the test.
const expectations = `
table                          system  service  operator  roving  bound  deployer  viewer  admin  member  self
public.organizations           SIUD    SIUD     -         -       -      -         -       S      S       -
public.user_profiles           SIUD    SIUD     -         -       -      -         -       S      S       S
public.user_organizations      SIUD    SIUD     -         -       -      -         -       S      S       -
public.tenant_containers       SIUD    SIU      SIU       SIU     SIU    SIU       S       SU     S       -
public.tenant_health           SID     SI       SID       SI      SI     SI        S       S      S       -
public.tenant_resource_usage   SIUD    SI       SIUD      SIUD    SIUD   SIUD      S       S      S       -
public.tenant_deployments      SIU     SI       SIU       SIU     SIU    SIU       S       S      S       -
berth.made                     SID     -        -         -       -      -         -       -      -       -
berth.installation             SIU     -        SU        S*      S*     S*        S*      -      -       -
berth.engine_leases            SIUD    -        S         -       -      -         -       -      -       -
berth.secret_versions          SIUD    -        SIU       -       SI     -         -       -      -       -
berth.registry_credentials     SIUD    -        SIUD      -       -      -         -       -      -       -
berth.volumes                  SIU     -        SIU       SIU     SIU    SIU       S       -      -       -
berth.requests                 SIUD    -        SIUD      SIUD!   SIUD   SIUD      S       -      -       -
berth.events                   SID     -        SID       SI      SI     SI        S       -      -       -
berth.blueprints               SI      -        SI        S*      S*     S*        S*      -      -       -
berth.usage_marks              SIUD    -        SIUD      SIU     SIU    SIU       S       -      -       -
berth.tenant_health_rollups    SIUD    -        SIUD      SIU     SIU    SIU       S       -      -       -
berth.channels                 SIUD    -        SIUD      -       SIUD   -         -       -      -       -
berth.deliveries               SIUD    -        SIUD      -       SIU    -         -       -      -       -
berth.outbox                   SU      -        SU        -       -      -         -       -      -       -
berth.pulled_images            SIUD    -        SIUD      -       -      -         -       -      -       -
berth.foreign_objects          SI      -        SI        -       -      -         -       -      -       -
berth.organization_settings    SIUD    -        -         -       -      -         -       -      -       -
berth.user_settings            SIUD    -        -         -       -      -         -       -      -       -
berth.identities               SIUD    -        SIUD      -       -      -         -       -      -       -
berth.sessions                 SIUD    -        SIUD      -       -      -         -       -      -       -
berth.invitations              SIUD    -        SIU       -       SIU    -         -       -      -       -
berth.tokens                   SIUD    -        SIU       -       SIU    -         -       -      -       -
berth.audit_log                SI      -        SI        SI      SI     SI        SI      -      -       -
berth.organizations            S       -        S         S       S      S         S       -      -       -
berth.memberships              S       -        S         -       S      -         S       -      -       -
berth.users                    S       -        S         -       S      -         S       -      -       -
`

// parseExpectations returns table → column → cell.
func parseExpectations(t *testing.T) map[string]map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(expectations), "\n")
	columns := strings.Fields(lines[0])
	cells := map[string]map[string]string{}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != len(columns) {
			t.Fatalf("expectations: %q has %d cells", line, len(fields))
		}
		row := map[string]string{"superuser": "SIUD"}
		for i, f := range fields[1:] {
			row[columns[i+1]] = f
		}
		if views[fields[0]] {
			row["superuser"] = "-" // views go by role and claims, and it has neither
		}
		if fields[0] == "berth.audit_log" {
			row["superuser"] = "SI"
		}
		cells[fields[0]] = row
	}
	return cells
}

const tablesOfBerth = `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname IN ('public', 'berth') ORDER BY 1`

// seededDatabase has a row of each place in every table.
func seededDatabase(t *testing.T) string {
	t.Helper()
	db := database(t, migrated, "")
	seedDatabase(t, db)
	return db
}

func seedDatabase(t *testing.T, db string) {
	t.Helper()
	c := connect(t, "postgres", db)
	c.run(twoOrganizations + people + seed)
	for _, table := range slices.Sorted(maps.Keys(samples)) {
		if views[table] {
			continue
		}
		s := samples[table]
		for _, p := range slices.Sorted(maps.Keys(s.ids)) {
			if err := c.try("INSERT INTO " + table + " " + s.text(s.insert, p, ourAdmin)); err != nil && code(err) != uniqueViolation {
				t.Fatalf("%s of %s: %v", table, p, err)
			}
		}
	}
}

var fresh int

// text fills in a text for a place.
func (s sample) text(text string, p place, self string) string {
	fresh++
	return strings.NewReplacer("$id", strings.ReplaceAll(s.ids[p], "$self", self), "$n", "'n"+strconv.Itoa(fresh)+"'").Replace(text)
}

const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	notAllowed          = "42501"
	notUpdatable        = "55000" // a view
	badText             = "22P02"
)

func TestEveryRoleDoesToEveryTableWhatIsExpectedAndNoMore(t *testing.T) {
	t.Run("laid by a superuser", func(t *testing.T) { askEverything(t, seededDatabase(t)) })
	t.Run("laid by an owner whom row-level security binds", func(t *testing.T) {
		db := database(t, "", "plain_owner")
		connect(t, "plain_owner", db).run(up(t))
		seedDatabase(t, db)
		askEverything(t, db)
	})
}

func askEverything(t *testing.T, db string) {
	t.Helper()
	want := parseExpectations(t)
	tables := rows[string](connect(t, "postgres", db), tablesOfBerth)
	for _, table := range tables {
		if _, ok := samples[table]; !ok || want[table] == nil {
			t.Errorf("%s has no expectation: say who may do what to it", table)
		}
	}
	if len(tables) != len(want) || len(tables) != len(samples) {
		t.Errorf("there are %d tables, %d expectations, %d samples", len(tables), len(want), len(samples))
	}
	asked := 0
	for _, a := range actors {
		c := connect(t, a.login, db)
		c.run("BEGIN")
		a.dress(c)
		for _, table := range tables {
			n, faults := ask(c, a, table, want[table])
			asked += n
			for _, fault := range faults {
				t.Error(fault)
			}
		}
		c.run("ROLLBACK")
	}
	if asked < 5000 {
		t.Errorf("only %d questions were asked", asked)
	}
}

// ask tries every verb on every place of a table and returns how many it tried
// and what is not as expected.
func ask(c conn, a actor, table string, want map[string]string) (asked int, faults []string) {
	c.Helper()
	s := samples[table]
	cell := cmp.Or(want[a.column], "-")
	for p := range s.ids {
		for _, verb := range "SIUD" {
			asked++
			err := allowed(c, a, table, s, p, verb)
			if should := a.expects(cell, verb, p); should != (err == "") {
				faults = append(faults, fmt.Sprintf("%s: %c of %s in %s: %s, want allowed: %v", a.name, verb, p, table, cmp.Or(err, "allowed"), should))
			}
		}
	}
	return asked, faults
}

// dress takes the actor's role and sets its claims, for the transaction.
func (a actor) dress(c conn) {
	c.Helper()
	if a.role != "" {
		c.run("SET LOCAL ROLE " + a.role)
	}
	one[string](c, `SELECT set_config('request.jwt.claims', $1, true)`, a.claims)
}

// expects reports what a cell says of a verb.
func (a actor) expects(cell string, verb rune, p place) bool {
	switch {
	case !strings.ContainsRune(cell, verb):
		return false
	case p == own, slices.Contains([]string{"superuser", "system", "service", "operator"}, a.column):
		return true
	case p == other:
		return a.column == "roving" && !strings.HasSuffix(cell, "!")
	default:
		return strings.HasSuffix(cell, "*")
	}
}

// allowed returns "" if the statement reached a row, else why it did not. Its
// effect is taken back.
func allowed(c conn, a actor, table string, s sample, p place, verb rune) string {
	c.Helper()
	statement := map[rune]string{
		'S': "SELECT FROM " + table + " WHERE " + s.where,
		'I': "INSERT INTO " + table + " " + s.insert,
		'U': "UPDATE " + table + " SET " + s.set + " WHERE " + s.where,
		'D': "DELETE FROM " + table + " WHERE " + s.where,
	}[verb]
	c.run("SAVEPOINT s")
	result, err := c.PgConn().Exec(c.Context(), s.text(statement, p, a.self)).ReadAll()
	c.run("ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")
	switch is := code(err); {
	case is == "" && result[0].CommandTag.RowsAffected() > 0, is == uniqueViolation && verb == 'I', is == foreignKeyViolation && verb == 'D':
		return "" // what only a row that was reached can meet
	case is == "":
		return "no row"
	case is == notAllowed, is == notUpdatable && views[table], is == badText && a.broken:
		return "refused"
	default:
		c.Errorf("%s: %s: %v", a.name, statement, err)
		return is
	}
}

func TestNothingCanBeMovedToAnotherOrganization(t *testing.T) {
	db := seededDatabase(t)
	tables := rows[string](connect(t, "postgres", db), tablesOfBerth)
	hasColumn := `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = 'organization_id')`
	admin := connect(t, "postgres", db)
	for _, a := range actors {
		if a.column == "superuser" || a.column == "system" || a.column == "service" || a.column == "operator" {
			continue
		}
		c := connect(t, a.login, db)
		c.run("BEGIN")
		a.dress(c)
		for _, table := range tables {
			if views[table] || !one[bool](admin, hasColumn, table) {
				continue
			}
			for _, to := range []string{"NULL", "'" + theirs + "'"} {
				if a.column == "roving" && to != "NULL" { // they are as good as its own
					continue
				}
				c.run("SAVEPOINT s")
				result, err := c.PgConn().Exec(c.Context(), "UPDATE "+table+" SET organization_id = "+to).ReadAll()
				c.run("ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")
				if code(err) != notAllowed && code(err) != "23502" && (err != nil && !a.broken || err == nil && result[0].CommandTag.RowsAffected() > 0) {
					t.Errorf("%s moves rows of %s to %s: %v", a.name, table, to, err)
				}
			}
		}
		c.run("ROLLBACK")
	}
}
