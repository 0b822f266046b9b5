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
	*testbed.Site
	proxy   *proxy
	process *testbed.Process
	client  *client.Client
	orgs    []string // that may have something left in the Engine
}

func newSite(t *testing.T) *site {
	t.Helper()
	ports, err := testbed.FreePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t)
	s := &site{Site: testbed.NewSite(t), proxy: p, process: &testbed.Process{
		Binary: rig.Binary, StateDir: t.TempDir(), Ports: ports, Pool: testbed.NewPool(t).String(),
		Env: []string{"DOCKER_HOST=unix://" + p.path},
	}}
	t.Cleanup(func() {
		if err := s.process.Stop(); err != nil && !strings.Contains(err.Error(), "killed") {
			t.Error(err)
		}
		s.cleanUp()
	})
	s.start()
	return s
}

func (s *site) start() {
	s.Helper()
	s.proxy.reset()
	s.client = s.ServeAgain(s.process)
}

// kill ends the process as it is.
func (s *site) kill() {
	if err := s.process.Kill(); err != nil {
		s.Error(err)
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

// converged looks until the state is the one wanted, or, if none is, until
// nothing is under way.
func (s *site) converged(org string, want *state) state {
	s.Helper()
	deadline := time.Now().Add(within)
	for pause := range testbed.Pauses() {
		got, busy := s.told(org)
		late := time.Now().After(deadline)
		// Nine sites ask at the same time, so the Engine is asked last.
		if late || want == nil && !busy || want != nil && got.Tenant == want.Tenant && slices.Equal(got.Deployments, want.Deployments) {
			s.lookAtEngine(org, &got)
			if late || want == nil || fmt.Sprint(got) == fmt.Sprint(*want) {
				return got
			}
		}
		<-time.After(pause)
	}
	panic("unreachable")
}

// told is what the control plane tells of a tenant.
func (s *site) told(org string) (st state, busy bool) {
	s.Helper()
	tenant, err := s.client.Tenant(s.Ctx, org)
	var gone *client.Error
	switch {
	case errors.As(err, &gone) && gone.Status == 404:
		st.Tenant = "gone"
	case err != nil:
		s.Fatal(err)
	default:
		st.Tenant = fmt.Sprintf("%s %s generation %d, %d replicas, %v cores, %s", tenant.Status, tenant.HealthStatus,
			tenant.Generation, tenant.Replicas, tenant.CPULimit, version(tenant.ImageTag))
	}
	history, err := s.client.Deployments(s.Ctx, org, "", 100)
	if err != nil {
		s.Fatal(err)
	}
	for _, d := range history.Deployments {
		busy = busy || !d.Over()
		st.Deployments = append(st.Deployments, d.DeploymentType+" "+d.Status+" "+version(d.NewImageTag))
	}
	return st, busy
}

func version(image string) string { return image[strings.LastIndexByte(image, ':')+1:] }

func (s *site) lookAtEngine(org string, st *state) {
	s.Helper()
	ctx := s.Ctx
	mine := testbed.OfTenant(org)
	containers, err := s.Engine.ContainerList(ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
	if err != nil {
		s.Fatal(err)
	}
	for _, c := range containers.Items {
		name := strings.ReplaceAll(strings.TrimPrefix(c.Names[0], "/"), org, "ORG")
		seen, err := s.Engine.ContainerInspect(ctx, c.ID, dockerclient.ContainerInspectOptions{})
		if err != nil { // it went meanwhile
			continue
		}
		st.Containers = append(st.Containers, fmt.Sprintf("%s %s %s %d", name, c.State, seen.Container.Image, seen.Container.HostConfig.NanoCPUs))
	}
	networks, err := s.Engine.NetworkList(ctx, dockerclient.NetworkListOptions{Filters: mine})
	if err != nil {
		s.Fatal(err)
	}
	st.Networks = len(networks.Items)
	volumes, err := s.Engine.VolumeList(ctx, dockerclient.VolumeListOptions{Filters: mine})
	if err != nil {
		s.Fatal(err)
	}
	for _, v := range volumes.Items {
		st.Volumes = append(st.Volumes, strings.ReplaceAll(v.Name, org, "ORG"))
	}
	slices.Sort(st.Containers)
	slices.Sort(st.Volumes)
}

// clear takes a tenant away and checks that nothing is left.
func (s *site) clear(org string) {
	s.Helper()
	_, err := s.client.Deprovision(s.Ctx, org, "delete", testbed.Patient())
	var gone *client.Error
	if err != nil && (!errors.As(err, &gone) || gone.Status != 404) {
		s.Fatal(err)
	}
	st := state{}
	s.lookAtEngine(org, &st)
	if len(st.Containers)+len(st.Volumes)+st.Networks > 0 {
		s.Fatalf("left after deprovisioning: %+v", st)
	}
	s.orgs = slices.DeleteFunc(s.orgs, func(o string) bool { return o == org })
}

// cleanUp removes what a failed test left in the Engine, tenant by tenant.
func (s *site) cleanUp() {
	ctx := context.Background()
	for _, org := range s.orgs {
		mine := testbed.OfTenant(org)
		left, err := s.Engine.ContainerList(ctx, dockerclient.ContainerListOptions{All: true, Filters: mine})
		if err != nil {
			s.Error(err)
			return
		}
		for _, c := range left.Items {
			_, err := s.Engine.ContainerRemove(ctx, c.ID, dockerclient.ContainerRemoveOptions{Force: true})
			s.report(err)
		}
		_, err = s.Engine.NetworkRemove(ctx, berth.NetworkName(org), dockerclient.NetworkRemoveOptions{})
		s.report(err)
		for _, v := range []string{"uploads", "logs", "cache"} {
			_, err := s.Engine.VolumeRemove(ctx, berth.VolumeName(org, v), dockerclient.VolumeRemoveOptions{Force: true})
			s.report(err)
		}
	}
}

func (s *site) report(err error) {
	if err != nil && !errdefs.IsNotFound(err) {
		s.Error(err)
	}
}
