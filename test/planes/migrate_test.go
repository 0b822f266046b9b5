package planes_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

func TestAnInstallationMovesFromAFileToPostgreSQLUnderItsTenants(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := s.TempDir()
	p := &plane{site: s, name: "moved", process: &testbed.Process{
		Binary: rig.Binary, StateDir: dir, Ports: s.ports, Pool: s.pool, Env: []string{"BERTH_DATABASE_URL=sqlite:"},
	}}
	s.planes = append(s.planes, p)
	p.start()
	last := p
	one := p.provision(&last)
	secret := "s3cret of the test"
	_, err := p.api.Configure(s.Ctx, orgOf(one), client.Configure{Environment: map[string]*string{"KEY": &secret}}, testbed.Patient())
	s.Must(err)
	s.Eventually(30*time.Second, "the tenant is healthy", p.healthy(orgOf(one)))
	before := s.containers(orgOf(one))
	history, err := p.api.Deployments(s.Ctx, orgOf(one), "", 100)
	s.Must(err)

	if out := p.migrate(true); !strings.Contains(out, "stop Berth first") {
		t.Errorf("while it runs: %s", out)
	}
	s.Must(p.process.Stop())
	if out := p.migrate(false); !strings.Contains(out, "equal") {
		t.Errorf("no table in %s", out)
	}
	if after := s.containers(orgOf(one)); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v", before, after)
	}

	p.process.Env = []string{"BERTH_DATABASE_URL=" + s.url}
	token := p.process.Token
	p.start()
	if p.process.Token != token {
		t.Error("the operator has another token")
	}
	s.Eventually(10*time.Second, "it leads", p.leads)
	s.Eventually(30*time.Second, "the tenant is healthy again", p.healthy(orgOf(one)))
	s.Eventually(10*time.Second, "it serves the tenant", func() bool { return s.serves(one.ExternalPort) })
	if after := s.containers(orgOf(one)); !slices.Equal(after, before) {
		t.Errorf("containers %v became %v", before, after)
	}
	moved, err := p.api.Deployments(s.Ctx, orgOf(one), "", 100)
	s.Must(err)
	if len(moved.Deployments) != len(history.Deployments) || moved.Deployments[0].ID != history.Deployments[0].ID {
		t.Errorf("history %+v became %+v", history, moved)
	}
	// The next version gets the secret, which the same keys open.
	if _, err := p.api.Deploy(s.Ctx, orgOf(one), client.Deploy{ImageTag: &rig.ImageTwo}, testbed.Patient()); err != nil {
		t.Errorf("an order afterwards: %v", err)
	}
	if out := p.migrate(true); !strings.Contains(out, "stop Berth first") {
		t.Errorf("once it has moved: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "berth.db")); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

// healthy reports whether a tenant runs and answers.
func (p *plane) healthy(org string) func() bool {
	return func() bool {
		got, err := p.api.Tenant(p.Ctx, org)
		return err == nil && got.Status == "running" && got.HealthStatus == "healthy"
	}
}

// migrate moves the installation to the site's database, or fails to.
func (p *plane) migrate(fails bool) string {
	p.Helper()
	cmd := exec.CommandContext(p.Ctx, rig.Binary, "migrate", "--from", "sqlite:", "--state-dir", p.process.StateDir)
	cmd.Env = append(os.Environ(), "BERTH_DATABASE_URL="+p.url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || (err != nil) != fails {
		p.Errorf("berth migrate: %v\n%s", err, out)
	}
	return string(out)
}
