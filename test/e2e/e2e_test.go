package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

func TestATenantsDataOutlivesEverythingButAnOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t, 10, "--deploy-deadline", "30s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Data", Start: true})
	if info, err := os.Stat(made.ComposePath); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("compose file: %v, %v", info, err)
	}
	data := func(port int) string { return testbed.At(port, "/api/data/note") }
	if status, body := s.Ask("PUT", data(made.ExternalPort), "remember me"); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	kept := func(after string) {
		t.Helper()
		if _, body := s.Ask("GET", data(made.ExternalPort), ""); body != "remember me" {
			t.Errorf("after %s: %q", after, body)
		}
	}
	_, err := s.api.Restart(s.Ctx, org, testbed.Patient())
	s.Must(err)
	kept("a restart")
	before := s.inspect(org)
	cpu, memory, three := 1.0, 600, 3
	_, err = s.api.Scale(s.Ctx, org, client.Scale{CPULimit: &cpu, MemoryLimitMB: &memory}, testbed.Patient())
	s.Must(err)
	after := s.inspect(org)
	if after.State.Pid != before.State.Pid || after.HostConfig.NanoCPUs != 1e9 || after.HostConfig.Memory != 600<<20 {
		t.Errorf("scaled: %+v", after.HostConfig.Resources)
	}
	_, err = s.api.Scale(s.Ctx, org, client.Scale{Replicas: &three}, testbed.Patient())
	s.Must(err)
	hosts := map[string]bool{}
	for range 30 {
		_, body := s.Ask("GET", testbed.At(made.ExternalPort, "/"), "")
		var who struct{ Hostname string }
		s.Must(json.Unmarshal([]byte(body), &who))
		hosts[who.Hostname] = true
	}
	if len(hosts) != 3 {
		t.Errorf("%d of 3 replicas answer", len(hosts))
	}
	_, err = s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &rig.ImageTwo}, testbed.Patient())
	s.Must(err)
	if !s.Serves(made.ExternalPort, "2") {
		t.Error("version 2 does not serve")
	}
	kept("a deploy")
	absent := "berth-e2e-absent:1"
	_, err = s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &absent}, testbed.Patient())
	var failed *client.Error
	if !errors.As(err, &failed) || failed.Status != 409 || failed.Code != "deployment_failed" || failed.DeploymentID == "" {
		t.Errorf("an absent image: %v", err)
	}
	s.Eventually(15*time.Second, "version 2 serves on", func() bool { return s.Serves(made.ExternalPort, "2") })
	s.Eventually(30*time.Second, "it is converged", func() bool {
		tn, err := s.api.Tenant(s.Ctx, org)
		return err == nil && tn.Status == "running" && tn.HealthStatus == "healthy"
	})
	_, err = s.api.Rollback(s.Ctx, org, client.Rollback{}, testbed.Patient())
	s.Must(err)
	if !s.Serves(made.ExternalPort, "1") {
		t.Error("version 1 does not serve after the rollback")
	}
	_, err = s.api.Deprovision(s.Ctx, org, "keep", testbed.Patient())
	s.Must(err)
	again := s.provision(client.Provision{OrganizationID: org, TenantName: "Data", Start: true})
	if again.ExternalPort != made.ExternalPort {
		t.Errorf("port %d, then %d", made.ExternalPort, again.ExternalPort)
	}
	kept("deprovisioning and provisioning again")
	s.checkHistory(org)
}

// checkHistory checks seed fault 15: every row is complete and true.
func (s *site) checkHistory(org string) {
	s.Helper()
	page, err := s.api.Deployments(s.Ctx, org, "", 100)
	s.Must(err)
	var got []string
	for _, d := range page.Deployments {
		got = append([]string{d.DeploymentType + " " + d.Status}, got...)
		if d.StartedAt == nil || d.CompletedAt == nil || d.NewImageTag == "" || d.Status == "completed" && d.ImageDigest == nil || d.Status == "failed" && d.ErrorMessage == nil {
			s.Errorf("incomplete: %+v", d)
		}
	}
	want := "[provision completed restart completed scale completed scale completed update completed update failed rollback completed deprovision completed provision completed]"
	if fmt.Sprint(got) != want {
		s.Errorf("history\n%v, want\n%s", got, want)
	}
}

