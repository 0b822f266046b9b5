package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

const password = "correct horse battery"

// examples makes the images of the example products, once for all tests.
var examples = sync.OnceValue(func() error {
	root, err := testbed.ModuleRoot()
	if err != nil {
		return err
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "images.sh"), "nextjs", "saas").CombinedOutput()
	if err != nil {
		return fmt.Errorf("scripts/images.sh: %w\n%s", err, out)
	}
	return nil
})

// exampleFile is the path of an example's blueprint.
func (s *site) exampleFile(name string) string {
	s.Helper()
	root, err := testbed.ModuleRoot()
	s.Must(err)
	return filepath.Join(root, "examples", name, "blueprint.yml")
}

func newExampleSite(t *testing.T, example string) *site {
	t.Helper()
	if err := examples(); err != nil {
		t.Fatal(err)
	}
	root, err := testbed.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, 5, "--blueprint", filepath.Join(root, "examples", example, "blueprint.yml"), "--deploy-deadline", "5m")
}

type saasStats struct{ MigrationRuns, DatabaseStarts, LockRefusals int }

func (s *site) stats(port int) (st saasStats) {
	s.Helper()
	s.Eventually(15*time.Second, "/stats answers", func() bool {
		status, body := s.Ask("GET", testbed.At(port, "/stats"), "")
		if status != 200 && !strings.Contains(body, "the database did not answer; try again") {
			s.Fatalf("/stats: %d %s", status, body)
		}
		return status == 200 && json.Unmarshal([]byte(body), &st) == nil
	})
	return st
}

func (s *site) provisionSaas(org string) client.Provisioned {
	s.Helper()
	return s.provision(client.Provision{
		OrganizationID: org, TenantName: "Café <Ω> & Söhne", ImageTag: "1", Start: true,
		Environment: map[string]string{"DATABASE_PASSWORD": password},
	})
}

// The issue's: a database keeps its data through 20 deployments, and no two
// database processes ever hold its volume. The database counts both itself.
func TestADatabaseKeepsItsDataThroughTwentyDeployments(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "saas")
	org := berth.NewID()
	made := s.provisionSaas(org)
	for i := range 20 {
		if status, body := s.Ask("POST", testbed.At(made.ExternalPort, "/notes"), fmt.Sprint("note ", i)); status != 201 && status != 200 {
			t.Fatalf("note %d: %d %s", i, status, body)
		}
		order := client.Deploy{}
		tag := fmt.Sprint(2 - i%2)
		order.ImageTag = &tag
		if i%4 == 3 { // the database itself is made anew
			next := fmt.Sprint(password, i)
			order.Environment = map[string]*string{"DATABASE_PASSWORD": &next}
		}
		_, err := s.api.Deploy(s.Ctx, org, order, testbed.Patient())
		s.Must(err)
	}
	var notes struct{ Total int }
	_, body := s.Ask("GET", testbed.At(made.ExternalPort, "/notes"), "")
	s.Must(json.Unmarshal([]byte(body), &notes))
	got := s.stats(made.ExternalPort)
	if want := (saasStats{MigrationRuns: 21, DatabaseStarts: 6, LockRefusals: 0}); notes.Total != 20 || got != want {
		t.Errorf("%d notes of 20, %+v, want %+v", notes.Total, got, want)
	}
	// The guard is real: a second database on the same volume is refused.
	if code := s.secondDatabase(org); code != 75 {
		t.Errorf("a second database ended with %d, want 75", code)
	}
	_, err := s.api.Restart(s.Ctx, org, testbed.Patient())
	s.Must(err)
	if got := s.stats(made.ExternalPort); got.LockRefusals != 1 {
		t.Errorf("the refusal was not counted: %+v", got)
	}
}

