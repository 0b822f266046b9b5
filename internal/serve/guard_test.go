package serve

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/docker"
)

// A process may stand still in the middle of a call and go on when another
// leads: what of the call is left is not done.
func TestACallToTheEngineEndsWithTheTermBetweenTwoRequests(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Api-Version", "1.44")
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer server.Close()
	engine, err := docker.New(docker.Options{
		Host: strings.Replace(server.URL, "http://", "tcp://", 1), Installation: berth.NewID(), SealKey: make([]byte, 32), BeforeRequest: mayAsk,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	org := berth.NewID()
	for what, call := range map[string]func(context.Context, *guarded) error{
		"Resolve": func(ctx context.Context, g *guarded) error {
			_, err := g.Resolve(ctx, "app:1", nil, nil)
			return err
		},
		"Apply": func(ctx context.Context, g *guarded) error {
			_, err := g.Apply(ctx, berth.Stack{OrganizationID: org})
			return err
		},
		"Remove": func(ctx context.Context, g *guarded) error {
			return g.Remove(ctx, berth.Removal{OrganizationID: org, Volumes: []string{"tenant_" + org + "_storage"}})
		},
		"Revive": func(ctx context.Context, g *guarded) error { return g.Revive(ctx, org, "c") },
		"Rest":   func(ctx context.Context, g *guarded) error { return g.Rest(ctx, org, "c") },
		"Adopt":  func(ctx context.Context, g *guarded) error { return g.Adopt(ctx, berth.Adoption{OrganizationID: org}) },
		"Collect": func(ctx context.Context, g *guarded) error {
			return g.Collect(ctx, berth.PulledImage{Pin: "app@sha256:" + strings.Repeat("1", 64)})
		},
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var looks atomic.Int32
			g := &guarded{Engine: engine, check: func() error {
				if looks.Add(1) == 1 {
					return nil // then the process stands still
				}
				return berth.Errorf(berth.CodeNotLeading, "over")
			}}
			before := asked.Load()
			if err := call(ctx, g); !berth.Is(err, berth.CodeNotLeading) {
				t.Errorf("got %v", err)
			}
			if asked.Load() != before || looks.Load() < 2 {
				t.Errorf("%d requests were sent, %d looks", asked.Load()-before, looks.Load())
			}
		})
	}
}
