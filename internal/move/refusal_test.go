package move_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/move"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// refused checks that a move fails with words in its error or hint.
func refused(t testing.TB, err error, words ...string) {
	t.Helper()
	var e *berth.Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("got %v, want an error with a way out", err)
	}
	for _, word := range words {
		if !strings.Contains(e.Error()+"\n"+e.Hint, word) {
			t.Errorf("%q is not in %q, hint %q", word, e.Error(), e.Hint)
		}
	}
}

func TestADatabaseThatIsInUseIsRefused(t *testing.T) {
	t.Parallel()
	from := origin(t)
	seed(t, from)
	name := database(t)
	to := destination(t, name)
	const org = `INSERT INTO public.organizations (id, name) VALUES ('550e8400-e29b-41d4-a716-000000000077', 'o');`
	for table, statement := range map[string]string{
		"public.tenant_containers": org + `INSERT INTO public.tenant_containers (organization_id, tenant_name, container_name, tenant_url)
			VALUES ('550e8400-e29b-41d4-a716-000000000077', 'n', 'c', 'u')`,
		"berth.tokens":                `INSERT INTO berth.tokens (id, name, prefix, hash, role, created_at) VALUES ('t', 'n', 'p', '', 'operator', now())`,
		"berth.organization_settings": org + `INSERT INTO berth.organization_settings (organization_id, name) VALUES ('550e8400-e29b-41d4-a716-000000000077', 'n')`,
		"berth.audit_log":             `INSERT INTO berth.audit_log (id, seq, at, action, outcome, hash) VALUES ('a', 1, now(), 'a', 'done', '')`,
		"berth.volumes":               `INSERT INTO berth.volumes (name, organization_id, mount) VALUES ('v', '550e8400-e29b-41d4-a716-000000000077', '/')`,
		"berth.engine_leases": `INSERT INTO berth.engine_leases (engine_id, holder, url, fence, expires_at)
			VALUES ('e', gen_random_uuid(), 'u', 1, now() + interval '1 hour')`,
	} {
		admin(t, name, statement)
		_, err := move.Run(t.Context(), from, to)
		refused(t, err, table, "never merged")
		admin(t, name, `SET session_replication_role = replica; ALTER TABLE berth.audit_log DISABLE TRIGGER append_only;
			DELETE FROM `+table+`; DELETE FROM public.organizations; ALTER TABLE berth.audit_log ENABLE ALWAYS TRIGGER append_only`)
	}
	admin(t, name, `INSERT INTO berth.engine_leases (engine_id, holder, url, fence, expires_at) VALUES ('e', gen_random_uuid(), 'u', 1, '-infinity')`)
	if _, err := move.Run(t.Context(), from, to); err != nil {
		t.Errorf("into one that nobody uses any more: %v", err)
	}
	_, err := move.Run(t.Context(), from, to)
	refused(t, err, "never merged")
}

