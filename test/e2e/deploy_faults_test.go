package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// Fault 2. test/kill kills at every call to the Engine; here it is between
// them, while something is waited for.
func TestKilledWhileADeploymentWaitsTheTenantServesAndItEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--observe", "1500ms", "--deploy-drain", "3s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Killed", Start: true})
	next := map[string]string{"1": rig.ImageTwo, "2": rig.ImageOne}
	for _, moment := range []string{"apply", "health check", "drain", "apply after drain"} {
		socket, err := testbed.OpenSocket(strings.TrimPrefix(testbed.At(made.ExternalPort, ""), "http://")) // so that there is something to drain
		s.Must(err)
		old := s.version(made.ExternalPort)
		to := next[old]
		_, err = s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &to}, client.Call{Wait: -1})
		s.Must(err)
		s.reaches(s.latest(org), moment)
		s.Must(s.process.Kill())
		_ = socket.Close()
		s.start()
		began := time.Now()
		s.Eventually(5*time.Second, "a generation serves after a death at "+moment, func() bool {
			v := s.version(made.ExternalPort)
			return v == "1" || v == "2"
		})
		s.Eventually(15*time.Second, "the deployment is over after a death at "+moment, func() bool { return s.latest(org).Over() })
		d := s.latest(org)
		t.Logf("killed at %s: %s after %v", moment, d.Status, time.Since(began).Round(10*time.Millisecond))
		want := map[string]string{"completed": to[strings.LastIndexByte(to, ':')+1:], "failed": old}[d.Status]
		s.converges(org, want, made.ExternalPort)
		s.Eventually(15*time.Second, "one container is left after a death at "+moment, func() bool { return len(s.Containers(org)) == 1 })
		if c := s.Containers(org)[0]; c.Names[0] != "/"+berth.ContainerName(org) || c.State != container.StateRunning {
			t.Errorf("left after a death at %s: %v, %s", moment, c.Names, c.State)
		}
	}
}

// reaches returns once a deployment is at a step, the one of that name after
// its drain if so asked.
func (s *site) reaches(d client.Deployment, moment string) {
	s.Helper()
	step, after := strings.CutSuffix(moment, " after drain")
	var seen []string
	for deadline := time.Now().Add(30 * time.Second); ; {
		now, err := s.api.Deployment(s.Ctx, d.OrganizationID, d.ID)
		s.Must(err)
		if now.Step != nil && (len(seen) == 0 || seen[len(seen)-1] != *now.Step) {
			seen = append(seen, *now.Step)
		}
		if len(seen) > 0 && seen[len(seen)-1] == step && (!after || slices.Contains(seen, "drain")) {
			return
		}
		if now.Over() || time.Now().After(deadline) {
			s.Fatalf("the deployment never was at %s, but at %q", moment, seen)
		}
	}
}

// brokenRegistry answers every request with a status, after a while.
func brokenRegistry(t *testing.T, status int, after <-chan struct{}) (host string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-after:
		case <-r.Context().Done():
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		}
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, status)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return strings.TrimPrefix(srv.URL, "http://")
}

// Fault 19.
func TestAnImageThatDoesNotComeLeavesTheTenantServing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--deploy-deadline", "20s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Pulls", Start: true})
	before := s.inspect(org)
	now := make(chan struct{})
	close(now)
	late := make(chan struct{})
	timer := time.AfterFunc(time.Second, func() { close(late) })
	defer timer.Stop()
	s.under(made.ExternalPort, 100, func() {
		for _, c := range []struct{ image, says string }{
			{brokenRegistry(t, http.StatusUnauthorized, now) + "/app:1", "The registry does not give out"},
			{brokenRegistry(t, http.StatusNotFound, now) + "/app:1", "There is no image"},
			{brokenRegistry(t, http.StatusInternalServerError, late) + "/app:1", "500 Internal Server Error"},
		} {
			_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &c.image}, testbed.Patient())
			var failed *client.Error
			if !errors.As(err, &failed) || failed.Code != "deployment_failed" || !strings.Contains(failed.Message, c.says) {
				t.Errorf("%s: %v", c.image, err)
			}
		}
	})
	if after := s.inspect(org); after.ID != before.ID || after.State.Pid != before.State.Pid || len(s.Containers(org)) != 1 {
		t.Error("what ran was touched")
	}
	if events := s.events(org, berth.EventDeploymentFailed); len(events) != 3 {
		t.Errorf("told as %q", events)
	}
}

// Concurrent orders: a second change is refused, a stop wins, and another
// tenant does not wait.
func TestOrdersOnATenantUnderWayAreRefusedUntilAStopWins(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	busy := s.provision(client.Provision{OrganizationID: org, TenantName: "Busy", Start: true})
	other := s.provision(client.Provision{TenantName: "Other", Start: true})
	never := make(chan struct{})
	hanging := brokenRegistry(t, http.StatusInternalServerError, never) + "/app:1"
	_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &hanging}, client.Call{Wait: -1})
	s.Must(err)
	under := s.latest(org)
	for name, order := range map[string]func() error{
		"deploy":   func() error { _, err := s.api.Deploy(s.Ctx, org, client.Deploy{}, testbed.Patient()); return err },
		"restart":  func() error { _, err := s.api.Restart(s.Ctx, org, testbed.Patient()); return err },
		"rollback": func() error { _, err := s.api.Rollback(s.Ctx, org, client.Rollback{}, testbed.Patient()); return err },
		"scale": func() error {
			two := 2
			_, err := s.api.Scale(s.Ctx, org, client.Scale{Replicas: &two}, testbed.Patient())
			return err
		},
	} {
		var refused *client.Error
		if err := order(); !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Code != "deployment_in_progress" || !strings.Contains(refused.Hint, under.ID) {
			t.Errorf("a %s meanwhile: %v", name, err)
		}
	}
	soon, cancel := context.WithTimeout(s.Ctx, 20*time.Second)
	defer cancel()
	if _, err := s.api.Deploy(soon, other.OrganizationID, client.Deploy{ImageTag: &rig.ImageTwo}, testbed.Patient()); err != nil || !s.Serves(other.ExternalPort, "2") {
		t.Errorf("another tenant: %v", err)
	}
	if d := s.latest(org); d.ID != under.ID || d.Over() || !s.Serves(busy.ExternalPort, "1") {
		t.Errorf("under way: %+v", d)
	}
	if _, err := s.api.Stop(soon, org, testbed.Patient()); err != nil {
		t.Errorf("a stop: %v", err)
	}
	d, err := s.api.Deployment(s.Ctx, org, under.ID)
	if err != nil || d.Status != "superseded" || d.ErrorMessage == nil || !strings.Contains(*d.ErrorMessage, "stop") {
		t.Errorf("the one that was under way: %+v, %v", d, err)
	}
	if s.inspect(org).State.Status != container.StateExited {
		t.Error("it runs")
	}
	_, err = s.api.Start(s.Ctx, org, testbed.Patient())
	s.Must(err)
	s.converges(org, "1", busy.ExternalPort)
}

