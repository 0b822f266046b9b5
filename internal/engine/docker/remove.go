package docker

import (
	"context"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Remove removes a tenant's containers, then its network, then the volumes
// named, and looks whether they are gone. What is not ours stays, and is an
// error once everything else is gone.
func (e *Engine) Remove(ctx context.Context, r berth.Removal) error {
	for _, name := range r.Volumes {
		if !nameFits(name, r.OrganizationID) {
			return berth.Errorf(berth.CodeForeignObject, "Volume %s is not one of this tenant's", berth.Quote(name)).
				WithHint("name volumes that begin with %s_", berth.ContainerName(r.OrganizationID)).WithOp("remove tenant", r.OrganizationID)
		}
	}
	h, err := e.look(ctx, r.OrganizationID, byName)
	if err != nil {
		return err
	}
	g := bounded()
	for _, c := range h.containers {
		g.Go(func() error { return e.discard(ctx, r.OrganizationID, c, r.Unnamed) })
	}
	for _, c := range h.bearers {
		g.Go(func() error { return e.discard(ctx, r.OrganizationID, c, dropUnnamed) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, v := range h.secrets {
		if err := e.dropSecrets(ctx, r.OrganizationID, v.Name); err != nil {
			return err
		}
	}
	for _, n := range h.networks {
		if err := e.removeNetwork(ctx, r.OrganizationID, n); err != nil {
			return err
		}
	}
	for _, name := range r.Volumes {
		if err := e.removeVolume(ctx, r.OrganizationID, name, h); err != nil {
			return err
		}
	}
	return e.absent(ctx, r)
}

// removeVolume removes a volume of ours. A foreign one is left to absent.
func (e *Engine) removeVolume(ctx context.Context, tenant, name string, h holding) error {
	if !slices.ContainsFunc(h.volumes, func(v volume.Volume) bool { return v.Name == name }) {
		return nil
	}
	err := e.do(ctx, step{"remove volume " + name, tenant}, e.ChangeTimeout, func(ctx context.Context) error {
		_, err := e.api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
		return err
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// absent looks whether everything that was to go has gone.
func (e *Engine) absent(ctx context.Context, r berth.Removal) error {
	s := step{"look whether everything is gone", r.OrganizationID}
	h, err := e.look(ctx, r.OrganizationID, byName)
	if err != nil {
		return err
	}
	var left []string
	for _, c := range slices.Concat(h.containers, h.bearers) {
		left = append(left, "container "+nameOf(c))
	}
	for _, v := range h.secrets {
		left = append(left, "volume "+v.Name)
	}
	for _, n := range h.networks {
		left = append(left, "network "+n.Name)
	}
	for _, v := range h.volumes {
		if slices.Contains(r.Volumes, v.Name) {
			left = append(left, "volume "+v.Name)
		}
	}
	if len(left) > 0 {
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine still has %s", strings.Join(left, ", ")).
			WithHint("Berth tries again by itself").WithOp(s.op, s.tenant)
	}
	for _, f := range h.foreign {
		_, runs := h.runByCompose(f, r.OrganizationID)
		if (runs || nameFits(f.Name, r.OrganizationID)) && (f.Kind != kindVolume || slices.Contains(r.Volumes, f.Name)) {
			return foreignError(f).WithOp(s.op, s.tenant)
		}
	}
	return nil
}
