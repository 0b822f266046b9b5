// Package e2e_test drives the real control plane on a real Engine from
// outside: by its API, by tenants' ports, and by what people do to containers
// with their own hands.
package e2e_test

import (
	"os"
	"strings"
	"testing"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "e2e", &rig)) }

// site is a control plane of one test.
type site struct {
	*testbed.Site
	process *testbed.Process
	api     *client.Client
}

func newSite(t *testing.T, ports int, args ...string) *site {
	t.Helper()
	pool := testbed.NewPool(t)
	free, err := testbed.FreePorts(ports)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Site: testbed.NewSite(t), process: &testbed.Process{
		Binary: rig.Binary, StateDir: t.TempDir(), Ports: free, Pool: pool.String(), Args: args,
	}}
	s.api = s.Serve(s.process)
	return s
}

func (s *site) start() {
	s.Helper()
	s.api = s.ServeAgain(s.process)
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
	made, err := s.api.Provision(s.Ctx, p, testbed.Patient())
	s.Must(err)
	s.Cleanup(func() { s.remove(p.OrganizationID) })
	return made
}

func (s *site) remove(org string) {
	if !s.process.Running() {
		s.start()
	}
	_, err := s.api.Deprovision(s.Ctx, org, "delete", testbed.Patient())
	if err != nil && !strings.Contains(err.Error(), "not found") {
		s.Error(err)
	}
	if left := s.Containers(org); len(left) > 0 {
		s.Errorf("containers left: %+v", left)
	}
	volumes, err := s.Engine.VolumeList(s.Ctx, dockerclient.VolumeListOptions{Filters: testbed.OfTenant(org)})
	if err == nil && len(volumes.Items) > 0 && !s.Failed() {
		// A tenant that was deprovisioned with its volumes kept.
		for _, v := range volumes.Items {
			_, err := s.Engine.VolumeRemove(s.Ctx, v.Name, dockerclient.VolumeRemoveOptions{})
			s.Must(err)
		}
	}
}
