package testbed

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

func TestAPoolIsClaimedByOneAtATime(t *testing.T) {
	dir := t.TempDir()
	one, err := claimPool(dir, 0, pools)
	if err != nil {
		t.Fatal(err)
	}
	two, err := claimPool(dir, 0, pools)
	if err != nil {
		t.Fatal(err)
	}
	if one.Overlaps(two.Prefix) {
		t.Errorf("%s and %s overlap", one.Prefix, two.Prefix)
	}
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	three, err := claimPool(dir, 0, pools)
	if err != nil {
		t.Fatal(err)
	}
	if three.Prefix != one.Prefix {
		t.Errorf("%s was released, and %s was claimed", one.Prefix, three.Prefix)
	}
	for _, p := range []*Pool{two, three} {
		if err := p.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// A test that is killed leaves its tenants in the Engine.
func TestWhatAKilledProcessLeftInAPoolIsSweptAndNothingElse(t *testing.T) {
	for by, sweep := range map[string]func(s *Site, left *Pool) error{
		"who claims the pool": func(s *Site, left *Pool) error { return left.sweep(s.Ctx) },
		// Who claims it first may be another process, which sweeps it too.
		"who begins to test": func(s *Site, left *Pool) error {
			if err := left.Release(); err != nil {
				return err
			}
			return sweepPools(s.Ctx)
		},
	} {
		t.Run(by, func(t *testing.T) { sweeps(t, sweep) })
	}
}

// The Engine may be shared with people, with a real Berth, and with tests that have
// another /tmp.
func TestWhatIsNotProvablyATestsIsLeftAloneAndItsPoolPassedOver(t *testing.T) {
	installation := berth.NewID()
	for whose, labels := range map[string]map[string]string{
		"a person's":                            nil,
		"another Berth's":                       {berth.LabelTenantID: berth.NewID(), berth.LabelInstallation: berth.NewID()},
		"a tenant's that names no installation": {berth.LabelTenantID: berth.NewID()},
	} {
		t.Run(whose, func(t *testing.T) {
			s := NewSite(t)
			image := "berth-test-sweep:" + berth.NewID()[:8]
			s.Must(LoadTenantImage(s.Ctx, image, "1"))
			t.Cleanup(func() { s.Must(RemoveImage(s.Ctx, image)) })
			pool, err := ClaimPool(s.Ctx)
			s.Must(err)
			t.Cleanup(func() { _ = pool.Release() }) // it has been, unless the test failed
			s.Must(pool.Owns(installation))
			name := "berth-test-foreign-" + berth.NewID()
			_, err = s.Engine.NetworkCreate(s.Ctx, name, client.NetworkCreateOptions{
				Labels: labels, IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.PrefixFrom(pool.Addr(), 28)}}},
			})
			s.Must(err)
			t.Cleanup(func() {
				_, err := s.Engine.NetworkRemove(s.Ctx, name, client.NetworkRemoveOptions{})
				s.Must(err)
			})
			_, err = s.Engine.ContainerCreate(s.Ctx, client.ContainerCreateOptions{
				Name: name + "-runs", Config: &container.Config{Image: image, Labels: labels},
				HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(name)},
			})
			s.Must(err)
			t.Cleanup(func() { s.Drop(name + "-runs") })
			_, err = s.Engine.ContainerStart(s.Ctx, name+"-runs", client.ContainerStartOptions{})
			s.Must(err)

			if err := pool.sweep(s.Ctx); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("who claims the pool is told %v, want the name of the network that has it", err)
			}
			s.Must(pool.Release())
			s.Must(sweepPools(s.Ctx))
			if other := NewPool(t); other.Overlaps(pool.Prefix) {
				t.Error("a pool in which another's network is was claimed")
			}
			seen, err := s.Engine.ContainerInspect(s.Ctx, name+"-runs", client.ContainerInspectOptions{})
			s.Must(err)
			if !seen.Container.State.Running {
				t.Error("the container was stopped")
			}
		})
	}
}

func TestOnlyANetworkWithinThePoolAndInTheClaimIsOurs(t *testing.T) {
	pool, err := claimPool(t.TempDir(), 5, pools)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Release() }()
	if err := errors.Join(pool.Owns("installation-1"), pool.Owns("network-1", "installation-1")); err != nil {
		t.Fatal(err)
	}
	names, err := owned(pool.lock.Name())
	if err != nil || !slices.Equal(names, []string{"installation-1", "network-1"}) {
		t.Errorf("the claim's file has %q (%v)", names, err)
	}
	for _, c := range []struct {
		name, installation, subnet string
		touches, left              bool
	}{
		{"any", "installation-1", "10.81.64.0/28", true, true},
		{"network-1", "", "10.81.64.0/18", true, true},
		{"any", "installation-2", "10.81.64.0/28", true, false},
		{"any", "", "10.81.64.0/28", true, false},
		{"network-1", "installation-1", "10.0.0.0/8", true, false}, // overlaps it only
		{"network-1", "installation-1", "10.81.128.0/28", false, false},
	} {
		n := network.Network{
			Name: c.name, Labels: map[string]string{berth.LabelInstallation: c.installation},
			IPAM: network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix(c.subnet)}}},
		}
		if pool.touches(n) != c.touches || pool.left(n, names) != c.left {
			t.Errorf("%+v: touches %v, left %v", c, pool.touches(n), pool.left(n, names))
		}
	}
}