func TestACopyThatIsNotTheSameDoesNotCount(t *testing.T) {
	t.Parallel()
	from := origin(t)
	seed(t, from)
	for what, c := range map[string]struct{ table, on, body, row string }{
		"a value that was changed":     {"tenant_health", "public.tenant_health", `NEW.response_time_ms := NEW.response_time_ms + 1; RETURN NEW;`, ""},
		"a space at an end":            {"tenant_deployments", "public.tenant_deployments", `NEW.deployment_notes := NEW.deployment_notes || ' '; RETURN NEW;`, "11111111"},
		"a microsecond":                {"tokens", "berth.tokens", `NEW.created_at := NEW.created_at + interval '1 microsecond'; RETURN NEW;`, ""},
		"nothing instead of emptiness": {"audit_log", "berth.audit_log", `NEW.before := nullif(NEW.before, ''); RETURN NEW;`, ""},
		"a byte":                       {"secret_versions", "berth.secret_versions", `NEW.ciphertext := set_byte(NEW.ciphertext, 7, 0); RETURN NEW;`, id(1)},
		"a flag":                       {"channels", "berth.channels", `NEW.enabled := NOT NEW.enabled; RETURN NEW;`, ""},
		"JSON":                         {"usage_marks", "berth.usage_marks", `NEW.counters := '[]'; RETURN NEW;`, orgID(1)},
		"a row that was left out":      {"deliveries", "berth.deliveries", `RETURN CASE WHEN NEW.seq = 2 THEN NULL ELSE NEW END;`, id(41)},
		"one of two rows exchanged":    {"events", "berth.events", `NEW.seq := 3 - NEW.seq; RETURN NEW;`, ""},
		"a row of a table before": {"volumes", "berth.pulled_images",
			`UPDATE berth.volumes SET mount = '/' WHERE name = (SELECT min(name) FROM berth.volumes); RETURN NEW;`, ""},
		"a row too many": {"identities", "berth.pulled_images", `INSERT INTO berth.identities SELECT 'i', 's', user_id FROM berth.identities LIMIT 1; RETURN NEW;`, "i s"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := database(t)
			to := destination(t, name)
			admin(t, name, `CREATE FUNCTION public.tamper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+c.body+` END $$;
				CREATE TRIGGER tamper BEFORE INSERT ON `+c.on+` FOR EACH ROW EXECUTE FUNCTION public.tamper()`)
			_, err := move.Run(t.Context(), from, to)
			refused(t, err, "Table "+c.table+" is not the same", "row", c.row)
			if n := rows(t, to); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// program is what a product's own database looks like: with more columns, other
// names, roles as an enumeration, and rows.
const program = `
	CREATE TABLE public.organizations (id uuid PRIMARY KEY, name text NOT NULL, plan text NOT NULL DEFAULT 'free', created_at timestamptz NOT NULL DEFAULT now());
	CREATE TABLE public.user_profiles (id uuid PRIMARY KEY, email text, full_name text);
	CREATE TYPE public.member_role AS ENUM ('owner', 'admin', 'member', 'deployer');
	CREATE TABLE public.user_organizations (user_id uuid NOT NULL REFERENCES public.user_profiles, org_id uuid NOT NULL REFERENCES public.organizations,
		role public.member_role NOT NULL, is_active boolean NOT NULL DEFAULT true, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (user_id, org_id));
	INSERT INTO public.organizations VALUES ('550e8400-e29b-41d4-a716-000000000001', 'The product''s name', 'gold', '2020-01-01'),
		('550e8400-e29b-41d4-a716-000000000042', 'Not in Berth', 'free', '2020-01-01');
	INSERT INTO public.user_profiles VALUES ('11111111-0000-4000-8000-00000000000a', 'old@example.com', 'The product''s user'),
		('11111111-0000-4000-8000-000000000042', 'x@example.com', 'Not in Berth');
	INSERT INTO public.user_organizations (user_id, org_id, role) VALUES
		('11111111-0000-4000-8000-000000000042', '550e8400-e29b-41d4-a716-000000000042', 'owner');
	GRANT REFERENCES, SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO owner WITH GRANT OPTION; GRANT ALL ON SCHEMA public TO owner WITH GRANT OPTION`

func TestWhatAProductKeepsOfOrganizationsAndPeopleStays(t *testing.T) {
	t.Parallel()
	from := origin(t)
	seed(t, from)
	name := database(t, program)
	to := destination(t, name)
	if _, err := move.Run(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	err := to.View(t.Context(), berth.System(), func(tx store.Tx) error {
		one, err := tx.Organization(t.Context(), orgID(1))
		if err != nil || one.Name != "The product's name" {
			t.Errorf("an organization that was there: %+v, %v", one, err)
		}
		nine, err := tx.Organization(t.Context(), orgID(9))
		if err != nil || nine.Name != odd || nine.SelfService != berth.SelfService {
			t.Errorf("one that was not: %+v, %v", nine, err)
		}
		if _, err := tx.Organization(t.Context(), orgID(0x42)); err != nil {
			t.Errorf("one that Berth did not know: %v", err)
		}
		user, ok, err := tx.UserByEmail(t.Context(), "Ädä@Example.COM")
		if !ok || err != nil || !user.Operator {
			t.Errorf("a user who was there: %+v, %v", user, err)
		}
		members, _, err := tx.ListMembers(t.Context(), orgID(9), whole)
		if err != nil || len(members) != 1 || members[0].Role != berth.RoleDeployer {
			t.Errorf("members: %+v, %v", members, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	admin(t, name, `DO $$ BEGIN
		ASSERT (SELECT count(*) FROM public.organizations WHERE plan = 'gold' AND created_at = '2020-01-01' AND name = 'The product''s name') = 1, 'organization';
		ASSERT (SELECT count(*) FROM public.user_profiles WHERE full_name = 'The product''s user' AND email = 'old@example.com') = 1, 'user';
		ASSERT (SELECT count(*) FROM public.user_organizations) = 3, 'members';
	END $$`)
}

func TestAMembershipThatIsThereAlreadyIsNotMerged(t *testing.T) {
	t.Parallel()
	from := origin(t)
	seed(t, from)
	name := database(t, program+`;INSERT INTO public.user_organizations (user_id, org_id, role)
		VALUES ('11111111-0000-4000-8000-00000000000a', '550e8400-e29b-41d4-a716-000000000001', 'member')`)
	to := destination(t, name)
	_, err := move.Run(t.Context(), from, to)
	refused(t, err, "memberships", id(10), orgID(1), "never merged")
	admin(t, name, `DO $$ BEGIN ASSERT (SELECT count(*) FROM public.organizations) = 2; END $$`)
}

func TestALoginThatDoesNotOwnTheSchemaIsToldSo(t *testing.T) {
	t.Parallel()
	from := origin(t)
	seed(t, from)
	name := database(t)
	destination(t, name)
	admin(t, name, `CREATE ROLE guest_of_move LOGIN; GRANT berth_api, berth_system TO guest_of_move`)
	to := destinationAs(t, "guest_of_move", name)
	_, err := move.Run(t.Context(), from, to)
	refused(t, err, "owns Berth's schema")
}

func TestWhatCanNotBeKeptAsItIsIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	from := opened(t, s, err)
	seed(t, from)
	to := destination(t, database(t))
	if err := from.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		return tx.AppendAudit(t.Context(), &berth.AuditEntry{ID: id(99), At: noon, Action: "a", Target: "with \x00", Outcome: berth.AuditDone})
	}); err != nil {
		t.Fatal(err)
	}
	_, err = move.Run(t.Context(), from, to)
	refused(t, err, "audit_log.target", id(99))
	if n := rows(t, to); n != 0 {
		t.Errorf("%d rows are left", n)
	}

	other := origin(t)
	if err := other.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		return tx.InsertEvent(t.Context(), berth.Event{ID: id(98), OrganizationID: "no UUID", At: noon, Kind: "k", Message: "m"})
	}); err != nil {
		t.Fatal(err)
	}
	_, err = move.Run(t.Context(), other, to)
	refused(t, err, "events", "no UUID", "nothing was moved")
}

func TestATableOrAColumnThatNobodyMovesIsRefused(t *testing.T) {
	t.Parallel()
	for what, statement := range map[string]string{
		"new_nouns": `CREATE TABLE new_nouns (id TEXT)`,
		"colour":    `ALTER TABLE volumes ADD COLUMN colour TEXT`,
	} {
		path := filepath.Join(t.TempDir(), "berth.db")
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		from := opened(t, s, err)
		change(t, path, statement)
		err = from.Rows(t.Context(), func(store.Rows) error { return nil })
		refused(t, err, what)
	}
}
