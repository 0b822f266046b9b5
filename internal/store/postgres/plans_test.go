package postgres_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
	"github.com/unite-hub/berth/internal/store/row"
)

// A statement whose plan costs more than this reads more than what it is asked
// for: the 10,000 tenants cost some 1,000, a scan of two million rows 20,000.
const mostCost = 4000

// mayCost are the statements that cost more or sort many rows, each by a part of
// its text and with the reason.
var mayCost = map[string]string{
	"DELETE FROM berth.usage_marks":                     "one row a tenant; the keeper asks every five minutes",
	"FROM berth.usage_marks m WHERE $1::uuid IS":        "the meter's start: one row a tenant, all of them wanted",
	"DISTINCT organization_id FROM":                     "one row a tenant, and an index step for each; the keeper asks every five minutes",
	"FROM public.tenant_health WHERE checked_at":        "sums the probes of one minute of all tenants",
	"FROM berth.tenant_health_rollups WHERE":            "sums one hour of all tenants",
	"WHERE d.organization_id = o.id ORDER BY":           "one row an organization, and for each so many index steps as are kept; the keeper asks every hour, in a snapshot",
	"SELECT c.id, c.organization_id FROM public":        "the tombstones that are due, which are all of them here, against the volumes; the keeper asks every hour, in a snapshot",
	"c.deprovisioned_at IS NULL AND c.engine_id = $2))": "the tenants of one engine of five, all of them wanted: a scan of the tenants costs as much; that the volumes are found by an index is seen of those that no engine has",
	"strpos(search_text, $4)":                           "what is looked for stands in few tenants; there are no more rows than tenants",
}

// byKey are statements that hold up others however long a history is: each by a
// part of its text, and with a line of its plan that finds its rows by their key.
var byKey = map[string]string{
	"($5::jsonb)::uuid)) OFFSET 0) d": "Index Scan using tenant_deployments_pkey on tenant_deployments ",
}

//go:embed testdata/ten_thousand.sql
var tenThousand string

// plan is a node of a plan, as EXPLAIN tells it.
type plan struct {
	Node      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	IndexCond string  `json:"Index Cond"`
	Rows      float64 `json:"Plan Rows"`
	Cost      float64 `json:"Total Cost"`
	Once      string  `json:"One-Time Filter"`
	Parent    string  `json:"Parent Relationship"`
	Plans     []plan
}

// nothing reports whether a condition on the values alone has nothing read.
func (p plan) nothing() bool {
	inputs := slices.DeleteFunc(slices.Clone(p.Plans), func(below plan) bool { return below.Parent == "InitPlan" || below.Parent == "SubPlan" })
	return p.Once == "false" || strings.HasPrefix(p.Once, "NULL") || len(inputs) == 1 && inputs[0].nothing()
}

// unread is what the parts would cost that nothing is read by.
func (p plan) unread() (cost float64) {
	if p.nothing() {
		return p.Cost
	}
	for _, below := range p.Plans {
		cost += below.unread()
	}
	return cost
}

// faults are what is wrong with a plan.
func (p plan) faults(grows map[string]bool) (list []string) {
	if p.nothing() {
		return nil
	}
	if p.Node == "Seq Scan" && grows[p.Relation] {
		list = append(list, "scans "+p.Relation)
	}
	if strings.HasSuffix(p.Node, "Sort") && p.Plans[0].Rows > 10_000 {
		list = append(list, fmt.Sprintf("sorts %.0f rows", p.Plans[0].Rows))
	}
	for _, below := range p.Plans {
		list = append(list, below.faults(grows)...)
	}
	return list
}

// checkPlans plans each statement that was recorded in a database with ten
// thousand tenants, as the role and with the claims and values that it ran with.
func checkPlans(t *testing.T, r *postgres.Recorder) {
	ctx := t.Context()
	statements := r.Statements()
	if len(statements) < 110 {
		t.Errorf("only %d statements were recorded: run the whole of this test", len(statements))
	}
	name := database(t, true)
	admin(t, name, tenThousand)
	c, err := pgx.Connect(ctx, server.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	grows := growing(t, c)
	used, keyed := map[string]bool{}, map[string]bool{}
	for _, query := range slices.Sorted(maps.Keys(statements)) {
		reason := ""
		for part := range mayCost {
			if strings.Contains(query, part) {
				reason = part
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(statements[query])) {
			use := statements[query][kind]
			if n := len(use.Args); strings.Contains(query, "FROM berth.audit_log") && strings.Contains(query, "LIMIT $9") {
				use.Args = slices.Clone(use.Args) // the suite looks at a few, or asks for all of a chain at once; this is the most that anybody else gets
				use.Args[n-2] = store.AuditReads
				if fmt.Sprint(use.Args[n-1]) == fmt.Sprint(math.MaxInt32) {
					use.Args[n-1] = row.LargestPage + 1
				}
			} else if strings.Contains(query, "FROM berth.audit_log") && strings.Contains(query, "OFFSET $3") {
				use.Args = slices.Clone(use.Args)
				use.Args[n-1] = store.AuditReads
			}
			p, text, err := explain(ctx, c, query, use)
			if err != nil {
				t.Errorf("%s\n%s: %v", query, kind, err)
				break
			}
			faults := p.faults(grows)
			for part, line := range byKey {
				if strings.Contains(query, part) {
					keyed[part] = true
					if !strings.Contains(text, line) {
						faults = append(faults, "does not find its rows by their key")
					}
				}
			}
			if cost := p.Cost - p.unread(); cost > mostCost {
				faults = append(faults, fmt.Sprintf("costs %.0f", cost))
			}
			if len(faults) == 0 {
				continue
			}
			if used[reason] = true; reason == "" {
				t.Errorf("%s\nas %s with %v\n%s\n%s", strings.Join(faults, ", "), kind, use.Args, query, text)
				break
			}
		}
	}
	for part := range mayCost {
		if !used[part] {
			t.Errorf("mayCost has %q, which no statement needs", part)
		}
	}
	for part := range byKey {
		if !keyed[part] {
			t.Errorf("byKey has %q, which is in no statement", part)
		}
	}
}

// growing are the tables with more rows than tenants make at once.
func growing(t *testing.T, c *pgx.Conn) map[string]bool {
	rows, err := c.Query(t.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples >= 10000
		AND relnamespace IN ('public'::regnamespace, 'berth'::regnamespace)`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(list) < 20 {
		t.Fatalf("%v, %v", list, err)
	}
	grows := map[string]bool{}
	for _, table := range list {
		grows[table] = true
	}
	return grows
}

func explain(ctx context.Context, c *pgx.Conn, query string, use postgres.Use) (p plan, text string, err error) {
	tx, err := c.Begin(ctx)
	if err != nil {
		return p, "", err
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(ctx, `SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`, use.Role, use.Claims); err != nil {
		return p, "", err
	}
	var top []struct{ Plan plan }
	var raw []byte
	args := append([]any{pgx.QueryExecModeDescribeExec}, use.Args...)
	if err := tx.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+query, args...).Scan(&raw); err != nil {
		return p, "", err
	}
	if err := json.Unmarshal(raw, &top); err != nil {
		return p, "", err
	}
	rows, err := tx.Query(ctx, "EXPLAIN "+query, args...)
	if err != nil {
		return p, "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return top[0].Plan, strings.Join(lines, "\n"), err
}
