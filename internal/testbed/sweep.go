package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// What is on the Engine in a pool's addresses need not be a test's: the Engine may be
// shared with people, with a real Berth, and with tests on other machines. So only
// what a claim's file names is removed (Pool.Owns).

// sweep removes the networks that tests left in the pool, with all that their tenants
// have. It is an error if another network has addresses of it.
func (p *Pool) sweep(ctx context.Context) error {
	names, err := owned(p.lock.Name())
	if err != nil {
		return err
	}
	return eachNetwork(ctx, func(engine *client.Client, n network.Network) error {
		switch {
		case !p.touches(n):
			return nil
		case !p.left(n, names):
			return fmt.Errorf("network %s (%s) is not provably a test's, so what has addresses of it is left alone", n.Name, subnets(n))
		}
		return sweepNetwork(ctx, engine, n)
	})
}

// sweepPools does so in all pools that nobody has; other networks are left alone.
func sweepPools(ctx context.Context) error {
	return eachNetwork(ctx, func(engine *client.Client, n network.Network) error {
		for number := range pools {
			p := poolAt(number)
			if !p.touches(n) {
				continue
			}
			p, err := claimPool(poolClaims, number, number+1)
			if errors.Is(err, errClaimed) {
				return nil
			} else if err != nil {
				return err
			}
			names, err := owned(p.lock.Name())
			if err == nil && p.left(n, names) {
				err = sweepNetwork(ctx, engine, n)
			}
			return errors.Join(err, p.Release())
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

// touches reports whether a network has addresses of the pool.
func (p *Pool) touches(n network.Network) bool {
	return slices.ContainsFunc(subnets(n), p.Overlaps)
}

// left reports whether a network is provably what a test left in the pool: all its
// addresses are the pool's, and the claim's file has its name or its installation's.
func (p *Pool) left(n network.Network, names []string) bool {
	for _, subnet := range subnets(n) {
		if subnet.Bits() < p.Bits() || !p.Contains(subnet.Addr()) {
			return false
		}
	}
	return slices.Contains(names, n.Name) || slices.Contains(names, n.Labels[berth.LabelInstallation])
}

func subnets(n network.Network) (all []netip.Prefix) {
	for _, c := range n.IPAM.Config {
		all = append(all, c.Subnet)
	}
	return all
}

// sweepNetwork removes a network that left reported, with the containers and volumes
// of its tenant, or with those that begin with its name. Another container in it is
// left alone, and then the Engine keeps the network too.
func sweepNetwork(ctx context.Context, engine *client.Client, n network.Network) error {
	installation, org := n.Labels[berth.LabelInstallation], n.Labels[berth.LabelTenantID]
	its := func(name string, labels map[string]string) bool {
		if installation == "" {
			return strings.HasPrefix(name, n.Name+"-")
		}
		return org != "" && labels[berth.LabelTenantID] == org && labels[berth.LabelInstallation] == installation
	}
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return err
	}
	for _, c := range containers.Items {
		if !slices.ContainsFunc(c.Names, func(name string) bool { return its(strings.TrimPrefix(name, "/"), c.Labels) }) {
			continue
		}
		_, err := engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	volumes, err := engine.VolumeList(ctx, client.VolumeListOptions{})
	if err != nil {
		return err
	}
	for _, v := range volumes.Items {
		if !its(v.Name, v.Labels) {
			continue
		}
		if _, err := engine.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	if _, err := engine.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}
