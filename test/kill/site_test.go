package kill_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// site is one control plane behind a proxy of its own.
type site struct {
	t       *testing.T
	ctx     context.Context
	proxy   *proxy
	process *testbed.Process
	client  *client.Client
	engine  *dockerclient.Client
	orgs    []string // that may have something left in the Engine
}

func newSite(t *testing.T, number int) *site {
	t.Helper()
	ports, err := testbed.FreePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := testbed.Engine()
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t)
	s := &site{t: t, ctx: t.Context(), proxy: p, engine: engine, process: &testbed.Process{
		Binary: rig.Binary, StateDir: t.TempDir(), Ports: ports, Pool: fmt.Sprintf("10.72.%d.0/20", number*16),
		Env: []string{"DOCKER_HOST=unix://" + p.path},
	}}
	t.Cleanup(func() {
		if err := s.process.Stop(); err != nil && !strings.Contains(err.Error(), "killed") {
			t.Error(err)
		}
		s.sweep()
		_ = engine.Close()
	})
	s.start()
	return s
}

func (s *site) start() {
	s.t.Helper()
	s.proxy.reset()
	if err := s.process.Start(context.WithoutCancel(s.ctx)); err != nil {
		s.t.Fatal(err)
	}
	c, err := client.New(s.process.URL, s.process.Token)
	if err != nil {
		s.t.Fatal(err)
	}
	s.client = c
}

// kill ends the process as it is.
func (s *site) kill() {
	if err := s.process.Kill(); err != nil {
		s.t.Error(err)
	}
}

// state is all that counts in the end, without what differs between tenants.
type state struct {
	Tenant      string
	Deployments []string
	Containers  []string
	Networks    int
	Volumes     []string
}

// settled looks until the state is the one wanted, or, if none is, until
// nothing is under way.
func (s *site) settled(org string, want *state) state {
	s.t.Helper()
	for deadline := time.Now().Add(within); ; {
		got, busy := s.look(org)
		if want == nil && !busy || want != nil && fmt.Sprint(got) == fmt.Sprint(*want) || time.Now().After(deadline) {
			return got
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (s *site) look(org string) (st state, busy bool) {
	s.t.Helper()
	tenant, err := s.client.Tenant(s.ctx, org)
	var gone *client.Error
	switch {
	case errors.As(err, &gone) && gone.Status == 404:
		st.Tenant = "gone"
	case err != nil:
		s.t.Fatal(err)
	default:
		st.Tenant = fmt.Sprintf("%s %s generation %d, %d replicas, %v cores, %s", tenant.Status, tenant.HealthStatus,
			tenant.Generation, tenant.Replicas, tenant.CPULimit, version(tenant.ImageTag))
	}
	history, err := s.client.Deployments(s.ctx, org, "", 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range history.Deployments {
		busy = busy || !d.Over()
		st.Deployments = append(st.Deployments, d.DeploymentType+" "+d.Status+" "+version(d.NewImageTag))
	}
	s.lookAtEngine(org, &st)
	return st, busy
}

func version(image string) string { return image[strings.LastIndexByte(image, ':')+1:] }

func (s *site) lookAtEngine(org string, st *state) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.ctx)
	mine := make(dockerclient.Filters).Add("label", berth.LabelTenantID+"="+org)
	containers, err := s.engine.ContainerList(ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range containers.Items {
		name := strings.ReplaceAll(strings.TrimPrefix(c.Names[0], "/"), org, "ORG")
		seen, err := s.engine.ContainerInspect(ctx, c.ID, dockerclient.ContainerInspectOptions{})
		if err != nil { // it went meanwhile
			continue
		}
		st.Containers = append(st.Containers, fmt.Sprintf("%s %s %s %d", name, c.State, seen.Container.Image, seen.Container.HostConfig.NanoCPUs))
	}
	networks, err := s.engine.NetworkList(ctx, dockerclient.NetworkListOptions{Filters: mine})
	if err != nil {
		s.t.Fatal(err)
	}
	st.Networks = len(networks.Items)
	volumes, err := s.engine.VolumeList(ctx, dockerclient.VolumeListOptions{Filters: mine})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range volumes.Items {
		st.Volumes = append(st.Volumes, strings.ReplaceAll(v.Name, org, "ORG"))
	}
	slices.Sort(st.Containers)
	slices.Sort(st.Volumes)
}

// clear takes a tenant away and checks that nothing is left.
func (s *site) clear(org string) {
	s.t.Helper()
	_, err := s.client.Deprovision(s.ctx, org, "delete", client.Call{Wait: within})
	var gone *client.Error
	if err != nil && (!errors.As(err, &gone) || gone.Status != 404) {
		s.t.Fatal(err)
	}
	st := state{}
	s.lookAtEngine(org, &st)
	if len(st.Containers)+len(st.Volumes)+st.Networks > 0 {
		s.t.Fatalf("left after deprovisioning: %+v", st)
	}
	s.orgs = slices.DeleteFunc(s.orgs, func(o string) bool { return o == org })
}

// sweep removes what a failed test left in the Engine, tenant by tenant.
func (s *site) sweep() {
	ctx := context.Background()
	for _, org := range s.orgs {
		mine := make(dockerclient.Filters).Add("label", berth.LabelTenantID+"="+org)
		left, err := s.engine.ContainerList(ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
		if err != nil {
			s.t.Error(err)
			return
		}
		for _, c := range left.Items {
			_, err := s.engine.ContainerRemove(ctx, c.ID, dockerclient.ContainerRemoveOptions{Force: true})
			s.report(err)
		}
		_, err = s.engine.NetworkRemove(ctx, berth.NetworkName(org), dockerclient.NetworkRemoveOptions{})
		s.report(err)
		for _, v := range []string{"uploads", "logs", "cache"} {
			_, err := s.engine.VolumeRemove(ctx, berth.VolumeName(org, v), dockerclient.VolumeRemoveOptions{Force: true})
			s.report(err)
		}
	}
}

func (s *site) report(err error) {
	if err != nil && !errdefs.IsNotFound(err) {
		s.t.Error(err)
	}
}
