// Package e2e_test drives the real control plane on a real Engine from
// outside: by its API, by tenants' ports, and by what people do to containers
// with their own hands.
package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "e2e", &rig)) }

// site is a control plane of one test.
type site struct {
	*testing.T
	ctx     context.Context
	process *testbed.Process
	api     *client.Client
	engine  *dockerclient.Client
}

func newSite(t *testing.T, number, ports int, args ...string) *site {
	t.Helper()
	free, err := testbed.FreePorts(ports)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := testbed.Engine()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, ctx: context.WithoutCancel(t.Context()), engine: engine, process: &testbed.Process{
		Binary: rig.Binary, StateDir: t.TempDir(), Ports: free, Pool: fmt.Sprintf("10.71.%d.0/21", number*8), Args: args,
	}}
	s.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.process.Log())
		}
		if s.process.Running() {
			s.must(s.process.Stop())
		}
		s.must(engine.Close())
	})
	return s
}

func (s *site) start() {
	s.Helper()
	s.must(s.process.Start(s.ctx))
	var err error
	s.api, err = client.New(s.process.URL, s.process.Token)
	s.must(err)
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// provision makes a tenant that is taken away at the test's end, volumes and
// all, and checks that nothing of it is left.
func (s *site) provision(p client.Provision) client.Provisioned {
	s.Helper()
	if p.OrganizationID == "" {
		p.OrganizationID = berth.NewID()
	}
	if p.ImageTag == "" {
		p.ImageTag = rig.ImageOne
	}
	made, err := s.api.Provision(s.ctx, p, client.Call{})
	s.must(err)
	s.Cleanup(func() { s.remove(p.OrganizationID) })
	return made
}

func (s *site) remove(org string) {
	if !s.process.Running() {
		s.start()
	}
	_, err := s.api.Deprovision(s.ctx, org, "delete", client.Call{Wait: time.Minute})
	if err != nil && !strings.Contains(err.Error(), "not found") {
		s.Error(err)
	}
	mine := make(dockerclient.Filters).Add("label", berth.LabelTenantID+"="+org)
	left, err := s.engine.ContainerList(s.ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
	if err != nil || len(left.Items) > 0 {
		s.Errorf("containers left: %+v, %v", left.Items, err)
	}
	volumes, err := s.engine.VolumeList(s.ctx, dockerclient.VolumeListOptions{Filters: mine})
	if err == nil && len(volumes.Items) > 0 && !s.Failed() {
		// A tenant that was deprovisioned with its volumes kept.
		for _, v := range volumes.Items {
			_, err := s.engine.VolumeRemove(s.ctx, v.Name, dockerclient.VolumeRemoveOptions{})
			s.must(err)
		}
	}
}

func at(port int, path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, path) }

// ask does one request to a tenant's port.
func (s *site) ask(method, target, body string) (status int, answer string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.ctx, method, target, strings.NewReader(body))
	s.must(err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

// eventually waits until what is wanted holds. within is what a quiet machine
// may take; a crowded one gets more of it: what never comes is found as well.
func (s *site) eventually(within time.Duration, what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(within * testbed.Crowded); !holds(); {
		if time.Now().After(deadline) {
			s.Fatalf("after %v, not yet: %s", within*testbed.Crowded, what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (s *site) serves(port int, version string) bool {
	status, body := s.ask("GET", at(port, "/api/health"), "")
	var h struct{ Version string }
	return status == 200 && json.Unmarshal([]byte(body), &h) == nil && h.Version == version
}
