package e2e_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

const tenantPort = 3000

// direct is where a tenant's container answers past the edge.
func (s *site) direct(org, path string) string {
	s.Helper()
	settings := s.inspect(org).NetworkSettings
	port, _ := network.PortFrom(tenantPort, network.TCP)
	for _, b := range settings.Ports[port] {
		return "http://" + net.JoinHostPort(b.HostIP.String(), b.HostPort) + path
	}
	for _, n := range settings.Networks {
		if !n.IPAddress.IsValid() {
			break
		}
		return fmt.Sprintf("http://%s:%d%s", n.IPAddress, tenantPort, path)
	}
	return "http://127.0.0.1:1" + path // it has no address now
}

// events are a tenant's events of one kind, newest first.
func (s *site) events(org, kind string) (messages []string) {
	s.Helper()
	list, err := s.api.Events(s.Ctx, org, "", 100)
	s.Must(err)
	for _, e := range list.Events {
		if e.Kind == kind {
			messages = append(messages, e.Message)
		}
	}
	return messages
}

func (s *site) converges(org, version string, port int) {
	s.Helper()
	s.Eventually(30*time.Second, "it is well and runs version "+version, func() bool {
		tn, err := s.api.Tenant(s.Ctx, org)
		return err == nil && tn.Status == "running" && tn.HealthStatus == "healthy" && tn.Cause == nil && s.Serves(port, version)
	})
}

// behave tells a tenant what to do, through the edge. It may be much: it answers
// once it is done.
func (s *site) behave(port int, how string) (status int, answer string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Ctx, time.Minute*testbed.Crowded)
	defer cancel()
	return testbed.Ask(ctx, http.MethodPost, testbed.At(port, "/api/behave"), how)
}

// Fault 17.
func TestATenantOutOfMemoryIsNamedAndComesBackWhileItsNeighbourServes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org, least := berth.NewID(), 256
	hungry := s.provision(client.Provision{OrganizationID: org, TenantName: "Hungry", MemoryLimitMB: &least, Start: true})
	neighbour := s.provision(client.Provision{TenantName: "Neighbour", Start: true})
	before := s.inspect(org).State.StartedAt
	s.under(neighbour.ExternalPort, 100, func() {
		if status, body := s.behave(hungry.ExternalPort, `{"memoryMb": 400}`); status != http.StatusBadGateway || !strings.Contains(body, "upstream_failed") { // fault 32
			t.Errorf("the request that it died of: %d %s", status, body)
		}
		s.Eventually(15*time.Second, "the kill is told", func() bool { return len(s.events(org, berth.EventOOM)) == 1 })
		s.Eventually(15*time.Second, "it is back", func() bool { return s.Serves(hungry.ExternalPort, "1") })
	})
	if got := s.events(org, berth.EventOOM); !strings.Contains(got[0], "service app was killed for using more than its limit of memory") {
		t.Errorf("told as %q", got)
	}
	if s.inspect(org).State.StartedAt == before {
		t.Error("it was not killed")
	}
	s.converges(org, "1", hungry.ExternalPort)
}

// Fault 18, in a deployment.
func TestAVersionThatCrashesLeavesTheTenantAsItWas(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--deploy-deadline", "20s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Crash", Start: true})
	before := s.inspect(org)
	code := "7"
	s.under(made.ExternalPort, 100, func() {
		_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &rig.ImageTwo, Environment: map[string]*string{"CRASH_ON_START": &code}}, testbed.Patient())
		if err == nil || !strings.Contains(err.Error(), "exit code 7") {
			t.Errorf("a version that crashes: %v", err)
		}
		s.Eventually(20*time.Second, "only what was there is left", func() bool { return len(s.Containers(org)) == 1 })
	})
	if after := s.inspect(org); after.ID != before.ID || after.State.Pid != before.State.Pid {
		t.Error("what ran was touched")
	}
	if d := s.latest(org); d.Status != "failed" || d.ErrorMessage == nil {
		t.Errorf("%+v", d)
	}
	s.Eventually(15*time.Second, "it is healthy and of version 1", func() bool {
		tn, err := s.api.Tenant(s.Ctx, org)
		return err == nil && tn.HealthStatus == "healthy" && tn.ImageTag == rig.ImageOne && s.Serves(made.ExternalPort, "1")
	})
}

