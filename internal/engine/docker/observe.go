package docker

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
)

// holding is what the Engine has of one tenant, or of all.
type holding struct {
	containers []container.Summary // ours, sorted by name
	networks   []network.Summary   // ours, sorted by id
	volumes    []volume.Volume     // ours, sorted by name
	foreign    []berth.Foreign     // sorted by kind and name
	composed   []container.Summary // those of the foreign ones that Compose made of a rendered file

	// What delivers secrets as files, ours too. Nobody else needs to know of it.
	bearers []container.Summary
	secrets []volume.Volume
}

// view says how objects are looked for.
type view int

const (
	byName  view = iota // what has the tenant's names: cheap, and all that can stand in the way
	byLabel             // and what carries its label
)

// Observe looks at one tenant, limits in force included.
func (e *Engine) Observe(ctx context.Context, organizationID string) (berth.Observed, error) {
	h, err := e.look(ctx, organizationID, byLabel)
	if err != nil {
		return berth.Observed{}, err
	}
	f, err := e.facts(ctx)
	if err != nil {
		return berth.Observed{}, err
	}
	o := h.observed(organizationID, f)
	err = e.inspectAll(ctx, &o, f)
	return o, err
}

// Inspect looks closer at what a list showed of a tenant.
func (e *Engine) Inspect(ctx context.Context, listed berth.Observed) (berth.Observed, error) {
	f, err := e.facts(ctx)
	if err != nil {
		return berth.Observed{}, err
	}
	err = e.inspectAll(ctx, &listed, f)
	return listed, err
}

// ObserveInstances looks at the containers of one tenant, with one call and one
// more for each of them.
func (e *Engine) ObserveInstances(ctx context.Context, organizationID string) (berth.Observed, error) {
	f, err := e.facts(ctx)
	if err != nil {
		return berth.Observed{}, err
	}
	var all found
	err = e.do(ctx, step{"look at the tenant", organizationID}, e.ReadTimeout, func(ctx context.Context) error {
		filter := client.Filters{}.Add("label", berth.LabelTenantID+"="+organizationID)
		got, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
		all.containers = got.Items
		return err
	})
	if err != nil {
		return berth.Observed{}, err
	}
	h := e.sort(all)
	h.foreign = nil
	o := h.observed(organizationID, f)
	err = e.inspectAll(ctx, &o, f)
	return o, err
}

// List looks at everything that carries the tenant label, with three calls.
func (e *Engine) List(ctx context.Context) (berth.Inventory, error) {
	f, err := e.facts(ctx)
	if err != nil {
		return berth.Inventory{}, err
	}
	all, err := e.search(ctx, step{op: "list everything"}, client.Filters{}.Add("label", berth.LabelTenantID))
	if err != nil {
		return berth.Inventory{}, err
	}
	h := e.sort(all)
	tenants := map[string]*holding{}
	of := func(labels map[string]string) *holding {
		org := labels[berth.LabelTenantID]
		if tenants[org] == nil {
			tenants[org] = &holding{}
		}
		return tenants[org]
	}
	for _, c := range h.containers {
		t := of(c.Labels)
		t.containers = append(t.containers, c)
	}
	for _, n := range h.networks {
		t := of(n.Labels)
		t.networks = append(t.networks, n)
	}
	for _, v := range h.volumes {
		t := of(v.Labels)
		t.volumes = append(t.volumes, v)
	}
	var inv berth.Inventory
	for _, x := range h.foreign {
		if t := tenants[x.OrganizationID]; t != nil {
			t.foreign = append(t.foreign, x)
		} else {
			inv.Foreign = append(inv.Foreign, x)
		}
	}
	for org, t := range tenants {
		inv.Tenants = append(inv.Tenants, t.observed(org, f))
	}
	slices.SortFunc(inv.Tenants, func(a, b berth.Observed) int { return cmp.Compare(a.OrganizationID, b.OrganizationID) })
	return inv, nil
}

