package docker

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// swap gives containers that were made beside others the names that those have,
// and those their generation's. It does so while all of them still run: an
// Engine that renames a running container writes down how many endpoints the
// network had when it last looked, and if one just went, counts it for ever
// and never removes the network. To count one too few harms nothing.
func (a *application) swap(ctx context.Context, extra []container.Summary) error {
	for _, spec := range a.specs {
		c, ok := a.kept[spec.Name]
		if !ok || nameOf(c) == spec.Name || a.stays[spec.Name] != "" {
			continue
		}
		if i := slices.IndexFunc(extra, func(x container.Summary) bool { return nameOf(x) == spec.Name }); i >= 0 {
			old := labelled("", "", extra[i].Labels)
			if err := a.stopRestarting(ctx, &extra[i]); err != nil {
				return err
			}
			err := a.rename(ctx, extra[i], stagedName(a.stack.OrganizationID, old.Generation, old.Service, old.Replica))
			if err != nil {
				return err
			}
		}
		if err := a.stopRestarting(ctx, &c); err != nil {
			return err
		}
		a.kept[spec.Name] = c
		if err := a.rename(ctx, c, spec.Name); err != nil {
			return err
		}
	}
	return nil
}

// stopRestarting stops a container that ended and that the Engine is about to start
// again: meanwhile it has no network to be renamed or connected in, and the
// Engine refuses both. If it is wanted, run starts it.
func (a *application) stopRestarting(ctx context.Context, c *container.Summary) error {
	if c.State != container.StateRestarting {
		return nil
	}
	err := a.stop(ctx, step{"stop container " + nameOf(*c), a.stack.OrganizationID}, *c, 0)
	if err == nil {
		c.State = container.StateExited
	}
	return err
}

func (a *application) rename(ctx context.Context, c container.Summary, name string) error {
	return a.do(ctx, step{"rename container " + nameOf(c), a.stack.OrganizationID}, a.ChangeTimeout, func(ctx context.Context) error {
		_, err := a.api.ContainerRename(ctx, c.ID, client.ContainerRenameOptions{NewName: name})
		return err
	})
}

// nameFor is what a container that is made now is called.
func (a *application) nameFor(spec instance) string {
	if a.stays[spec.Name] == "" {
		return spec.Name
	}
	return stagedName(a.stack.OrganizationID, a.stack.Generation, spec.Service.Name, spec.Replica)
}

// name lets containers that were made unnamed be found by their service's name
// inside the network. An Engine names a container only where it connects it, so
// it is connected anew. It gets the address that just became free, its own, and
// what it has open goes on; to ask for that address would pin it, and a pinned
// container can't start once another one has the address.
func (a *application) name(ctx context.Context) error {
	for _, spec := range a.specs {
		now, ok := a.inspected[spec.Name]
		if !ok || spec.Service.Hidden() || now.NetworkSettings == nil || now.State == nil || !isUp(now.State.Status) {
			continue
		}
		end := now.NetworkSettings.Networks[a.stack.Network]
		if end == nil || !misnamed(end, spec) {
			continue
		}
		c := a.kept[spec.Name]
		c.ID, c.State = now.ID, now.State.Status
		if err := a.stopRestarting(ctx, &c); err != nil {
			return err
		}
		a.kept[spec.Name] = c
		if err := a.reconnect(ctx, spec, endpoint(spec)); err != nil {
			return err
		}
		a.forget(spec.Name)
	}
	return nil
}

// reconnect connects a running container to the tenant's network anew.
func (a *application) reconnect(ctx context.Context, spec instance, end *network.EndpointSettings) error {
	id := a.ids[spec.Name]
	return a.do(ctx, step{"name container " + spec.Name, a.stack.OrganizationID}, a.ChangeTimeout, func(ctx context.Context) error {
		if _, err := a.api.NetworkDisconnect(ctx, a.networkID, client.NetworkDisconnectOptions{Container: id}); err != nil {
			return err
		}
		_, err := a.api.NetworkConnect(ctx, a.networkID, client.NetworkConnectOptions{Container: id, EndpointConfig: end})
		return err
	})
}