// Fault 18, outside of a deployment.
func TestATenantThatCrashesEightTimesIsGivenUpUntilItIsStarted(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Crashes", Start: true})
	crashes := 0
	var given client.Tenant
	s.Eventually(3*time.Minute, "it is given up", func() bool {
		if status, _ := s.Ask("GET", s.direct(org, "/api/health"), ""); status == 200 {
			s.Ask("POST", s.direct(org, "/api/behave"), `{"crash": true, "exitCode": 3}`)
			crashes++
		}
		var err error
		given, err = s.api.Tenant(s.Ctx, org)
		s.Must(err)
		return given.Cause != nil && strings.HasPrefix(*given.Cause, "given up: service app crashed 8 times")
	})
	if crashes != 8 || given.Status != "failed" {
		t.Errorf("after %d crashes: %s, %s", crashes, given.Status, *given.Cause)
	}
	if got := s.events(org, berth.EventGaveUp); len(got) != 1 {
		t.Errorf("told as %q", got)
	}
	s.Eventually(15*time.Second, "it stays down", func() bool { return s.inspect(org).State.Status == container.StateExited })
	if status, body := s.Ask("GET", testbed.At(made.ExternalPort, "/"), ""); status != http.StatusServiceUnavailable {
		t.Errorf("its port answers %d %s", status, body)
	}
	_, err := s.api.Start(s.Ctx, org, testbed.Patient())
	s.Must(err)
	s.converges(org, "1", made.ExternalPort)
}

// Fault 14.
func TestATenantWhoseVolumeIsGoneIsNeverStartedEmpty(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Lost", Start: true})
	volume := berth.VolumeName(org, "uploads")
	_, err := s.api.Stop(s.Ctx, org, testbed.Patient())
	s.Must(err)
	s.Eventually(30*time.Second, "the volume is gone", func() bool { // Berth makes the container again: the volume is in use then
		_, err := s.Engine.ContainerRemove(s.Ctx, made.ContainerName, dockerclient.ContainerRemoveOptions{Force: true})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			t.Fatal(err)
		}
		_, err = s.Engine.VolumeRemove(s.Ctx, volume, dockerclient.VolumeRemoveOptions{})
		return err == nil
	})
	_, err = s.api.Start(s.Ctx, org, testbed.Patient())
	if err == nil || !strings.Contains(err.Error(), volume+" was made before and is not there") {
		t.Errorf("started: %v", err)
	}
	tn, err := s.api.Tenant(s.Ctx, org)
	s.Must(err)
	if tn.Status != "failed" || tn.Cause == nil || !strings.Contains(*tn.Cause, volume) {
		t.Errorf("%s: %v", tn.Status, tn.Cause)
	}
	for _, c := range s.Containers(org) {
		if c.State == container.StateRunning {
			t.Errorf("%v runs", c.Names)
		}
	}
	if _, err := s.Engine.VolumeInspect(s.Ctx, volume, dockerclient.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("the volume was made anew: %v", err)
	}
}

// Fault 22: processes.
func TestATenantThatForksWithoutEndHurtsItselfOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	bomb := s.provision(client.Provision{OrganizationID: org, TenantName: "Bomb", Start: true})
	neighbour := s.provision(client.Provision{TenantName: "Neighbour", Start: true})
	before := s.inspect(org)
	if limit := before.HostConfig.PidsLimit; limit == nil || *limit != 256 {
		t.Errorf("its limit is %v", limit)
	}
	s.under(neighbour.ExternalPort, 100, func() {
		s.behave(bomb.ExternalPort, `{"processes": 1000}`)
		s.Eventually(30*time.Second, "it died of it and is back", func() bool {
			return s.inspect(org).State.StartedAt != before.State.StartedAt && s.Serves(bomb.ExternalPort, "1")
		})
	})
	logs, err := s.api.Logs(s.Ctx, org, client.LogOptions{Tail: -1})
	s.Must(err)
	defer func() { _ = logs.Close() }()
	text, err := io.ReadAll(logs)
	s.Must(err)
	if !strings.Contains(string(text), "failed to create new OS thread") {
		t.Error("it did not die of its limit")
	}
}

// Fault 22: logs.
func TestATenantThatLogsWithoutEndKeepsThirtyMegabytes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	talker := s.provision(client.Provision{OrganizationID: org, TenantName: "Talker", Start: true})
	neighbour := s.provision(client.Provision{TenantName: "Neighbour", Start: true})
	info, err := s.Engine.Info(s.Ctx, dockerclient.InfoOptions{})
	s.Must(err)
	before := s.inspect(org)
	kept := filepath.Join(info.Info.DockerRootDir, "containers", before.ID)
	most := int64(0)
	s.under(neighbour.ExternalPort, 100, func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if status, body := s.behave(talker.ExternalPort, `{"logBytes": 200000000}`); status != http.StatusNoContent {
				t.Errorf("%d %s", status, body)
			}
		}()
		for over := false; !over; {
			most = max(most, size(t, kept))
			select {
			case <-done:
				over = true
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	if most > 32<<20 || most == 0 {
		t.Errorf("its log took %d MB of disk", most>>20)
	}
	t.Logf("at most %d KB at a time", most>>10)
	// Beside what it wrote, its probes may have been late: requests come once they are not.
	s.Eventually(15*time.Second, "it serves", func() bool { return s.Serves(talker.ExternalPort, "1") })
	if now := s.inspect(org); now.ID != before.ID || now.State.StartedAt != before.State.StartedAt {
		t.Error("it was restarted for what it wrote")
	}
}

// size is what a directory's files hold together; some may go meanwhile.
func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return ignoreGone(err)
	})
	if err != nil {
		t.Error(err)
	}
	return total
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
