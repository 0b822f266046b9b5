package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// under puts a steady load on a tenant while change is made.
func (s *site) under(port, rate int, change func()) testbed.Tally {
	s.Helper()
	load := &testbed.Load{URL: testbed.At(port, "/"), Rate: rate}
	var t testbed.Tally
	load.Start(&t)
	change()
	load.Stop()
	if t.Failed > 0 || t.Requests == 0 {
		s.Errorf("%d of %d requests failed: %q", t.Failed, t.Requests, t.Causes)
	}
	return t
}

func (s *site) deploy(org, tag string) client.Deployment {
	s.Helper()
	_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &tag}, testbed.Patient())
	s.Must(err)
	return s.latest(org)
}

func (s *site) latest(org string) client.Deployment {
	s.Helper()
	page, err := s.api.Deployments(s.Ctx, org, "", 1)
	s.Must(err)
	return page.Deployments[0]
}

func (s *site) version(port int) string {
	_, body := s.Ask("GET", testbed.At(port, "/api/health"), "")
	_, v, _ := strings.Cut(body, `"version":"`)
	v, _, _ = strings.Cut(v, `"`)
	return v
}

// Issue 4: no request fails and no WebSocket breaks while versions change.
func TestNoRequestFailsWhileVersionsChange(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--deploy-drain", "2s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Rolling", Start: true})
	addr := strings.TrimPrefix(testbed.At(made.ExternalPort, ""), "http://")
	socket, err := testbed.OpenSocket(addr)
	s.Must(err)
	defer socket.Close()
	tally := s.under(made.ExternalPort, 200, func() {
		for _, tag := range []string{rig.ImageTwo, rig.ImageOne} {
			s.deploy(org, tag)
		}
		_, err := s.api.Rollback(s.Ctx, org, client.Rollback{}, testbed.Patient())
		s.Must(err)
		if v := s.version(made.ExternalPort); v != "2" {
			t.Errorf("after two deployments and a rollback version %q runs", v)
		}
		_, err = s.api.Restart(s.Ctx, org, testbed.Patient())
		s.Must(err)
		three := 3
		_, err = s.api.Scale(s.Ctx, org, client.Scale{Replicas: &three}, testbed.Patient())
		s.Must(err)
		s.deploy(org, rig.ImageOne)
		one := 1
		_, err = s.api.Scale(s.Ctx, org, client.Scale{Replicas: &one}, testbed.Patient())
		s.Must(err)
	})
	t.Logf("%d requests, p99 %v, longest %v", tally.Requests, tally.P(0.99), tally.P(1))
	seen := s.inspect(org)
	if seen.Name != "/"+berth.ContainerName(org) {
		t.Errorf("the container is called %s", seen.Name)
	}
}

func TestAWebSocketLivesUntilItsDrainDeadline(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--deploy-drain", "3s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Sockets", Start: true})
	socket, err := testbed.OpenSocket(strings.TrimPrefix(testbed.At(made.ExternalPort, ""), "http://"))
	s.Must(err)
	defer socket.Close()
	deployed := make(chan error, 1)
	go func() {
		_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &rig.ImageTwo}, testbed.Patient())
		deployed <- err
	}()
	s.Eventually(30*time.Second, "new requests reach the new version", func() bool { return s.version(made.ExternalPort) == "2" })
	moved := time.Now()
	for time.Since(moved) < 2*time.Second {
		if err := socket.Echo("still here"); err != nil {
			t.Fatalf("the socket broke %v after traffic had moved: %v", time.Since(moved), err)
		}
		<-time.After(20 * time.Millisecond)
	}
	s.Must(<-deployed)
	if err := socket.Echo("gone"); err == nil {
		t.Error("the socket outlived the version that it was open to")
	}
}

// A version that never gets healthy, and one that gets sick while it is
// observed, leave the tenant as it was, without a failed request.
func TestABadVersionNeverGetsARequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--deploy-deadline", "20s", "--observe", "30s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Careful", Start: true})
	before := s.inspect(org)
	sick := "yes"
	tally := s.under(made.ExternalPort, 100, func() {
		_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &rig.ImageTwo, Environment: map[string]*string{"SICK": &sick}}, testbed.Patient())
		if err == nil || !strings.Contains(err.Error(), "not healthy in time") {
			t.Errorf("a sick version: %v", err)
		}
		s.Eventually(20*time.Second, "only what was there is left", func() bool { return len(s.Containers(org)) == 1 })
	})
	if after := s.inspect(org); after.ID != before.ID || after.State.Pid != before.State.Pid {
		t.Error("what ran was touched")
	}
	if v := s.version(made.ExternalPort); v != "1" {
		t.Errorf("version %q runs", v)
	}
	t.Logf("%d requests, p99 %v", tally.Requests, tally.P(0.99))
}

const held = `name: held
services:
  web:
    image: berth-demo:1
    user: "1001:1001"
    volumes: ["data:/app/public/uploads"]
volumes: {data: {}}
x-berth: {service: web, port: 3000, health: {path: /api/health}}
`

// One that holds a volume alone is stopped before its successor starts, and
// requests wait.
func TestRequestsWaitWhileAVolumeChangesHands(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "held.yml")
	if err := os.WriteFile(file, []byte(held), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, 5, "--blueprint", file)
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Held", Start: true})
	if status, body := s.Ask(http.MethodPut, testbed.At(made.ExternalPort, "/api/data/kept"), "bread"); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	most := 0
	tally := s.under(made.ExternalPort, 100, func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, tag := range []string{rig.ImageTwo, rig.ImageOne, rig.ImageTwo} {
				s.deploy(org, tag)
			}
		}()
		for {
			running := 0
			for _, c := range s.Containers(org) {
				if c.State == "running" {
					running++
				}
			}
			most = max(most, running)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	if most != 1 {
		t.Errorf("%d containers held the volume at the same time", most)
	}
	if _, body := s.Ask(http.MethodGet, testbed.At(made.ExternalPort, "/api/data/kept"), ""); body != "bread" {
		t.Errorf("the volume holds %q", body)
	}
	t.Logf("%d requests, p99 %v, longest %v", tally.Requests, tally.P(0.99), tally.P(1))
}
