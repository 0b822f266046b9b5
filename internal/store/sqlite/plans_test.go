package sqlite_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/store/sqlite"
)

// mayWalk are the statements that walk through a table or sort what they find,
// each by a part of its text and with the reason.
var mayWalk = map[string]string{
	"FROM usage_marks m WHERE ?1 IS NULL":             "the meter's start: one row a tenant, all of them wanted, in the order of the key",
	"DELETE FROM usage_marks":                         "one row a tenant, and an index step for each; the keeper asks every five minutes",
	"SELECT id FROM organizations o WHERE ?1 IS NULL": "one row an organization, and an index step for each; the keeper asks every five minutes",
	"WITH parts AS":                                   "sorts the hours or days of one tenant",
	"json_group_array":                                "sorts the volumes of one tenant",
	"SELECT pin, reference, pulled_at":                "sorts the images of one engine, all of them wanted",
	"FROM installation WHERE ciphertext":              "one row",
	"WHERE d.organization_id = o.id ORDER BY":         "one row an organization, and for each so many index steps as are kept; the keeper asks every hour, in a snapshot",
	"SELECT v.id FROM secret_versions v":              "walks the environments of one organization, which are JSON",
	"WITH RECURSIVE waiting":                          "sorts at most one delivery a channel",
	"WHERE name > ?1 OR name = ?1 AND version < ?2":   "sorts the versions of one name",
	"FROM tenant_health WHERE checked_at":             "sorts the probes of the tenants of one batch",
	"FROM tenant_health_rollups WHERE resolution":     "sorts the hours of one day of the tenants of one batch",
	"WHERE d.status = 'pending' AND":                  "walks the index of open deployments, which holds no other",
	"json_each(?5) j CROSS JOIN tenant_deployments":   "sorts what is asked about, which are the few that are dropped at a time",
}

// byKey are statements that hold the writer however long a history is: each by a
// part of its text, and with a step that finds its rows by their key.
var byKey = map[string]string{
	"json_each(?5) j CROSS JOIN tenant_deployments": "SEARCH d USING INDEX sqlite_autoindex_tenant_deployments_1 (id=?)",
}

// oneRow are what a scan of costs nothing: they have one row, or are no table.
var oneRow = regexp.MustCompile(`^SCAN (installation|outbox|CONSTANT ROW|json_each|j VIRTUAL|w$|waiting|\(subquery)`)

// SQLite plans without statistics, which Berth never has it gather, as if each
// table had a million rows: what it plans here is what it does at any size.
// planned holds that no statement scans a table or sorts, but those of mayWalk.
func planned(t *testing.T, s *sqlite.Store, statements map[string]bool) {
	if len(statements) < 110 {
		t.Errorf("the suite has only %d statements prepared", len(statements))
	}
	used, keyed := map[string]bool{}, map[string]bool{}
	for _, query := range slices.Sorted(maps.Keys(statements)) {
		steps, err := s.Explain(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for part, step := range byKey {
			if strings.Contains(query, part) {
				keyed[part] = true
				if !slices.Contains(steps, step) {
					t.Errorf("not by key: %s, in\n%s", strings.Join(steps, "\n"), query)
				}
			}
		}
		for _, step := range steps {
			walks := strings.HasPrefix(step, "SCAN ") && !oneRow.MatchString(step)
			if !walks && !strings.Contains(step, "TEMP B-TREE") && !strings.Contains(step, "AUTOMATIC") {
				continue
			}
			reason := ""
			for part := range mayWalk {
				if strings.Contains(query, part) {
					used[part], reason = true, mayWalk[part]
				}
			}
			if reason == "" {
				t.Errorf("%s, in\n%s", strings.Join(steps, "\n"), query)
				break
			}
		}
	}
	for part := range mayWalk {
		if !used[part] {
			t.Errorf("mayWalk has %q, which no statement needs", part)
		}
	}
	for part := range byKey {
		if !keyed[part] {
			t.Errorf("byKey has %q, which is in no statement", part)
		}
	}
}
