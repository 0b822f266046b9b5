package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

const poolClaims = claims + "/berth-test-pools"

// pools is how many tests of this machine can have a pool at a time.
const pools = 64

// Pool is a prefix that tests of no other process on this machine have: several
// packages' tests run on one Engine, which gives no address twice.
type Pool struct {
	netip.Prefix

	number int
	lock   *os.File
}

// ClaimPool claims a /18 of 10.80.0.0/12, outside what Berth and the Engine take by
// default. It is free again when it is released, and when the process ends. What
// the Engine still has in it was left by a process that was killed: it goes.
func ClaimPool(ctx context.Context) (*Pool, error) {
	var errs []error
	for n := 0; n < pools; {
		p, err := claimPool(poolClaims, n)
		if err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		if err = p.sweep(ctx); err == nil {
			return p, nil
		}
		errs = append(errs, fmt.Errorf("sweep %s: %w", p, err), p.Release()) // there are others
		n = p.number + 1
	}
	return nil, errors.Join(errs...)
}

// claimPool claims the first free pool of that number or a higher one.
func claimPool(dir string, from int) (*Pool, error) {
	n, lock, err := claim(dir, from, pools)
	if err != nil {
		return nil, fmt.Errorf("pools of tests: %w", err)
	}
	p := poolAt(n)
	p.lock = lock
	return p, nil
}

func poolAt(n int) *Pool {
	addr := netip.AddrFrom4([4]byte{10, byte(80 + n>>2), byte(n&3) << 6})
	return &Pool{Prefix: netip.PrefixFrom(addr, 18), number: n}
}

// Release gives the pool to others.
func (p *Pool) Release() error { return p.lock.Close() }

// NewPool claims a pool that goes with the test.
func NewPool(t *testing.T) *Pool {
	t.Helper()
	p, err := ClaimPool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Release(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// sweep removes the networks of the pool with all that their tenants have.
func (p *Pool) sweep(ctx context.Context) error {
	return eachNetwork(ctx, func(engine *client.Client, n network.Network) error {
		if !p.holds(n) {
			return nil
		}
		return sweepNetwork(ctx, engine, n)
	})
}

// sweepPools does so in all pools that nobody has.
func sweepPools(ctx context.Context) error {
	return eachNetwork(ctx, func(engine *client.Client, n network.Network) error {
		for number := range pools {
			if p := poolAt(number); p.holds(n) {
				_, lock, err := claim(poolClaims, number, number+1)
				if errors.Is(err, errClaimed) {
					return nil
				} else if err != nil {
					return err
				}
				return errors.Join(sweepNetwork(ctx, engine, n), lock.Close())
			}
		}
		return nil
	})
}

func eachNetwork(ctx context.Context, do func(*client.Client, network.Network) error) error {
	engine, err := Engine()
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }()
	list, err := engine.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range list.Items {
		errs = append(errs, do(engine, n.Network))
	}
	return errors.Join(errs...)
}

func (p *Pool) holds(n network.Network) bool {
	for _, c := range n.IPAM.Config {
		if p.Overlaps(c.Subnet) {
			return true
		}
	}
	return false
}

func sweepNetwork(ctx context.Context, engine *client.Client, n network.Network) error {
	seen, err := engine.NetworkInspect(ctx, n.ID, client.NetworkInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	var ids []string
	for id := range seen.Network.Containers {
		ids = append(ids, id)
	}
	var volumes []string
	if org := n.Labels[berth.LabelTenantID]; org != "" {
		found, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: OfTenant(org)})
		if err != nil {
			return err
		}
		for _, c := range found.Items {
			ids = append(ids, c.ID)
		}
		kept, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: OfTenant(org)})
		if err != nil {
			return err
		}
		for _, v := range kept.Items {
			volumes = append(volumes, v.Name)
		}
	}
	for _, id := range ids { // one may be there twice
		_, err := engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	for _, v := range volumes {
		if _, err := engine.VolumeRemove(ctx, v, client.VolumeRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	if _, err := engine.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}