// secondDatabase starts another database on a tenant's volume by hand.
func (s *site) secondDatabase(org string) int64 {
	s.Helper()
	name := "berth-e2e-second-" + org
	_, err := s.Engine.ContainerCreate(s.Ctx, dockerclient.ContainerCreateOptions{
		Name: name, Config: &container.Config{Image: "berth-saas-db:15", User: "999:999", Env: []string{"DATABASE_PASSWORD=" + password}},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", ReadonlyRootfs: true, Tmpfs: map[string]string{"/tmp": "", "/var/run/postgresql": "mode=1777"},
			Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: berth.VolumeName(org, "data"), Target: "/var/lib/postgresql/data"}},
		},
	})
	s.Must(err)
	defer func() {
		_, err := s.Engine.ContainerRemove(s.Ctx, name, dockerclient.ContainerRemoveOptions{Force: true})
		s.Must(err)
	}()
	_, err = s.Engine.ContainerStart(s.Ctx, name, dockerclient.ContainerStartOptions{})
	s.Must(err)
	var code int64 = -1
	s.Eventually(30*time.Second, "the second database has ended", func() bool {
		got, err := s.Engine.ContainerInspect(s.Ctx, name, dockerclient.ContainerInspectOptions{})
		s.Must(err)
		code = int64(got.Container.State.ExitCode)
		return got.Container.State.Status == container.StateExited
	})
	return code
}

func TestATenantOfSeveralServicesLivesItsLife(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "saas")
	org := berth.NewID()
	made := s.provisionSaas(org)
	status, body := s.Ask("POST", testbed.At(made.ExternalPort, "/notes"), "remember me")
	if status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
	kept := func(after string) {
		t.Helper()
		if _, body := s.Ask("GET", testbed.At(made.ExternalPort, "/notes"), ""); !strings.Contains(body, "remember me") {
			t.Errorf("after %s: %s", after, body)
		}
	}
	if status, body := s.Ask("POST", testbed.At(made.ExternalPort, "/jobs"), `{"n": 20}`); status >= 300 {
		t.Fatalf("jobs: %d %s", status, body)
	}
	s.Eventually(30*time.Second, "the worker has done all jobs", func() bool {
		_, body := s.Ask("GET", testbed.At(made.ExternalPort, "/jobs"), "")
		var jobs struct{ Pending, Done int }
		return json.Unmarshal([]byte(body), &jobs) == nil && jobs.Pending == 0 && jobs.Done == 20
	})
	_, err := s.api.Restart(s.Ctx, org, testbed.Patient())
	s.Must(err)
	kept("a restart")
	if got := s.stats(made.ExternalPort); got.MigrationRuns != 1 {
		t.Errorf("a restart ran the migration again: %+v", got)
	}
	cpu, memory := 1.5, 1536
	before := s.started(org)
	_, err = s.api.Scale(s.Ctx, org, client.Scale{CPULimit: &cpu, MemoryLimitMB: &memory}, testbed.Patient())
	s.Must(err)
	kept("scaling")
	if after := s.started(org); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("scaling restarted something: %v, then %v", before, after)
	}
	s.checkSum(org, cpu, memory)

	// Recreated by hand: the container of the database goes, its volume stays.
	_, err = s.Engine.ContainerRemove(s.Ctx, berth.ContainerName(org)+"_db_1", dockerclient.ContainerRemoveOptions{Force: true})
	s.Must(err)
	s.Eventually(60*time.Second, "the database is back", func() bool {
		status, body := s.Ask("GET", testbed.At(made.ExternalPort, "/notes"), "")
		return status == 200 && strings.Contains(body, "remember me")
	})
}