const variables = `name: variables
services:
  web:
    image: berth-demo:1
    user: "1001:1001"
x-berth:
  service: web
  port: 3000
  variables: {COLOUR: {description: plain}, API_TOKEN: {secret: true}}
`

// Seed fault 16.
func TestARollbackRestoresWhatRanButNoSecret(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--blueprint", blueprintFile(t, variables))
	org := berth.NewID()
	cpu, memory := 0.5, 300
	made := s.provision(client.Provision{
		OrganizationID: org, TenantName: "Back", CPULimit: &cpu, MemoryLimitMB: &memory, Start: true,
		Environment: map[string]string{"COLOUR": "red", "API_TOKEN": "revoked"},
	})
	first, image := s.latest(org), s.inspect(org).Image
	blue, current := "blue", "current"
	_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &rig.ImageTwo, Environment: map[string]*string{"COLOUR": &blue, "API_TOKEN": &current}}, testbed.Patient())
	s.Must(err)
	cpu, memory = 1, 600
	_, err = s.api.Scale(s.Ctx, org, client.Scale{CPULimit: &cpu, MemoryLimitMB: &memory}, testbed.Patient())
	s.Must(err)
	if got := s.inspect(org); got.Image == image || got.HostConfig.Memory != 600<<20 || !slices.Contains(got.Config.Env, "COLOUR=blue") {
		t.Fatalf("deployed and scaled: %s, %+v", got.Image, got.HostConfig.Resources)
	}
	s.under(made.ExternalPort, 100, func() {
		_, err = s.api.Rollback(s.Ctx, org, client.Rollback{DeploymentID: first.ID}, testbed.Patient())
		s.Must(err)
	})
	got := s.inspect(org)
	if got.Image != image || got.HostConfig.Memory != 300<<20 || got.HostConfig.NanoCPUs != 5e8 {
		t.Errorf("runs %s, not %s, with %d MB and %d", got.Image, image, got.HostConfig.Memory>>20, got.HostConfig.NanoCPUs)
	}
	if !slices.Contains(got.Config.Env, "COLOUR=red") || !slices.Contains(got.Config.Env, "API_TOKEN=current") {
		t.Error("the environment is not red with the current token")
	}
	d := s.latest(org)
	if d.DeploymentType != "rollback" || d.ImageDigest == nil || first.ImageDigest == nil || *d.ImageDigest != *first.ImageDigest || d.RollbackDeploymentID == nil || *d.RollbackDeploymentID != first.ID {
		t.Errorf("recorded as %+v", d)
	}
}

func blueprintFile(t *testing.T, source string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "blueprint.yml")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Seed fault 16: an image that is gone.
func TestARollbackToAnImageThatIsGoneChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	org := berth.NewID()
	reference := strings.TrimSuffix(rig.ImageOne, ":1") + "-gone:1"
	s.Must(testbed.LoadTenantImage(s.Ctx, reference, "gone"))
	t.Cleanup(func() { s.Must(testbed.RemoveImage(s.Ctx, reference)) })
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Gone", ImageTag: reference, Start: true})
	first, image := s.latest(org), s.inspect(org).Image
	s.deploy(org, rig.ImageTwo)
	before := s.inspect(org)
	_, err := s.Engine.ImageRemove(s.Ctx, image, dockerclient.ImageRemoveOptions{Force: true, PruneChildren: true})
	s.Must(err)
	s.under(made.ExternalPort, 100, func() {
		_, err := s.api.Rollback(s.Ctx, org, client.Rollback{DeploymentID: first.ID}, testbed.Patient())
		var failed *client.Error
		if !errors.As(err, &failed) || failed.Status != http.StatusConflict || failed.Code != "deployment_failed" || !strings.Contains(failed.Message, image) {
			t.Errorf("an image that is gone: %v", err)
		}
		s.Eventually(15*time.Second, "it is healthy", func() bool {
			tn, err := s.api.Tenant(s.Ctx, org)
			return err == nil && tn.Status == "running" && tn.HealthStatus == "healthy" && tn.ImageTag == rig.ImageTwo && s.Serves(made.ExternalPort, "2")
		})
	})
	after := s.inspect(org)
	if after.ID != before.ID || after.State.Pid != before.State.Pid || len(s.Containers(org)) != 1 {
		t.Error("what ran was touched")
	}
	if d := s.latest(org); d.DeploymentType != "rollback" || d.Status != "failed" {
		t.Errorf("recorded as %+v", d)
	}
}
