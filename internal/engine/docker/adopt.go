package docker

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Adopt removes the containers, and the network if it was made anew, that
// compose made of a tenant's rendered file, so that the next Apply can make
// ours on the same volumes. Nothing is touched before everything was checked:
// each container must carry the tenant's id and compose's project, and mount
// no volume but the recorded ones, which must be ours. That there is nothing
// to adopt is no error.
func (e *Engine) Adopt(ctx context.Context, a berth.Adoption) error {
	s := step{"adopt tenant", a.OrganizationID}
	h, err := e.look(ctx, a.OrganizationID, byLabel)
	if err != nil {
		return err
	}
	for _, name := range a.Volumes {
		if i := slices.IndexFunc(h.foreign, func(f berth.Foreign) bool { return f.Kind == kindVolume && f.Name == name }); i >= 0 {
			return refused(s, "volume %s is not the recorded one: %s", name, h.foreign[i].Reason)
		}
	}
	var containers []container.InspectResponse
	var networks []berth.Foreign
	for _, f := range h.foreign {
		switch f.Kind {
		case kindContainer:
			c, err := e.inspect(ctx, a.OrganizationID, f.ID)
			if errdefs.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if why := unlike(c, a); why != "" {
				return refused(s, "container %s %s", f.Name, why)
			}
			containers = append(containers, c)
		case kindNetwork:
			if err := e.checkNetwork(ctx, s, f, a); err != nil {
				return err
			}
			networks = append(networks, f)
		}
	}
	for _, c := range containers {
		if err := e.discard(ctx, a.OrganizationID, summaryOf(c), keepUnnamed); err != nil {
			return err
		}
	}
	for _, f := range networks {
		if err := e.removeNetwork(ctx, a.OrganizationID, network.Summary{Network: network.Network{ID: f.ID, Name: f.Name}}); err != nil {
			return err
		}
	}
	return nil
}

// unlike says why a container is not one that compose made for the tenant, ""
// if it is.
func unlike(c container.InspectResponse, a berth.Adoption) string {
	labels := c.Config.Labels
	if labels[berth.LabelTenantID] != a.OrganizationID {
		return "carries another tenant's id"
	}
	if labels["com.docker.compose.project"] != a.Project {
		return "does not belong to compose project " + a.Project
	}
	for _, m := range c.Mounts {
		switch {
		case m.Type == mount.TypeTmpfs:
		case m.Type != mount.TypeVolume:
			return "mounts " + berth.Quote(m.Source) + " of the host"
		case !slices.Contains(a.Volumes, m.Name) && !isAnonymous(m.Name):
			return "mounts volume " + m.Name + ", which is not on record"
		}
	}
	return ""
}

// isAnonymous reports whether a volume has the name that the Engine gives to
// one that nobody named.
func isAnonymous(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

func (e *Engine) checkNetwork(ctx context.Context, s step, f berth.Foreign, a berth.Adoption) error {
	return e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.NetworkInspect(ctx, f.ID, client.NetworkInspectOptions{})
		switch {
		case errdefs.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case got.Network.Name != berth.NetworkName(a.OrganizationID) || got.Network.Labels["com.docker.compose.project"] != a.Project:
			return refused(s, "network %s does not belong to compose project %s", f.Name, a.Project)
		}
		return nil
	})
}

func refused(s step, format string, args ...any) error {
	return berth.Errorf(berth.CodeForeignObject, "Not adopted: "+format, args...).
		WithHint("only what compose made of the tenant's rendered file, on the tenant's recorded volumes, is taken back; remove the rest yourself").
		WithOp(s.op, s.tenant)
}

// summaryOf is what discard needs of a container.
func summaryOf(c container.InspectResponse) container.Summary {
	out := container.Summary{ID: c.ID, Names: []string{c.Name}, Labels: map[string]string{}}
	if c.State != nil {
		out.State = c.State.Status
	}
	if c.Config.StopTimeout != nil {
		out.Labels[labelGrace] = strconv.Itoa(*c.Config.StopTimeout)
	}
	return out
}
