package docker_test

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
// leads: what of the call is left is not done, whichever method it is of.
func TestACallToAFencedEngineEndsBetweenTwoRequests(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Api-Version", "1.44")
	}))
	defer server.Close()
	engine, err := docker.New(docker.Options{
		Host: strings.Replace(server.URL, "http://", "tcp://", 1), Installation: berth.NewID(), SealKey: make([]byte, 32),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	org := berth.NewID()
	for what, call := range map[string]func(context.Context, *docker.Engine) error{
		"Info":    func(ctx context.Context, e *docker.Engine) error { _, err := e.Info(ctx); return err },
		"Observe": func(ctx context.Context, e *docker.Engine) error { _, err := e.Observe(ctx, org); return err },
		"List":    func(ctx context.Context, e *docker.Engine) error { _, err := e.List(ctx); return err },
		"Watch":   func(ctx context.Context, e *docker.Engine) error { return e.Watch(ctx, func(berth.Hint) {}) },
		"Resolve": func(ctx context.Context, e *docker.Engine) error {
			_, err := e.Resolve(ctx, "app:1", nil, nil)
			return err
		},
		"Apply": func(ctx context.Context, e *docker.Engine) error {
			_, err := e.Apply(ctx, berth.Stack{OrganizationID: org})
			return err
		},
		"Remove": func(ctx context.Context, e *docker.Engine) error {
			return e.Remove(ctx, berth.Removal{OrganizationID: org, Volumes: []string{"tenant_" + org + "_storage"}})
		},
		"RestartInstance": func(ctx context.Context, e *docker.Engine) error { return e.RestartInstance(ctx, org, "c") },
		"StopInstance":    func(ctx context.Context, e *docker.Engine) error { return e.StopInstance(ctx, org, "c") },
		"Adopt": func(ctx context.Context, e *docker.Engine) error {
			return e.Adopt(ctx, berth.Adoption{OrganizationID: org})
		},
		"Collect": func(ctx context.Context, e *docker.Engine) error {
			return e.Collect(ctx, berth.PulledImage{Pin: "app@sha256:" + strings.Repeat("1", 64)})
		},
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var looks atomic.Int32
			fenced, err := engine.Fenced(func() error {
				if looks.Add(1) == 1 {
					return nil // then the process stands still
				}
				return berth.Errorf(berth.CodeNotLeading, "over")
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = fenced.Close() }()
			before := asked.Load()
			if err := call(ctx, fenced); !berth.Is(err, berth.CodeNotLeading) {
				t.Errorf("got %v", err)
			}
			if sent := asked.Load() - before; sent != 1 || looks.Load() < 2 {
				t.Errorf("%d requests were sent, %d looks", sent, looks.Load())
			}
		})
	}
}
