package e2e_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// odd is a password that every reader of .env files has its own idea of.
const odd = "it's ${HOME} $HOME $$ \"quoted\" \\n \\ back`slash` #no comment = é 🚢\nsecond line\t!"

// composeCommand names the variable with what is run in docker-compose's place,
// such as "docker compose".
const composeCommand = "BERTH_COMPOSE"

// compose runs docker-compose on a tenant's rendered file.
func (s *site) compose(made client.Provisioned, args ...string) string {
	s.Helper()
	command := append(strings.Fields(cmp.Or(os.Getenv(composeCommand), "docker-compose")), args...)
	cmd := exec.CommandContext(s.Ctx, command[0], command[1:]...)
	cmd.Dir = filepath.Dir(made.ComposePath)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("%q: %v\n%s", command, err, out)
	}
	return string(out)
}

// The eject: with Berth stopped, docker-compose takes the tenant over
// with its volumes and data; berth adopt takes it back.
func TestATenantLeavesBerthAndComesBackWithItsData(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "saas")
	org := berth.NewID()
	made := s.provision(client.Provision{
		OrganizationID: org, TenantName: `Café "${X}" $HOME`, ImageTag: "1", Start: true,
		Environment: map[string]string{"DATABASE_PASSWORD": strings.Split(odd, "\n")[0], "ODD": odd},
	})
	if status, body := s.Ask("POST", testbed.At(made.ExternalPort, "/notes"), "remember me"); status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
	kept := func(after string) {
		t.Helper()
		s.Eventually(60*time.Second, "the note is there after "+after, func() bool {
			_, body := s.Ask("GET", testbed.At(made.ExternalPort, "/notes"), "")
			return strings.Contains(body, "remember me")
		})
	}

	// No secret lies beside the file before an order to write it.
	file, err := os.ReadFile(made.ComposePath)
	s.Must(err)
	if strings.Contains(string(file), "quoted") {
		t.Error("the file holds the password")
	}
	env := filepath.Join(filepath.Dir(made.ComposePath), ".env")
	if _, err := os.Stat(env); !os.IsNotExist(err) {
		t.Errorf(".env before any order: %v", err)
	}
	out, err := s.process.Command(s.Ctx, "compose", org, "--with-secrets").CombinedOutput()
	if err != nil || strings.Contains(string(out), "quoted") {
		t.Fatalf("compose --with-secrets: %v\n%s", err, out)
	}
	if info, err := os.Stat(env); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf(".env: %v, %v", info, err)
	}

	// While Berth runs, compose sees its containers as its own.
	ps := s.compose(made, "ps", "-a") // later ones leave out what has ended
	for _, name := range []string{"tenant_" + org + " ", "_db_1", "_worker_1", "_migrate_1"} {
		if !strings.Contains(ps, name) {
			t.Errorf("docker-compose ps does not show %s:\n%s", name, ps)
		}
	}
	if logs := s.compose(made, "logs", "--no-color", "db"); !strings.Contains(logs, "database system is ready") {
		t.Errorf("docker-compose logs:\n%s", logs)
	}
	volumes := s.stats(made.ExternalPort)

	s.Must(s.process.Stop())
	s.compose(made, "up", "-d")
	kept("docker-compose up")
	if got := s.environment(org); got["ODD"] != odd || got["TENANT_NAME"] != `Café "${X}" $HOME` {
		t.Errorf("compose handed over %q", got)
	}
	if got := s.stats(made.ExternalPort); got.DatabaseStarts != volumes.DatabaseStarts+1 || got.LockRefusals != 0 {
		t.Errorf("the database: %+v, then %+v", volumes, got)
	}

	s.start()
	s.Eventually(30*time.Second, "the tenant is reported as not Berth's", func() bool {
		tn, err := s.api.Tenant(s.Ctx, org)
		return err == nil && tn.Status == "failed" && tn.Cause != nil && strings.Contains(*tn.Cause, "did not make")
	})
	kept("Berth's return") // it touches nothing without an order
	out, err = s.process.Command(s.Ctx, "adopt", org).CombinedOutput()
	if err != nil {
		t.Fatalf("berth adopt: %v\n%s", err, out)
	}
	kept("berth adopt")
	tn, err := s.api.Tenant(s.Ctx, org)
	if s.Must(err); tn.Status != "running" || tn.HealthStatus != "healthy" {
		t.Errorf("adopted, it is %s, %s: %v", tn.Status, tn.HealthStatus, tn.Cause)
	}
	if _, err := os.Stat(env); !os.IsNotExist(err) {
		t.Errorf("the secrets still lie there: %v", err)
	}
	if got := s.stats(made.ExternalPort); got.LockRefusals != 0 {
		t.Errorf("two databases at once: %+v", got)
	}
}

// environment is what the container that answers requests was given.
func (s *site) environment(org string) map[string]string {
	s.Helper()
	out := map[string]string{}
	for _, line := range s.inspect(org).Config.Env {
		name, value, _ := strings.Cut(line, "=")
		out[name] = value
	}
	return out
}
