package client_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unite-hub/berth/client"
)

func TestBlueprintsAreAskedForByNameAndVersion(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		_, _ = io.WriteString(w, `{"id":"shop@3","name":"shop","version":3,"source":"name: shop\n","unchanged":true,"blueprints":[{"id":"shop@3","newest":true,"tenants":2}],"envPath":"/e"}`)
	})
	ctx := t.Context()
	newest, err := c.Blueprint(ctx, "shop", 0)
	older, err2 := c.Blueprint(ctx, "a/b", 2)
	applied, err3 := c.ApplyBlueprint(ctx, []byte("name: shop\n"))
	list, err4 := c.Blueprints(ctx, "c2", 5)
	files, err5 := c.WriteComposeEnv(ctx, "acme")
	_, err6 := c.Adopt(ctx, "acme", client.Call{Wait: -1})
	if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /api/blueprints/shop ", "GET /api/blueprints/a%2Fb?version=2 ", `POST /api/blueprints {"source":"name: shop\n"}`,
		"GET /api/blueprints?cursor=c2&limit=5 ", "POST /api/tenants/acme/compose/env ", "POST /api/tenants/acme/adopt?wait=0 ",
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
	if newest.Source != "name: shop\n" || older.Version != 3 || !applied.Unchanged || applied.ID != "shop@3" || len(list.Blueprints) != 1 || list.Blueprints[0].Tenants != 2 || files.EnvPath != "/e" {
		t.Errorf("read %+v, %+v, %+v, %+v, %+v", newest, older, applied, list, files)
	}
}

func TestARefusedBlueprintNamesAllThatIsWrong(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"error":"e","code":"invalid_blueprint","hint":"h","findings":[{"path":"services.web.privileged","line":4,"kind":"forbidden","rule":"r","hint":"o"}]}`)
	})
	_, err := c.ApplyBlueprint(t.Context(), nil)
	var got *client.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	want := []client.Finding{{Path: "services.web.privileged", Line: 4, Kind: "forbidden", Rule: "r", Hint: "o"}}
	if d := cmp.Diff(want, got.Findings); d != "" {
		t.Error(d)
	}
}
