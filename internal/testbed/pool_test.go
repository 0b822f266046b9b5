package testbed

import (
	"fmt"
	"net/netip"
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
	one, err := claimPool(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	two, err := claimPool(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if one.Overlaps(two.Prefix) {
		t.Errorf("%s and %s overlap", one.Prefix, two.Prefix)
	}
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	three, err := claimPool(dir, 0)
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
		labels := map[string]string{berth.LabelTenantID: org}
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