// look finds what the Engine has of one tenant.
func (e *Engine) look(ctx context.Context, organizationID string, v view) (holding, error) {
	s := step{"look at the tenant", organizationID}
	filters := []client.Filters{client.Filters{}.Add("name", berth.ContainerName(organizationID))}
	if v == byLabel {
		filters = append(filters, client.Filters{}.Add("label", berth.LabelTenantID+"="+organizationID))
	}
	lists := make([]found, len(filters))
	var g errgroup.Group
	for i, f := range filters {
		g.Go(func() (err error) {
			lists[i], err = e.search(ctx, s, f)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return holding{}, err
	}
	// The name filter finds every name that contains the text.
	lists[0].keep(organizationID)
	for _, f := range lists[1:] {
		lists[0].add(f)
	}
	h := e.sort(lists[0])
	for i := range h.foreign {
		h.foreign[i].OrganizationID = organizationID
	}
	return h, nil
}

// found is what three lists gave.
type found struct {
	containers []container.Summary
	networks   []network.Summary
	volumes    []volume.Volume
}

// search makes the three lists at the same time.
func (e *Engine) search(ctx context.Context, s step, f client.Filters) (out found, err error) {
	var g errgroup.Group
	g.Go(func() error {
		return e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
			got, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: f})
			out.containers = got.Items
			return err
		})
	})
	g.Go(func() error {
		return e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
			got, err := e.api.NetworkList(ctx, client.NetworkListOptions{Filters: f})
			out.networks = got.Items
			return err
		})
	})
	g.Go(func() error {
		return e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
			got, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: f})
			out.volumes = got.Items
			return err
		})
	})
	return out, g.Wait()
}

// keep drops what has none of the tenant's names and is not its by Compose.
func (f *found) keep(organizationID string) {
	f.containers = slices.DeleteFunc(f.containers, func(c container.Summary) bool {
		return !nameFits(nameOf(c), organizationID) && !composed(c.Labels, organizationID)
	})
	f.networks = slices.DeleteFunc(f.networks, func(n network.Summary) bool { return !nameFits(n.Name, organizationID) })
	f.volumes = slices.DeleteFunc(f.volumes, func(v volume.Volume) bool { return !nameFits(v.Name, organizationID) })
}

// add merges other into f; what both have stays once.
func (f *found) add(other found) {
	for _, c := range other.containers {
		if !slices.ContainsFunc(f.containers, func(o container.Summary) bool { return o.ID == c.ID }) {
			f.containers = append(f.containers, c)
		}
	}
	for _, n := range other.networks {
		if !slices.ContainsFunc(f.networks, func(o network.Summary) bool { return o.ID == n.ID }) {
			f.networks = append(f.networks, n)
		}
	}
	for _, v := range other.volumes {
		if !slices.ContainsFunc(f.volumes, func(o volume.Volume) bool { return o.Name == v.Name }) {
			f.volumes = append(f.volumes, v)
		}
	}
}

