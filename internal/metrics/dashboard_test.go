package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/metrics"
)

type source struct{ Type, UID string }

type dashboard struct {
	UID        string
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Query                  json.RawMessage
		}
	}
	Panels []struct {
		ID         int
		Type       string
		Title      string
		Datasource *source
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct {
			RefID, Expr string
			Datasource  *source
		}
	}
}

func TestTheDashboardUsesOnlyWhatIsExported(t *testing.T) {
	data, err := os.ReadFile("../../docs/grafana/berth.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	var queries []string
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		queries = append(queries, v.Definition)
		if v.Name == "datasource" && (v.Type != "datasource" || string(v.Query) != `"prometheus"`) {
			t.Errorf("the data source is of type %s %s", v.Type, v.Query)
		}
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: off the grid: %+v", p.Title, p.GridPos)
		}
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource == nil || p.Datasource.UID != "${datasource}") {
			t.Errorf("%s: no query, or not of the variable's data source", p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource == nil || *q.Datasource != (source{"prometheus", "${datasource}"}) {
				t.Errorf("%s: data source %+v", p.Title, q.Datasource)
			}
			queries = append(queries, q.Expr)
		}
	}
	used := checkQueries(t, queries, variables)
	for _, name := range metrics.Names() {
		if !used[name] {
			t.Errorf("nobody sees %s on the dashboard", name)
		}
	}
}

var (
	metricName = regexp.MustCompile(`\bberth_\w+`)
	variable   = regexp.MustCompile(`\$(\w+)`)
	counted    = regexp.MustCompile(`(rate|increase)\((\w+)`)
)

// checkQueries returns the metrics that are used.
func checkQueries(t *testing.T, queries []string, variables map[string]bool) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, q := range queries {
		for _, name := range metricName.FindAllString(q, -1) {
			used[name] = true
			if !slices.Contains(metrics.Names(), name) {
				t.Errorf("%s is not exported: %s", name, q)
			}
			if strings.HasSuffix(name, "_total") && strings.Count(q, name) > strings.Count(q, "rate("+name)+strings.Count(q, "increase("+name) {
				t.Errorf("counter %s without a rate: %s", name, q)
			}
		}
		for _, m := range counted.FindAllStringSubmatch(q, -1) {
			if !strings.HasSuffix(m[2], "_total") {
				t.Errorf("%s of what is no counter: %s", m[1], q)
			}
		}
		for _, m := range variable.FindAllStringSubmatch(q, -1) {
			if !variables[m[1]] {
				t.Errorf("no variable %s: %s", m[1], q)
			}
		}
		if strings.Count(q, "(") != strings.Count(q, ")") || strings.Count(q, "{") != strings.Count(q, "}") {
			t.Errorf("unbalanced: %s", q)
		}
	}
	return used
}
