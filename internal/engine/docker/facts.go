package docker

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// facts are what does not change while an Engine runs.
type facts struct {
	info    berth.EngineInfo
	machine string // the architecture, as the Engine calls it
	hasInit bool   // it has a program to reap orphans with

	groupless bool // it has no cgroups: it limits nothing, and changes no limit of what runs
}

// Info returns what identifies the Engine. It is asked once, and again after
// it did not answer a call.
func (e *Engine) Info(ctx context.Context) (berth.EngineInfo, error) {
	f, err := e.facts(ctx)
	if err != nil {
		return berth.EngineInfo{}, err
	}
	return f.info, nil
}

func (e *Engine) facts(ctx context.Context) (*facts, error) {
	if f := e.known.Load(); f != nil {
		return f, nil
	}
	s := step{op: "ask the engine what it is"}
	f := &facts{}
	var asked system.Info
	err := e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.Info(ctx, client.InfoOptions{})
		if err != nil {
			return err
		}
		i := got.Info
		f.info = berth.EngineInfo{ID: i.ID, Name: "docker", Version: i.ServerVersion, Cores: i.NCPU}
		f.machine, f.groupless = i.Architecture, i.CgroupDriver == noGroups
		// "N/A" is what the Engine says when the program is not there.
		f.hasInit = i.InitBinary != "" && i.InitCommit.ID != "N/A"
		asked = i
		return nil
	})
	if err != nil {
		return nil, err
	}
	f.info.Findings = findings(asked, e.api.ClientVersion())
	if err := e.findUnnamed(ctx, s, f); err != nil {
		return nil, err
	}
	if !isRootless(asked) {
		// The bridges of a rootless Engine are in a network namespace of
		// its own, and may have the addresses of a bridge of this host.
		if f.info.Routed, err = e.routed(ctx, s); err != nil {
			return nil, err
		}
	}
	e.known.Store(f)
	return f, nil
}

// routed reports whether one of the Engine's bridges is an interface of this
// host. An Engine in a virtual machine or another network namespace has none.
//
// BUG: where Berth itself runs in a container that was given the Engine's
// socket, no bridge is an interface of "this host", and what is published on
// the loopback address is not reachable either.
func (e *Engine) routed(ctx context.Context, s step) (bool, error) {
	var bridges []network.Network
	err := e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.NetworkInspect(ctx, network.NetworkBridge, client.NetworkInspectOptions{})
		if err == nil {
			bridges = append(bridges, got.Network.Network)
			return nil
		}
		if !errdefs.IsNotFound(err) {
			return err
		}
		// The default bridge can be switched off.
		all, err := e.api.NetworkList(ctx, client.NetworkListOptions{Filters: client.Filters{}.Add("driver", "bridge")})
		for _, n := range all.Items {
			bridges = append(bridges, n.Network)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	addrs, err := e.InterfaceAddrs()
	if err != nil {
		return false, berth.Errorf(berth.CodeEngineUnavailable, "This host's addresses can't be read: %w", err).WithOp(s.op, s.tenant)
	}
	return slices.ContainsFunc(bridges, func(n network.Network) bool { return isLocal(n, addrs) }), nil
}

// isLocal reports whether the gateway of n is one of addrs. An Engine leaves
// the gateway of its default bridge out while no container uses it: then it is
// whichever address this host has in the subnet.
func isLocal(n network.Network, addrs []net.Addr) bool {
	for _, c := range n.IPAM.Config {
		for _, a := range addrs {
			ipNet, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			addr, ok := netip.AddrFromSlice(ipNet.IP)
			if !ok {
				continue
			}
			addr = addr.Unmap()
			if addr == c.Gateway || !c.Gateway.IsValid() && c.Subnet.IsValid() && c.Subnet.Contains(addr) {
				return true
			}
		}
	}
	return false
}