// sort parts what is ours from what is not, and orders both.
func (e *Engine) sort(all found) holding {
	var h holding
	ours := func(kind, id, name string, labels map[string]string) bool {
		reason := e.disproof(kind, name, labels)
		if reason != "" {
			x := berth.Foreign{Kind: kind, ID: id, Name: name, OrganizationID: labels[berth.LabelTenantID], Reason: reason}
			if i := labels[berth.LabelInstallation]; i != e.Installation && labels[berth.LabelSeal] != "" {
				x.Installation = i
			}
			h.foreign = append(h.foreign, x)
		}
		return reason == ""
	}
	for _, c := range all.containers {
		switch {
		case !ours(kindContainer, c.ID, nameOf(c), c.Labels):
			if composed(c.Labels, c.Labels[berth.LabelTenantID]) {
				h.composed = append(h.composed, c)
			}
		case isSecrets(nameOf(c), c.Labels):
			h.bearers = append(h.bearers, c)
		default:
			h.containers = append(h.containers, c)
			h.foreign = append(h.foreign, unnamed(c)...)
		}
	}
	for _, n := range all.networks {
		if ours(kindNetwork, n.ID, n.Name, n.Labels) {
			h.networks = append(h.networks, n)
		}
	}
	for _, v := range all.volumes {
		switch {
		case !ours(kindVolume, v.Name, v.Name, v.Labels):
		case isSecrets(v.Name, v.Labels):
			h.secrets = append(h.secrets, v)
		default:
			h.volumes = append(h.volumes, v)
		}
	}
	slices.SortFunc(h.containers, func(a, b container.Summary) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	slices.SortFunc(h.networks, func(a, b network.Summary) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(h.volumes, func(a, b volume.Volume) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(h.foreign, func(a, b berth.Foreign) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return h
}

// unnamed are the volumes of a container of ours that nobody named, from before
// Berth named those that an image declares. With the container they lose the only
// proof of whose they are.
func unnamed(c container.Summary) (list []berth.Foreign) {
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume && isAnonymous(m.Name) {
			list = append(list, berth.Foreign{
				Kind: kindVolume, ID: m.Name, Name: m.Name, OrganizationID: c.Labels[berth.LabelTenantID],
				Reason: "the image of service " + c.Labels[berth.LabelService] + " has it at " + m.Destination + ", and nobody named it: the next version gets one of its own",
			})
		}
	}
	return list
}

// runByCompose is the service of a tenant that Compose runs in a container of none of
// ours, or is about to. What has ended is in nobody's way.
func (h holding) runByCompose(f berth.Foreign, organizationID string) (service string, runs bool) {
	i := slices.IndexFunc(h.composed, func(c container.Summary) bool { return c.ID == f.ID })
	if i < 0 || !composed(h.composed[i].Labels, organizationID) {
		return "", false
	}
	ended := []container.ContainerState{container.StateExited, container.StateDead, container.StateRemoving}
	return h.composed[i].Labels["com.docker.compose.service"], !slices.Contains(ended, h.composed[i].State)
}

// observed puts h in Berth's words. What a list does not tell is left out.
func (h holding) observed(organizationID string, f *facts) berth.Observed {
	o := berth.Observed{OrganizationID: organizationID, Foreign: h.foreign}
	if len(h.networks) > 0 {
		o.Network, o.Subnet = true, subnetOf(h.networks[0].Network)
	}
	for _, v := range h.volumes {
		o.Volumes = append(o.Volumes, v.Name)
	}
	for _, c := range h.containers {
		seen := labelled(c.ID, nameOf(c), c.Labels)
		seen.Image, seen.State, seen.Writes = c.Image, stateOf(c.State), writes(c.Mounts)
		if seen.State == berth.InstanceRunning {
			seen.Address = listedAddress(c, f)
		}
		if c.NetworkSettings != nil {
			seen.Differs = networkDifferences(c.NetworkSettings.Networks, organizationID)
		}
		o.Instances = append(o.Instances, seen)
	}
	return o
}

// inspectAll fills in what a list does not tell. A container that has gone in
// the meantime is dropped.
func (e *Engine) inspectAll(ctx context.Context, o *berth.Observed, f *facts) error {
	seen := make([]*berth.Instance, len(o.Instances))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, c := range o.Instances {
		g.Go(func() error {
			got, err := e.inspect(ctx, o.OrganizationID, c.ID)
			if errdefs.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
			now := inspected(got, f)
			seen[i] = &now
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	o.Instances = nil
	for _, c := range seen {
		if c != nil {
			o.Instances = append(o.Instances, *c)
		}
	}
	return nil
}

func (e *Engine) inspect(ctx context.Context, tenant, id string) (out container.InspectResponse, err error) {
	err = e.do(ctx, step{"inspect container " + id[:min(12, len(id))], tenant}, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		out = got.Container
		return err
	})
	return out, err
}

// inspected puts an inspected container in Berth's words.
func inspected(i container.InspectResponse, f *facts) berth.Instance {
	c := labelled(i.ID, strings.TrimPrefix(i.Name, "/"), i.Config.Labels)
	c.Image = i.Config.Image
	if strings.HasPrefix(c.Image, "sha256:") {
		c.Image = i.Image // not what was asked for, but what was taken
	}
	c.Restarts, c.Writes = i.RestartCount, writes(i.Mounts)
	if i.State != nil {
		c.State = stateOf(i.State.Status)
		c.ExitCode, c.OOMKilled = i.State.ExitCode, i.State.OOMKilled
		c.Health, c.HealthCause = healthOf(i.State.Health)
		if t, err := time.Parse(time.RFC3339Nano, i.State.StartedAt); err == nil && t.Year() > 1 {
			c.StartedAt = t.UTC()
		}
	}
	if i.HostConfig != nil {
		c.CPU = float64(i.HostConfig.NanoCPUs/10_000_000) / 100
		c.MemoryMB = int(i.HostConfig.Memory / berth.BytesPerMB)
	}
	c.Differs = differences(i)
	if c.State == berth.InstanceRunning {
		c.Address = inspectedAddress(i, f)
	}
	return c
}

// writes names the volumes that a container may write to.
func writes(mounts []container.MountPoint) (names []string) {
	for _, m := range mounts {
		if m.Type == mount.TypeVolume && m.RW {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

func labelled(id, name string, labels map[string]string) berth.Instance {
	number := func(label string) int {
		n, _ := strconv.Atoi(labels[label]) // sealed or checked on the way in; 0 if it is not there
		return n
	}
	c := berth.Instance{
		ID: id, Name: name, Service: labels[berth.LabelService], Replica: number(berth.LabelReplica),
		Generation: number(berth.LabelGeneration), Hash: labels[berth.LabelSpecHash],
		Unattended: labels[labelSecrets] != "", StopGrace: seconds(grace(labels)),
	}
	c.Beside = isStaged(labels[berth.LabelTenantID], c)
	return c
}

// stateOf maps the Engine's state. Removing and dead are none of ours.
func stateOf(s container.ContainerState) berth.InstanceState {
	switch s {
	case container.StateCreated:
		return berth.InstanceCreated
	case container.StateRunning:
		return berth.InstanceRunning
	case container.StateRestarting:
		return berth.InstanceRestarting
	case container.StateExited:
		return berth.InstanceExited
	case container.StatePaused:
		return berth.InstancePaused
	default:
		return berth.InstanceUnknown
	}
}

func nameOf(c container.Summary) string {
	for _, n := range c.Names {
		// A name with a second slash is a link.
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

func portOf(labels map[string]string) uint16 {
	n, _ := strconv.ParseUint(labels[berth.LabelPort], 10, 16)
	return uint16(n)
}

func listedAddress(c container.Summary, f *facts) netip.AddrPort {
	port := portOf(c.Labels)
	if !f.info.Routed {
		for _, p := range c.Ports {
			if p.PrivatePort == port && p.PublicPort > 0 && p.IP.IsLoopback() {
				return netip.AddrPortFrom(p.IP, p.PublicPort)
			}
		}
		return netip.AddrPort{}
	}
	if c.NetworkSettings == nil {
		return netip.AddrPort{}
	}
	return containerAddress(c.NetworkSettings.Networks, c.Labels, port)
}

func inspectedAddress(i container.InspectResponse, f *facts) netip.AddrPort {
	port := portOf(i.Config.Labels)
	if i.NetworkSettings == nil {
		return netip.AddrPort{}
	}
	if f.info.Routed {
		return containerAddress(i.NetworkSettings.Networks, i.Config.Labels, port)
	}
	inside, _ := network.PortFrom(port, network.TCP)
	for _, b := range i.NetworkSettings.Ports[inside] {
		if n, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil && n > 0 && b.HostIP.IsLoopback() {
			return netip.AddrPortFrom(b.HostIP, uint16(n))
		}
	}
	return netip.AddrPort{}
}

// containerAddress is a service's address in the tenant's own network, never
// in another one that someone connected the container to.
func containerAddress(networks map[string]*network.EndpointSettings, labels map[string]string, port uint16) netip.AddrPort {
	own := networks[berth.NetworkName(labels[berth.LabelTenantID])]
	if port == 0 || own == nil || !own.IPAddress.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(own.IPAddress, port)
}
