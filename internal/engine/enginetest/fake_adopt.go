package enginetest

import (
	"context"
	"maps"
	"slices"

	"github.com/unite-hub/berth"
)

// Adopt checks what the real engine checks, then removes what compose made.
func (f *Fake) Adopt(ctx context.Context, a berth.Adoption) error {
	var containers []*fakeContainer
	org := a.OrganizationID
	refused := func(what string) error {
		return berth.Errorf(berth.CodeForeignObject, "Not adopted: %s", what).WithHint("remove it yourself")
	}
	err := f.step(ctx, Step{Op: "observe", Tenant: org, Read: true}, func() error {
		for _, x := range f.observed(org).Foreign {
			if x.Kind == kindVolume && slices.Contains(a.Volumes, x.Name) {
				return refused("volume " + x.Name + " is not the recorded one")
			}
		}
		for _, c := range f.objectsOf(org).containers {
			if f.ours(kindContainer, c.fakeObject) {
				continue
			}
			if c.labels[berth.LabelTenantID] != org || c.labels["com.docker.compose.project"] != a.Project {
				return refused("container " + c.name + " is not one that compose made for the tenant")
			}
			for _, m := range c.service.Mounts {
				if !slices.Contains(a.Volumes, m.Volume) {
					return refused("container " + c.name + " mounts volume " + m.Volume)
				}
			}
			containers = append(containers, c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range containers {
		if err := f.discard(ctx, org, c); err != nil {
			return err
		}
	}
	return nil
}

// RestartInstance restarts a container. One that gets secrets is only stopped: the next
// Apply starts it.
func (f *Fake) RestartInstance(ctx context.Context, organizationID, containerID string) error {
	return f.step(ctx, Step{Op: "restart container", Tenant: organizationID}, func() error {
		c := f.containers[containerID]
		if c == nil {
			return berth.Errorf(berth.CodeEngineUnavailable, "The container has gone meanwhile").WithHint("it is made again")
		}
		f.halt(c, 0)
		if len(c.service.Secrets) > 0 {
			return nil
		}
		return f.start(c, organizationID)
	})
}

// StopInstance stops a container for good.
func (f *Fake) StopInstance(ctx context.Context, organizationID, containerID string) error {
	return f.step(ctx, Step{Op: "stop container", Tenant: organizationID}, func() error {
		if c := f.containers[containerID]; c != nil {
			c.keep = false
			f.halt(c, c.exit)
		}
		return nil
	})
}

// Collect takes an image away that no container uses.
func (f *Fake) Collect(ctx context.Context, i berth.PulledImage) error {
	return f.step(ctx, Step{Op: "collect image"}, func() error {
		for _, c := range f.containers {
			if c.service.Image == i.Pin {
				return berth.Errorf(berth.CodeEngineRefused, "The image is still in use by container %s", c.name).WithHint("it goes later")
			}
		}
		delete(f.images, i.Pin)
		maps.DeleteFunc(f.local, func(_, pin string) bool { return pin == i.Pin })
		return nil
	})
}

// HasImage reports whether the engine has an image.
func (f *Fake) HasImage(pin string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.images[pin]
	return ok
}