// A migration that fails moves nothing: what ran goes on running, untouched.
func TestAFailedMigrationMovesNothing(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "saas")
	org := berth.NewID()
	made := s.provisionSaas(org)
	before := s.started(org)
	fail, two := "1", "2"
	_, err := s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &two, Environment: map[string]*string{"MIGRATE_FAIL": &fail}}, testbed.Patient())
	var failed *client.Error
	if !errors.As(err, &failed) || failed.Code != "deployment_failed" || !strings.Contains(failed.Error(), "migrate") || !strings.Contains(failed.Error(), "exit code 3") {
		t.Errorf("a failed migration: %v", err)
	}
	s.Eventually(30*time.Second, "the tenant is converged", func() bool {
		tn, err := s.api.Tenant(s.Ctx, org)
		return err == nil && tn.Status == "running" && tn.HealthStatus == "healthy" && tn.ImageTag == "1"
	})
	after := s.started(org)
	for _, service := range []string{"", "_worker_1", "_db_1"} {
		name := berth.ContainerName(org) + service
		if before[name] != after[name] {
			t.Errorf("%s was touched: %s, then %s", name, before[name], after[name])
		}
	}
	if got := s.stats(made.ExternalPort); got.MigrationRuns != 1 {
		t.Errorf("the way back ran a migration: %+v", got)
	}
	none := (*string)(nil)
	_, err = s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &two, Environment: map[string]*string{"MIGRATE_FAIL": none}}, testbed.Patient())
	s.Must(err)
	if got := s.stats(made.ExternalPort); got.MigrationRuns != 2 {
		t.Errorf("the next release did not run its migration: %+v", got)
	}
}

// started tells for each container of a tenant which it is and since when it
// runs.
func (s *site) started(org string) map[string]string {
	s.Helper()
	out := map[string]string{}
	mine := testbed.OfTenant(org)
	list, err := s.Engine.ContainerList(s.Ctx, dockerclient.ContainerListOptions{Filters: mine})
	s.Must(err)
	for _, c := range list.Items {
		got, err := s.Engine.ContainerInspect(s.Ctx, c.ID, dockerclient.ContainerInspectOptions{})
		s.Must(err)
		out[strings.TrimPrefix(c.Names[0], "/")] = c.ID + " " + got.Container.State.StartedAt
	}
	return out
}

// checkSum checks that the limits in force never exceed the tenant's.
func (s *site) checkSum(org string, cpu float64, memoryMB int) {
	s.Helper()
	mine := testbed.OfTenant(org)
	list, err := s.Engine.ContainerList(s.Ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
	s.Must(err)
	var nano, bytes int64
	for _, c := range list.Items {
		got, err := s.Engine.ContainerInspect(s.Ctx, c.ID, dockerclient.ContainerInspectOptions{})
		s.Must(err)
		nano, bytes = nano+got.Container.HostConfig.NanoCPUs, bytes+got.Container.HostConfig.Memory
	}
	if nano == 0 || nano > int64(cpu*1e9) || bytes == 0 || bytes > int64(memoryMB)<<20 {
		s.Errorf("together the containers have %.2f cores and %d MB, the tenant %.2f and %d", float64(nano)/1e9, bytes>>20, cpu, memoryMB)
	}
}

// A missing required variable is an error at provisioning, and names it.
func TestAMissingVariableIsNamedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "saas")
	_, err := s.api.Provision(s.Ctx, client.Provision{OrganizationID: berth.NewID(), TenantName: "x"}, testbed.Patient())
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != 422 || refused.Code != "missing_variable" || !strings.Contains(refused.Error(), "DATABASE_PASSWORD") {
		t.Errorf("without the password: %v", err)
	}
	const short = "short"
	_, err = s.api.Provision(s.Ctx, client.Provision{OrganizationID: berth.NewID(), TenantName: "x", Environment: map[string]string{"DATABASE_PASSWORD": short}}, testbed.Patient())
	if !errors.As(err, &refused) || refused.Status != 422 || strings.Contains(refused.Error(), short+`"`) {
		t.Errorf("with a short one: %v", err)
	}
	list, err := s.api.Tenants(s.Ctx, client.TenantFilter{})
	if s.Must(err); len(list.Tenants) != 0 {
		t.Errorf("something was made: %+v", list)
	}
	if left, err := os.ReadDir(filepath.Join(s.process.StateDir, "docker", "tenants")); err != nil || len(left) != 0 {
		t.Errorf("files: %v, %v", left, err)
	}
}
