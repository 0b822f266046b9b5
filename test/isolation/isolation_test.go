// Package isolation_test looks from inside a tenant's own network at what it can
// reach: nothing of another tenant's, not the API, and of the host its own
// route only. The probes go to addresses that the test itself made.
package isolation_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

var rig testbed.Rig

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, "walls", &rig)) }

// tenant is one tenant of the test, seen from inside and outside.
type tenant struct {
	client.Provisioned
	pid     int        // of its container's process, on the host
	address netip.Addr // of its container
	gateway netip.Addr // the host, as its container sees it
}

func TestATenantReachesItsOwnRouteAndNothingElse(t *testing.T) {
	ctx, s := t.Context(), testbed.NewSite(t)
	p, api := serve(s)
	one, two := provision(s, api, "One"), provision(s, api, "Two")
	apiPort := p.URL[strings.LastIndexByte(p.URL, ':')+1:]
	for _, c := range []struct {
		what   string
		from   tenant
		url    string
		reachs bool
	}{
		{"its own container", one, fmt.Sprintf("http://%s:3000/api/health", one.address), true},
		{"its own route on the host", one, fmt.Sprintf("http://%s:%d/api/health", one.gateway, one.ExternalPort), true},
		{"another tenant's container", one, fmt.Sprintf("http://%s:3000/api/health", two.address), false},
		{"another tenant's route on the host", one, fmt.Sprintf("http://%s:%d/api/health", one.gateway, two.ExternalPort), false},
		{"another tenant's route by that one's gateway", one, fmt.Sprintf("http://%s:%d/api/health", two.gateway, two.ExternalPort), false},
		{"the API", one, fmt.Sprintf("http://%s:%s/api/health", one.gateway, apiPort), false},
		{"its own route, from the other", two, fmt.Sprintf("http://%s:%d/api/health", two.gateway, two.ExternalPort), true},
		{"the first one's route, from the other", two, fmt.Sprintf("http://%s:%d/api/health", two.gateway, one.ExternalPort), false},
	} {
		if got := reaches(ctx, t, c.from, c.url); got != c.reachs {
			t.Errorf("%s (%s): reached %v, want %v", c.what, c.url, got, c.reachs)
		}
	}
	// From the host, which is the outside here, both answer.
	for _, tn := range []tenant{one, two} {
		if out, err := exec.CommandContext(ctx, "curl", "-fsS", "--max-time", "10", fmt.Sprintf("http://127.0.0.1:%d/api/health", tn.ExternalPort)).CombinedOutput(); err != nil {
			t.Errorf("from the host: %v\n%s", err, out)
		}
	}
}

// serve starts a control plane whose API listens on all addresses: the wall,
// not the address, must keep tenants out.
func serve(s *testbed.Site) (*testbed.Process, *client.Client) {
	s.Helper()
	ports, err := testbed.FreePorts(20)
	s.Must(err)
	p := &testbed.Process{Binary: rig.Binary, StateDir: s.TempDir(), Ports: ports, Pool: testbed.NewPool(s.T).String(), Args: []string{"--listen", "0.0.0.0:0"}}
	return p, s.Serve(p)
}

func provision(s *testbed.Site, api *client.Client, name string) tenant {
	s.Helper()
	org := berth.NewID()
	s.Cleanup(func() {
		_, err := api.Deprovision(s.Ctx, org, "delete", testbed.Patient())
		s.Must(err)
	})
	made, err := api.Provision(s.Ctx, client.Provision{OrganizationID: org, TenantName: name, ImageTag: rig.ImageOne, Start: true}, testbed.Patient())
	s.Must(err)
	seen, err := s.Engine.ContainerInspect(s.Ctx, made.ContainerName, dockerclient.ContainerInspectOptions{})
	s.Must(err)
	end := seen.Container.NetworkSettings.Networks[berth.NetworkName(org)]
	return tenant{Provisioned: made, pid: seen.Container.State.Pid, address: end.IPAddress, gateway: end.Gateway}
}

// reaches asks from inside a tenant's own network namespace.
func reaches(ctx context.Context, t *testing.T, from tenant, url string) bool {
	t.Helper()
	cmd := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(from.pid), "-n",
		"curl", "-fsS", "--noproxy", "*", "--connect-timeout", "3", "--max-time", "5", url)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("nsenter: %v\n%s", err, out)
	}
	return err == nil && strings.Contains(string(out), `"status":"ok"`)
}
