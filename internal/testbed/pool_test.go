package testbed

import (
	"net/netip"
	"testing"

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
	s := NewSite(t)
	image := "berth-test-sweep:" + berth.NewID()[:8]
	s.Must(LoadTenantImage(s.Ctx, image, "1"))
	t.Cleanup(func() { s.Must(RemoveImage(s.Ctx, image)) })
	swept, kept := NewPool(t), NewPool(t)
	orgs := map[*Pool]string{swept: berth.NewID(), kept: berth.NewID()}
	for pool, org := range orgs {
		labels := map[string]string{berth.LabelTenantID: org}
		_, err := s.Engine.NetworkCreate(s.Ctx, berth.NetworkName(org), client.NetworkCreateOptions{
			Labels: labels, IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.PrefixFrom(pool.Addr(), 28)}}},
		})
		s.Must(err)
		t.Cleanup(func() { s.Must(pool.sweep(s.Ctx)) })
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
	s.Must(swept.sweep(s.Ctx))
	for pool, want := range map[*Pool][3]int{swept: {0, 0, 0}, kept: {2, 1, 1}} {
		volumes, err := s.Engine.VolumeList(s.Ctx, client.VolumeListOptions{Filters: OfTenant(orgs[pool])})
		s.Must(err)
		networks, err := s.Engine.NetworkList(s.Ctx, client.NetworkListOptions{Filters: OfTenant(orgs[pool])})
		s.Must(err)
		if got := [3]int{len(s.Containers(orgs[pool])), len(volumes.Items), len(networks.Items)}; got != want {
			t.Errorf("containers, volumes and networks of %s: %v, want %v", pool, got, want)
		}
	}
}
