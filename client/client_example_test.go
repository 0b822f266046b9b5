package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
	"github.com/unite-hub/berth/internal/tenancy"
)

const acme = "550e8400-e29b-41d4-a716-446655440001"

// To make a tenant and to find it.
func Example() {
	url, token, stop := exampleBerth()
	defer stop()

	berth, err := client.New(url, token)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	made, err := berth.Provision(ctx, client.Provision{OrganizationID: acme, TenantName: "Acme Corp", Slug: "acme", ImageTag: "app:1"}, client.Call{Wait: -1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.Slug, "at", made.TenantURL, "done:", made.Done)

	list, err := berth.Tenants(ctx, client.TenantFilter{Text: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range list.Tenants {
		fmt.Println(t.TenantName, "is", t.Status)
	}
	// Output:
	// acme at http://localhost:3001 done: false
	// Acme Corp is provisioning
}

// A mutation with an idempotency key may be repeated: it is done once.
func ExampleCall() {
	url, token, stop := exampleBerth()
	defer stop()

	berth, err := client.New(url, token)
	if err != nil {
		log.Fatal(err)
	}
	ids := map[string]bool{}
	for range 2 {
		made, err := berth.Provision(context.Background(), client.Provision{OrganizationID: acme, TenantName: "Acme Corp", ImageTag: "app:1"},
			client.Call{Wait: -1, IdempotencyKey: "order-4711"})
		if err != nil {
			log.Fatal(err)
		}
		ids[made.DeploymentID] = true
	}
	fmt.Println("deployments:", len(ids))
	// Output:
	// deployments: 1
}

// Errors say what is wrong and what to do.
func ExampleError() {
	url, token, stop := exampleBerth()
	defer stop()

	berth, err := client.New(url, token)
	if err != nil {
		log.Fatal(err)
	}
	image := "app:2"
	_, err = berth.Deploy(context.Background(), "nobody", client.Deploy{ImageTag: &image}, client.Call{})
	var problem *client.Error
	if errors.As(err, &problem) {
		fmt.Println(problem.Status, problem.Code, problem.Hint != "")
	}
	// Output:
	// 404 container_not_found true
}

// A list is gone through to its end, however many pages it has.
func ExampleEach() {
	url, token, stop := exampleBerth()
	defer stop()

	berth, err := client.New(url, token)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for _, slug := range []string{"acme", "globex", "initech"} {
		organization := "550e8400-e29b-41d4-a716-44665544" + fmt.Sprintf("%04x", slug[0])
		if _, err := berth.Provision(ctx, client.Provision{OrganizationID: organization, TenantName: slug, Slug: slug, ImageTag: "app:1"}, client.Call{Wait: -1}); err != nil {
			log.Fatal(err)
		}
	}
	tenants := client.Each(func(cursor string) ([]client.Tenant, *string, error) {
		list, err := berth.Tenants(ctx, client.TenantFilter{Cursor: cursor, Limit: 2})
		return list.Tenants, list.NextCursor, err
	})
	for t, err := range tenants {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(t.Slug)
	}
	// Output:
	// acme
	// globex
	// initech
}

// What an order would do can be asked before it is given.
func ExampleClient_DryRun() {
	url, token, stop := exampleBerth()
	defer stop()

	berth, err := client.New(url, token)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := berth.Provision(ctx, client.Provision{OrganizationID: acme, TenantName: "Acme Corp", Slug: "acme", ImageTag: "app:1"}, client.Call{Wait: -1}); err != nil {
		log.Fatal(err)
	}
	forecast, err := berth.DryRun(ctx, "acme", client.Deprovision{Volumes: "keep"})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range forecast.Steps {
		fmt.Println(step.Text)
	}
	fmt.Println("downtime:", forecast.Downtime)
	// Output:
	// close the tenant's port
	// remove the tenant's network
	// downtime: false
}

// nothing is an engine that holds nothing.
type nothing struct{ reconcile.Engine }

func (nothing) Info(context.Context) (berth.EngineInfo, error) {
	return berth.EngineInfo{ID: "e", Cores: 4}, nil
}

func (nothing) Observe(context.Context, string) (berth.Observed, error) {
	return berth.Observed{}, nil
}

// idle takes orders up and carries none out.
type idle struct{ tenancy.Loop }

func (idle) Enqueue(string)                              {}
func (idle) Await(ctx context.Context, _ string) error   { <-ctx.Done(); return ctx.Err() }
func (idle) Progress(string) (p berth.Progress, ok bool) { return p, false }
func (idle) EngineInfo() (berth.EngineInfo, bool)        { return berth.EngineInfo{ID: "e", Cores: 4}, true }
func (idle) PortFree(int) bool                           { return true }

// exampleBerth serves Berth's own API on an empty database, without an engine.
func exampleBerth() (url, token string, stop func()) {
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "berth-example")
	must(err)
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	must(err)
	box, err := secrettest.Create(dir)
	must(err)
	service := tenancy.New(tenancy.Config{
		FirstPort: 3001, LastPort: 3100, Pool: berth.DefaultPool(), PublicHost: "localhost", Blueprint: berth.BuiltinBlueprint, Examine: blueprint.Examine,
		HostNetworks: func() ([]netip.Prefix, error) { return nil, nil }, ComposePath: func(org string) string { return "/" + org },
		Now: store.Now,
	}, tenancy.Parts{
		Preview: reconcile.NewPreviewer(reconcile.Config{}, reconcile.Parts{Store: db, Engine: nothing{}}),
		Store:   db, Loop: idle{}, Ports: idle{}, Secrets: box, Keys: box,
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) }),
	})
	_, _, err = service.ApplyBlueprint(ctx, berth.System(), blueprint.BuiltinSource())
	must(err)
	quiet := slog.New(slog.DiscardHandler)
	keys := auth.New(auth.Config{Store: db, Log: quiet})
	token, _, err = keys.Create(ctx, berth.System(), auth.NewToken{Name: "example"})
	must(err)
	server := httptest.NewServer(api.New(api.Config{Service: service, Auth: keys, Log: quiet, StateDir: dir}))
	return server.URL, token, func() {
		server.Close()
		must(db.Close())
		must(os.RemoveAll(dir))
	}
}
