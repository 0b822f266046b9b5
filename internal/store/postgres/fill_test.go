package postgres_test

import (
	"slices"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

// Not moved, with the reason.
var notMoved = []string{
	"berth.installation only", "berth.outbox only", // there is one row
	"public.tenant_containers created_by", "public.tenant_deployments deployed_by", // a trigger finds the user
	"berth.engine_leases engine_id", "berth.engine_leases holder", "berth.engine_leases url", "berth.engine_leases fence",
	"berth.engine_leases expires_at", // control planes take new ones
	"berth.made object", "berth.made made_at", "berth.schema_migrations version", "berth.schema_migrations name",
	"berth.schema_migrations applied_at", // of the schema itself
}

func TestAMoveFillsEveryColumnOfTheSchema(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	var there []string
	if err := s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		there = ask[[]string](t, tx, `SELECT array_agg(n.nspname || '.' || c.relname || ' ' || a.attname) FROM pg_attribute a
			JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'
			AND (n.nspname = 'berth' OR n.nspname = 'public' AND c.relname LIKE 'tenant\_%')`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	filled := slices.Clone(notMoved)
	for _, table := range store.Tables() {
		name, columns := postgres.MappingOf(table)
		if name == "berth.memberships" {
			continue // a view
		}
		for _, c := range columns {
			filled = append(filled, name+" "+c)
		}
	}
	for _, c := range there {
		if !slices.Contains(filled, c) {
			t.Errorf("no move fills %s: add it to store.Tables, and to store/sqlite", c)
		}
	}
	for _, c := range filled {
		if !slices.Contains(there, c) {
			t.Errorf("%s is filled but not there", c)
		}
	}
}

// fillOne puts an installation of one organization.
func fillOne(t *testing.T, s *postgres.Store) error {
	return s.Fill(t.Context(), func(f store.Filling) error {
		for _, table := range store.Tables() {
			rows := map[string]store.Row{
				"installation":  {[]byte("moved"), []byte("2026-02-28T12:00:00.000000Z"), nil},
				"organizations": {[]byte(orgID(1)), []byte("One"), []byte("start"), []byte("2026-02-28T12:00:00.000000Z")},
				"outbox":        {[]byte("7")},
			}
			if err := f.Put(t.Context(), table, func(yield func(store.Row) error) error {
				if row, ok := rows[table.Name]; ok {
					return yield(row)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// organizations counts them.
func organizations(t *testing.T, s store.Store) (n int) {
	t.Helper()
	if err := s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListOrganizations(t.Context(), store.Page{})
		n = len(list)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAFillingWhoseCommitIsCutOffEndsInTheTruth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cut  cut
		code berth.Code // "" for done
		want int
	}{
		{"before the server saw it", cutBefore, berth.CodeStorageUnavailable, 0},
		{"after the server did it", cutAfter, "", 1},
		{"and nobody can tell", cutUnasked, berth.CodeOutcomeUnknown, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, url := through(t, login(lent(t)))
			s := open(t, url)
			p.atCommits(c.cut)
			err := fillOne(t, s)
			if c.code == "" && err != nil || c.code != "" && !berth.Is(err, c.code) {
				t.Errorf("got %v, want %q", err, c.code)
			}
			p.refuse(false)
			if n := organizations(t, s); n != c.want {
				t.Errorf("%d organizations, want %d", n, c.want)
			}
			if err := fillOne(t, s); (err == nil) != (c.want == 0) {
				t.Errorf("begun again: %v", err)
			}
		})
	}
}
