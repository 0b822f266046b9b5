// Package planes_test runs several control planes on one PostgreSQL: the real
// binary, real Engines, a real database that is paused, killed and cut off.
package planes_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "planes", &rig)) }

// site is a database, and the control planes that have it.
type site struct {
	*testbed.Site
	postgres *testbed.Postgres
	url      string // of the database
	ports    string
	pool     string
	keys     string // the key file that all share
	planes   []*plane
	link     *testbed.Link         // to the database; nil if planes have it directly
	second   *testbed.SecondEngine // nil if there is one only
}

// plane is one control plane.
type plane struct {
	*site
	name    string
	process *testbed.Process
	api     *client.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	ports, err := testbed.FreePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Site: testbed.NewSite(t), ports: ports, pool: testbed.NewPool(t).String()}
	s.postgres, err = testbed.StartPostgres(s.Ctx)
	s.Must(err)
	t.Cleanup(func() { s.Must(s.postgres.Stop()) })
	s.Must(s.postgres.CreateDatabase(s.Ctx, "berth", ""))
	s.url = s.postgres.URL("berth")
	t.Cleanup(s.close) // after the tenants are gone
	return s
}

func (s *site) close() {
	for _, p := range s.planes {
		if s.Failed() {
			s.Logf("%s:\n%s", p.name, p.process.Log())
		}
		if p.process.Running() {
			_ = syscall.Kill(p.process.Pid(), syscall.SIGCONT)
			if err := p.process.Stop(); err != nil {
				s.Errorf("%s: %v\n%s", p.name, err, p.process.Log())
			}
		}
	}
	if s.link != nil {
		s.Must(s.link.Close())
	}
	if s.second != nil {
		s.Must(s.second.Stop())
	}
}

// plane starts a control plane. The keys of the first are those of all.
func (s *site) plane(name string, env ...string) *plane {
	s.Helper()
	dir := s.TempDir()
	if s.keys != "" {
		data, err := os.ReadFile(s.keys)
		s.Must(err)
		s.Must(os.WriteFile(filepath.Join(dir, "secret.key"), data, 0o600))
	}
	p := &plane{site: s, name: name, process: &testbed.Process{
		Binary: rig.Binary, StateDir: dir, Ports: s.ports, Pool: s.pool,
		Env: append([]string{"BERTH_DATABASE_URL=" + s.url}, env...),
	}}
	p.start()
	if s.keys == "" {
		s.keys = filepath.Join(dir, "secret.key")
	}
	s.planes = append(s.planes, p)
	return p
}

func (p *plane) start() {
	p.Helper()
	p.api = p.ServeAgain(p.process)
}

// leads reports whether this control plane runs its engine.
func (p *plane) leads() bool {
	ctx, cancel := context.WithTimeout(p.Ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.process.URL+"/api/health", nil)
	p.Must(err)
	req.Header.Set("Authorization", "Bearer "+p.process.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	var h struct{ Leading bool }
	return json.NewDecoder(resp.Body).Decode(&h) == nil && h.Leading
}

// provision makes a running tenant, which is taken away through last, when the
// test is over.
func (p *plane) provision(last **plane) client.Provisioned {
	p.Helper()
	org := berth.NewID()
	made, err := p.api.Provision(p.Ctx, client.Provision{OrganizationID: org, TenantName: "Plane " + org[:8], ImageTag: rig.ImageOne, Start: true}, testbed.Patient())
	p.Must(err)
	p.Cleanup(func() {
		if _, err := (*last).api.Deprovision(p.Ctx, org, "delete", testbed.Patient()); err != nil {
			p.Error(err)
		}
	})
	return made
}

func ask(ctx context.Context, port int) (status int, body string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return testbed.Ask(ctx, http.MethodGet, testbed.At(port, "/api/health"), "")
}

func (s *site) serves(port int) bool {
	status, _ := ask(s.Ctx, port)
	return status == http.StatusOK
}

// containers are the ids of a tenant's containers on the engine that DOCKER_HOST
// names.
func (s *site) containers(org string) (ids []string) {
	s.Helper()
	for _, c := range s.Containers(org) {
		ids = append(ids, c.ID)
	}
	return ids
}

// orgOf is the organization of what was provisioned.
func orgOf(p client.Provisioned) string { return p.OrganizationID }

// code is the problem's code of an error of the client's; "" if it is none.
func code(err error) string {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// address is where the database server listens.
func (s *site) address() string { return "127.0.0.1:" + s.postgres.Port }