// Fault 31, and secrets at rest.
func TestEnvironmentIsByteExactAndNowhereElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	canary := "canary-" + berth.NewID()
	values := map[string]string{
		"TENANTAPP_TEST": "1", "A_SECRET": canary, "LINES": "one\ntwo\r\n", "DOLLARS": "$HOME ${PATH} $$ $(id)", "QUOTES": `'"` + "`\\",
		"EQUALS": "a=b=c", "EMPTY": "", "SPACES": "  x  ", "UNICODE": "שלום 🚢\u202e", "JSON": `{"a": [1, "#"]}`,
	}
	made := s.provision(client.Provision{TenantName: "Environment", Environment: values, Start: true})
	for name, want := range values {
		status, body := s.Ask("GET", testbed.At(made.ExternalPort, "/api/env?name="+name), "")
		var got struct{ Base64 string }
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		if data, err := base64.StdEncoding.DecodeString(got.Base64); err != nil || string(data) != want {
			t.Errorf("%s is %q in the container, want %q", name, data, want)
		}
	}
	if strings.Contains(s.process.Log(), canary) {
		t.Error("the canary is in the log")
	}
	err := filepath.WalkDir(s.process.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(canary)) {
			t.Errorf("the canary is in %s", path)
		}
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	s.Must(err)
}

func TestFiftyAtOnceGetFiftyPortsAndNoneThatIsTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, 60)
	first, _, _ := strings.Cut(s.process.Ports, "-")
	var begin int
	_, err := fmt.Sscan(first, &begin)
	s.Must(err)
	taken := map[int]bool{}
	for i, host := range []string{"0.0.0.0", "127.0.0.1"} { // the host has these in use
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, begin+3+i))
		s.Must(err)
		defer func() { _ = l.Close() }()
		taken[begin+3+i] = true
	}
	var mu sync.Mutex
	got := map[int]string{}
	var g errgroup.Group
	for range 50 {
		g.Go(func() error {
			org := berth.NewID()
			made, err := s.api.Provision(s.Ctx, client.Provision{OrganizationID: org, TenantName: "Port", ImageTag: rig.ImageOne}, client.Call{Wait: -1})
			mu.Lock()
			defer mu.Unlock()
			if other, twice := got[made.ExternalPort]; twice {
				t.Errorf("port %d twice: %s and %s", made.ExternalPort, other, org)
			}
			got[made.ExternalPort] = org
			return err
		})
	}
	s.Must(g.Wait())
	for port := range got {
		if taken[port] || port < begin || port >= begin+52 {
			t.Errorf("port %d is in use, or not among the smallest", port)
		}
	}
	g.SetLimit(8)
	for _, org := range got {
		g.Go(func() error {
			_, err := s.api.Deprovision(s.Ctx, org, "delete", testbed.Patient())
			return err
		})
	}
	s.Must(g.Wait())
	if made := s.provision(client.Provision{TenantName: "Freed"}); made.ExternalPort != begin {
		t.Errorf("port %d, though %d is free again", made.ExternalPort, begin)
	}
}

