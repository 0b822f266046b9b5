package docker

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// networkBody is the tenant's own network as it is asked for: a bridge with
// exactly the stack's subnet, IPv4 only.
func (e *Engine) networkBody(s berth.Stack) client.NetworkCreateOptions {
	no := false
	return client.NetworkCreateOptions{
		Driver:     "bridge",
		EnableIPv6: &no,
		IPAM:       &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: s.Subnet}}},
		Labels: e.sealed(map[string]string{
			berth.LabelTenantName:        s.Name,
			"com.docker.compose.project": s.Project,
			"com.docker.compose.network": "default",
		}, kindNetwork, s.Network, s, ""),
	}
}

// makeNetwork makes the tenant's network and returns its id. The caller has
// seen that there is none.
func (e *Engine) makeNetwork(ctx context.Context, s berth.Stack) (id string, err error) {
	at := step{"create network", s.OrganizationID}
	deadline := slices.MaxFunc([]time.Time{time.Now().Add(e.ReadTimeout), e.cutOff.last(s).Add(e.ChangeTimeout)}, time.Time.Compare)
	for {
		err = e.do(ctx, at, e.ChangeTimeout, func(ctx context.Context) error {
			got, err := e.api.NetworkCreate(ctx, s.Network, e.networkBody(s))
			id = got.ID
			if err != nil && !decided(err) {
				e.cutOff.add(s, e.ChangeTimeout)
			}
			return err
		})
		if err == nil || !subnetOverlaps(err) && !errdefs.IsConflict(err) {
			return id, err
		}
		id, known, lookErr := e.whoHas(ctx, at, s)
		if id != "" || lookErr != nil {
			return id, lookErr
		}
		// An Engine takes a subnet before it shows the network. If it shows
		// none, a call of ours may still be at work: one that is known to have
		// been cut off for as long as a change takes.
		if known || !time.Now().Before(deadline) {
			break
		}
		if err := pause(ctx); err != nil {
			return "", e.explain(ctx, ctx, e.ReadTimeout, err).WithOp(at.op, at.tenant)
		}
	}
	if !subnetOverlaps(err) {
		return "", err
	}
	return "", berth.Errorf(berth.CodeSubnetTaken, "Subnet %s overlaps another network: %w", s.Subnet, errdefsOnly{err}).
		WithHint("another subnet will do").WithOp(at.op, at.tenant)
}

// cutOffs remembers when calls of ours to make a network were cut off: the Engine did
// not say what became of them, and may still be at work.
type cutOffs struct {
	mu    sync.Mutex
	times map[asked]time.Time // the latest of each
}

// asked is what such a call asked for.
type asked struct {
	network string
	subnet  netip.Prefix
}

// add remembers that a call for the stack's network was cut off now, and forgets those
// that are as old as that.
func (c *cutOffs) add(s berth.Stack, old time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.times, func(_ asked, at time.Time) bool { return time.Since(at) >= old })
	c.times[asked{s.Network, s.Subnet}] = time.Now()
}

// last is when a call for the stack's network was last cut off; zero if none is known to.
func (c *cutOffs) last(s berth.Stack) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times[asked{s.Network, s.Subnet}]
}

// whoHas looks for the network that stands in the way of the stack's. id is
// set if it is the stack's own; known if it is someone else's.
func (e *Engine) whoHas(ctx context.Context, at step, s berth.Stack) (id string, known bool, err error) {
	var all client.NetworkListResult
	err = e.do(ctx, at, e.ReadTimeout, func(ctx context.Context) (err error) {
		all, err = e.api.NetworkList(ctx, client.NetworkListOptions{})
		return err
	})
	if err != nil {
		return "", false, err
	}
	for _, n := range all.Items {
		reason := e.disproof(kindNetwork, n.Name, n.Labels)
		switch {
		case n.Name == s.Network && reason != "":
			f := berth.Foreign{Kind: kindNetwork, ID: n.ID, Name: n.Name, Reason: reason}
			return "", true, foreignError(f).WithOp(at.op, at.tenant)
		case n.Name == s.Network && subnetOf(n.Network) == s.Subnet:
			return n.ID, false, nil
		case subnetOf(n.Network).Overlaps(s.Subnet):
			known = true
		}
	}
	return "", known, nil
}

// pause waits a moment for the Engine to finish what it does not show yet.
func pause(ctx context.Context) error {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subnetOverlaps reports whether the Engine refused a network because of its
// addresses. It answers 403 for that and for other things, so the text
// decides: the first two are the Engine's own ("Pool overlaps with other one on
// this address space"; since Engine 28 "invalid pool request: …"), the last is
// the bridge driver's, for a network whose record is gone.
func subnetOverlaps(err error) bool {
	text := err.Error()
	return strings.Contains(text, "Pool overlaps with other one") ||
		strings.Contains(text, "invalid pool request") ||
		strings.Contains(text, "conflicts with network") ||
		strings.Contains(text, "networks have overlapping IPv4")
}

// attach connects a running container to the tenant's network.
func (e *Engine) attach(ctx context.Context, s berth.Stack, networkID, containerID string, spec instance) error {
	return e.do(ctx, step{"connect container " + spec.Name, s.OrganizationID}, e.ChangeTimeout, func(ctx context.Context) error {
		_, err := e.api.NetworkConnect(ctx, networkID, client.NetworkConnectOptions{Container: containerID, EndpointConfig: endpoint(spec)})
		return err
	})
}

// removeNetwork removes a network of ours.
func (e *Engine) removeNetwork(ctx context.Context, tenant string, n network.Summary) error {
	s := step{"remove network " + n.Name, tenant}
	err := e.do(ctx, s, e.ChangeTimeout, func(ctx context.Context) error {
		_, err := e.api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		return err
	})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if !errdefs.IsPermissionDenied(err) {
		return err
	}
	// 403: something is still connected. Say what.
	var names []string
	inspectErr := e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.NetworkInspect(ctx, n.ID, client.NetworkInspectOptions{})
		for _, c := range got.Network.Containers {
			names = append(names, c.Name)
		}
		return err
	})
	if inspectErr != nil {
		return err
	}
	if len(names) == 0 {
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine counts something in network %s, and shows nothing there: %w", n.Name, errdefsOnly{err}).
			WithHint("if this lasts, the Engine has miscounted: restart it (with its live-restore the containers go on meanwhile), and Berth removes the network by itself").WithOp(s.op, s.tenant)
	}
	return berth.Errorf(berth.CodeForeignObject, "Network %s is still used by %s: %w", n.Name, strings.Join(names, ", "), errdefsOnly{err}).
		WithHint("stop there what compose runs of the tenant; disconnect anything else: docker network disconnect -f %s %s", n.Name, names[0]).WithOp(s.op, s.tenant)
}

// subnetOf returns the IPv4 subnet of a network, the zero value if it has none.
func subnetOf(n network.Network) netip.Prefix {
	for _, c := range n.IPAM.Config {
		if c.Subnet.IsValid() && c.Subnet.Addr().Is4() {
			return c.Subnet
		}
	}
	return netip.Prefix{}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
