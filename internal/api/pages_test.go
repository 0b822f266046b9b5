package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/store"
)

// unpaged are lists without pages, each with its bound.
var unpaged = map[string]string{
	"sweep":      "limit, and the number of those left out",
	"me":         "a user's memberships: at most 1,000",
	"sessions":   "a user's own: at most 1,000",
	"own-health": "the rules that an Engine can break: a fixed few",
	"keys":       "of the key file: at most 100",
	"status":     "a tenant's containers",
	"get":        "a tenant's volumes", "list": "has pages, whose tenants hold lists",
	"deployment": "a deployment's steps",
}

func TestEveryListHasPages(t *testing.T) {
	t.Parallel()
	data, err := api.OpenAPI("golden")
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Ref        string            `json:"$ref"`
		Type       any               `json:"type"`
		Items      *json.RawMessage  `json:"items"`
		Properties map[string]schema `json:"properties"`
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name string }
			Responses   map[string]struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	lists := 0
	for path, item := range doc.Paths {
		op := item["get"]
		answer := doc.Components.Schemas[strings.TrimPrefix(op.Responses["200"].Content["application/json"].Schema.Ref, "#/components/schemas/")]
		var arrays []string
		for name, p := range answer.Properties {
			if p.Items != nil && strings.Contains(string(*p.Items), "$ref") {
				arrays = append(arrays, name)
			}
		}
		if len(arrays) == 0 || unpaged[op.OperationID] != "" && op.OperationID != "list" {
			continue
		}
		lists++
		names := ""
		for _, p := range op.Parameters {
			names += p.Name + " "
		}
		if _, next := answer.Properties["nextCursor"]; !next || !strings.Contains(names, "cursor") || !strings.Contains(names, "limit") {
			t.Errorf("%s (%s) has a list (%v) without pages: it takes %s", path, op.OperationID, arrays, names)
		}
	}
	if lists < 17 {
		t.Errorf("only %d lists were looked at", lists)
	}
}

func TestPagesHoldTheWholeListInItsOrder(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	ctx := t.Context()
	for i := range 4 {
		w.want(w.ask("PUT", fmt.Sprintf("/api/registries/r%d.example.com", i), `{"username":"u","password":"p"}`), 204, "registry")
		if a := w.apply(shop + strings.Repeat("#", i) + "\n"); a.status != 201 {
			t.Fatal(a.body)
		}
	}
	hook := ""
	for range 3 {
		hook = w.want(w.ask("POST", "/api/notifications", `{"url":"https://h.example.com/x"}`), 201, "webhook")["id"].(string)
	}
	for range 3 {
		w.want(w.ask("POST", "/api/notifications/"+hook+"/test", ""), 202, "test")
	}
	at := moment().Add(-time.Minute)
	w.put(func(tx store.Tx) error {
		for i := range 5 {
			if err := tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: one, At: at, Kind: "drift", Message: fmt.Sprint(i)}); err != nil {
				return err
			}
			p := berth.Probe{OrganizationID: one, CheckedAt: moment().Add(time.Duration(i) * time.Second), Status: berth.ProbeHealthy, Type: "http", Endpoint: "/"}
			if err := tx.InsertProbe(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	for path, list := range map[string]string{
		"/api/tenants?": "tenants", "/api/organizations?": "organizations", "/api/registries?": "registries", "/api/blueprints?": "blueprints",
		"/api/notifications?": "notifications", "/api/notifications/" + hook + "/deliveries?": "deliveries", "/api/events?": "events",
		"/api/tenants/" + one + "/events?": "events", "/api/tenants/" + one + "/deployments?": "deployments", "/api/volumes?": "volumes",
		"/api/tenants/" + one + "/health?": "checks", "/api/audit?": "entries", "/api/tokens?": "tokens",
	} {
		whole := w.want(w.ask("GET", path+"limit=1000", ""), 200, path)[list].([]any)
		var pages []any
		for cursor, n := "", 0; n <= len(whole); n++ {
			page := w.want(w.ask("GET", path+"limit=1&cursor="+url.QueryEscape(cursor), ""), 200, path)
			pages = append(pages, page[list].([]any)...)
			next, more := page["nextCursor"].(string)
			if cursor = next; !more {
				break
			}
		}
		if fmt.Sprint(pages) != fmt.Sprint(whole) || len(whole) < 1 {
			t.Errorf("%s in pages:\n%v\nat once:\n%v", path, pages, whole)
		}
		for _, bad := range []string{"limit=0", "limit=1001", "cursor=x"} {
			w.wantProblem(w.ask("GET", path+bad, ""), 422, path+bad)
		}
	}
	versions := w.want(w.ask("GET", "/api/blueprints?limit=2", ""), 200, "blueprints")
	within := w.want(w.ask("GET", "/api/blueprints?limit=2&cursor="+versions["nextCursor"].(string), ""), 200, "blueprints")["blueprints"].([]any)
	if i := slices.IndexFunc(within, func(b any) bool { return b.(map[string]any)["newest"] == true }); i >= 0 {
		t.Errorf("%v is not the newest of its name", within[i])
	}
}

func TestUsageHasPagesAndAnAverageOfAll(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	hour := moment().Truncate(time.Hour).Add(-10 * time.Hour)
	w.put(func(tx store.Tx) error {
		var list []berth.Usage
		for i := range 5 {
			begin := hour.Add(time.Duration(i) * time.Hour)
			list = append(list, berth.Usage{OrganizationID: one, Resolution: berth.ByHour, Start: begin, End: begin.Add(time.Hour), Requests: berth.Known(int64(i))})
		}
		return tx.PutUsage(t.Context(), list)
	})
	var counts []any
	cursor := ""
	for range 5 {
		page := w.want(w.ask("GET", "/api/tenants/"+one+"/usage?resolution=hour&limit=2"+cursor, ""), 200, "usage")
		if page["average"].(map[string]any)["requestCount"] != 10.0 {
			t.Errorf("average %v", page["average"])
		}
		for _, p := range page["periods"].([]any) {
			counts = append(counts, p.(map[string]any)["requestCount"])
		}
		next, more := page["nextCursor"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
	if fmt.Sprint(counts) != "[0 1 2 3 4]" {
		t.Errorf("pages: %v", counts)
	}
}