// Faults 13 and 15, by hand on the real Engine.
func TestWhatPeopleBreakIsRepairedWithin15Seconds(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	made := s.provision(client.Provision{TenantName: "Drift", Start: true})
	for what, harm := range map[string]func() error{
		"killed": func() error {
			_, err := s.Engine.ContainerKill(s.Ctx, made.ContainerName, dockerclient.ContainerKillOptions{Signal: "KILL"})
			return err
		},
		"stopped": func() error {
			_, err := s.Engine.ContainerStop(s.Ctx, made.ContainerName, dockerclient.ContainerStopOptions{})
			return err
		},
		"removed": func() error {
			_, err := s.Engine.ContainerRemove(s.Ctx, made.ContainerName, dockerclient.ContainerRemoveOptions{Force: true})
			return err
		},
		"without its network": func() error {
			network := berth.NetworkName(made.OrganizationID)
			_, err := s.Engine.NetworkDisconnect(s.Ctx, network, dockerclient.NetworkDisconnectOptions{Container: made.ContainerName, Force: true})
			if err == nil {
				_, err = s.Engine.NetworkRemove(s.Ctx, network, dockerclient.NetworkRemoveOptions{})
			}
			return err
		},
	} {
		s.Must(harm())
		s.Eventually(15*time.Second, "it serves after being "+what, func() bool { return s.Serves(made.ExternalPort, "1") })
		s.Eventually(15*time.Second, "it is known to be well after being "+what, func() bool {
			tn, err := s.api.Tenant(s.Ctx, made.OrganizationID)
			return err == nil && tn.Status == "running" && tn.HealthStatus == "healthy" && tn.Cause == nil
		})
	}
	page, err := s.api.Events(s.Ctx, made.OrganizationID, "", 100)
	s.Must(err)
	events := page.Events
	if len(events) < 3 || events[0].Kind != "drift" {
		t.Errorf("drift recorded: %+v", events)
	}
}

// Fault 40.
func TestSIGTERMUnderLoadAnswersWhatWasAccepted(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	made := s.provision(client.Provision{TenantName: "Load", Start: true})
	before := s.inspect(made.OrganizationID)
	var answered, broken atomic.Int32
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			cli := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := cli.Get(testbed.At(made.ExternalPort, "/api/stream?n=3&ms=20"))
				if err != nil {
					var refused *net.OpError
					if !errors.As(err, &refused) || refused.Op != "dial" { // it was accepted, and then dropped
						broken.Add(1)
						t.Errorf("dropped: %v", err)
					}
					return
				}
				var body bytes.Buffer
				_, err = body.ReadFrom(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || strings.Count(body.String(), "data:") != 3 {
					broken.Add(1)
					t.Errorf("cut off: %d %q %v", resp.StatusCode, body.String(), err)
				}
				answered.Add(1)
			}
		})
	}
	s.Eventually(30*time.Second, "the load is on", func() bool { return answered.Load() > 100 })
	if err := s.process.Stop(); err != nil {
		t.Errorf("exit: %v", err)
	}
	close(stop)
	clients.Wait()
	t.Logf("%d answered, %d broken", answered.Load(), broken.Load())
	if after := s.inspect(made.OrganizationID); after.State.Pid != before.State.Pid {
		t.Error("the container did not run on")
	}
	s.start()
	s.Eventually(15*time.Second, "it serves again", func() bool { return s.Serves(made.ExternalPort, "1") })
	if after := s.inspect(made.OrganizationID); after.State.Pid != before.State.Pid {
		t.Error("the container was restarted")
	}
}

// Fault 19 and item 9: a registry that wants a credential.
func TestAPullNeedsTheCredentialAndIsPinnedByItsDigest(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	registry := testbed.Registry(t, "user", "pass-"+berth.NewID())
	reference, digest := registry.Push(t, "app:v1")
	t.Cleanup(func() { s.Must(testbed.RemoveImage(s.Ctx, reference)) })
	org := berth.NewID()
	_, err := s.api.Provision(s.Ctx, client.Provision{OrganizationID: org, TenantName: "Pull", ImageTag: reference, Start: true}, testbed.Patient())
	if err == nil || !strings.Contains(err.Error(), "failed") {
		t.Errorf("pulled without a credential: %v", err)
	}
	t.Cleanup(func() { s.remove(org) })
	host, err := url.Parse("http://" + reference)
	s.Must(err)
	s.Must(s.api.PutRegistry(s.Ctx, host.Host, "user", registry.Password))
	_, err = s.api.Deploy(s.Ctx, org, client.Deploy{}, testbed.Patient())
	s.Must(err)
	tn, err := s.api.Tenant(s.Ctx, org)
	s.Must(err)
	if tn.ImageDigest == nil || !strings.HasSuffix(*tn.ImageDigest, "@"+digest) {
		t.Errorf("pinned as %v, want …@%s", tn.ImageDigest, digest)
	}
}