func TestWhereNoPoolIsFreeTheNetworkIsNamedOnce(t *testing.T) {
	tried := 0
	_, err := claimSwept(t.TempDir(), func(*Pool) error {
		tried++
		return errors.New("network office (10.0.0.0/8) is not provably a test's")
	})
	if err == nil || strings.Count(err.Error(), "office") != 1 || tried != pools {
		t.Errorf("after %d of %d: %v", tried, pools, err)
	}
}

func TestAClaimKnowsTheNewestOfManyRuns(t *testing.T) {
	pool, err := claimPool(t.TempDir(), 0, pools)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Release() }()
	for i := range 3 * ownedAtMost {
		if err := pool.Owns(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := owned(pool.lock.Name())
	if err != nil || len(names) > ownedAtMost+1 || !slices.Contains(names, fmt.Sprint(3*ownedAtMost-1)) {
		t.Errorf("%d names (%v): %q", len(names), err, names)
	}
}

// Else nothing would prove that what it leaves is a test's.
func TestTheClaimKnowsTheInstallationOfAControlPlaneOnceItIsStarted(t *testing.T) {
	pool := NewPool(t)
	id, dir := berth.NewID(), t.TempDir()
	script := "#!/bin/sh\necho ready http://127.0.0.1:1\necho level=INFO msg=ready installation=" + id + " version=1 >&2\n"
	err := errors.Join(os.WriteFile(filepath.Join(dir, "serve"), []byte(script), 0o755), os.WriteFile(filepath.Join(dir, "operator-token"), []byte("t"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Binary: filepath.Join(dir, "serve"), StateDir: dir, Pool: pool.String()}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := owned(pool.lock.Name()); err != nil || !slices.Contains(names, id) {
		t.Errorf("the claim's file has %q (%v), not %s", names, err, id)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func sweeps(t *testing.T, sweep func(*Site, *Pool) error) {
	s := NewSite(t)
	image := "berth-test-sweep:" + berth.NewID()[:8]
	s.Must(LoadTenantImage(s.Ctx, image, "1"))
	t.Cleanup(func() { s.Must(RemoveImage(s.Ctx, image)) })
	kept := NewPool(t)
	swept, err := ClaimPool(s.Ctx)
	s.Must(err)
	t.Cleanup(func() { _ = swept.Release() }) // it may have been
	orgs := map[*Pool]string{swept: berth.NewID(), kept: berth.NewID()}
	for pool, org := range orgs {
		labels := map[string]string{berth.LabelTenantID: org, berth.LabelInstallation: "of-" + org}
		s.Must(pool.Owns("of-" + org))
		_, err := s.Engine.NetworkCreate(s.Ctx, berth.NetworkName(org), client.NetworkCreateOptions{
			Labels: labels, IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.PrefixFrom(pool.Addr(), 28)}}},
		})
		s.Must(err)
		if pool == kept { // the other is another process's by then
			t.Cleanup(func() { s.Must(pool.sweep(s.Ctx)) })
		}
		_, err = s.Engine.VolumeCreate(s.Ctx, client.VolumeCreateOptions{Name: berth.VolumeName(org, "data"), Labels: labels})
		s.Must(err)
		for _, name := range []string{"runs", "does-not"} {
			_, err := s.Engine.ContainerCreate(s.Ctx, client.ContainerCreateOptions{
				Name: name + "-" + org, Config: &container.Config{Image: image, Labels: labels},
				HostConfig: &container.HostConfig{
					NetworkMode: container.NetworkMode(berth.NetworkName(org)),
					Mounts:      []mount.Mount{{Type: mount.TypeVolume, Source: berth.VolumeName(org, "data"), Target: "/data"}},
				},
			})
			s.Must(err)
		}
		_, err = s.Engine.ContainerStart(s.Ctx, "runs-"+org, client.ContainerStartOptions{})
		s.Must(err)
	}
	s.Must(sweep(s, swept))
	wantInPools(s, orgs[swept], orgs[kept])
}

// wantInPools checks that everything of one tenant is gone, and of the other there.
func wantInPools(s *Site, swept, kept string) {
	s.Helper()
	for org, want := range map[string][3]int{swept: {0, 0, 0}, kept: {2, 1, 1}} {
		s.Eventually(time.Minute, fmt.Sprint("containers, volumes and networks are ", want), func() bool {
			volumes, err := s.Engine.VolumeList(s.Ctx, client.VolumeListOptions{Filters: OfTenant(org)})
			s.Must(err)
			networks, err := s.Engine.NetworkList(s.Ctx, client.NetworkListOptions{Filters: OfTenant(org)})
			s.Must(err)
			return want == [3]int{len(s.Containers(org)), len(volumes.Items), len(networks.Items)}
		})
	}
}
