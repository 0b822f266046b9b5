package docker

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// guard refuses to make or start anything on an exclusive volume while any
// container of the Engine writes to it that is not kept with it: whoever's that
// is, whatever its name and labels. By then what the stack does not call for is
// gone.
func (a *application) guard(ctx context.Context) error {
	if !a.stack.Run {
		return nil
	}
	needed := client.Filters{}
	kept := map[string]bool{}
	there := func(name string) bool {
		return slices.ContainsFunc(a.have.volumes, func(v volume.Volume) bool { return v.Name == name })
	}
	for _, spec := range a.specs {
		c, known := a.kept[spec.Name]
		if known {
			kept[c.ID] = true
		}
		if known && isUp(c.State) {
			continue
		}
		for _, m := range slices.Concat(spec.Service.Mounts, a.imageMounts(spec), imagesOf(c)) {
			if !m.ReadOnly && a.exclusive(m.Volume) && there(m.Volume) {
				needed.Add("volume", m.Volume)
			}
		}
	}
	if len(needed) == 0 {
		return nil
	}
	s := step{"look who holds the volumes", a.stack.OrganizationID}
	var holders []container.Summary
	err := a.do(ctx, s, a.ReadTimeout, func(ctx context.Context) error {
		got, err := a.api.ContainerList(ctx, client.ContainerListOptions{Filters: needed}) // those that are up
		holders = got.Items
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range holders {
		if kept[c.ID] {
			continue
		}
		for _, m := range c.Mounts {
			if m.Type == mount.TypeVolume && m.RW && needed["volume"][m.Name] {
				way := fmt.Sprintf("stop and remove that container (docker rm -f %s), or give it the name back that it had", nameOf(c))
				if composed(c.Labels, s.tenant) {
					way = "compose runs it: stop it there, or take the tenant back with berth adopt"
				}
				return berth.Errorf(berth.CodeForeignObject, "Volume %s is held by container %s, which runs and may write to it", m.Name, nameOf(c)).
					WithHint("nothing else is started on the volume: %s", way).WithOp(s.op, s.tenant)
			}
		}
	}
	return nil
}

// imagesOf are the mounts that a container has because its image declares them.
func imagesOf(c container.Summary) (list []berth.Mount) {
	for _, m := range c.Mounts {
		if target, ok := berth.ImageVolumeTarget(m.Name); ok {
			list = append(list, berth.Mount{Volume: m.Name, Target: target, ReadOnly: !m.RW})
		}
	}
	return list
}

// exclusive reports whether two versions must not hold a volume at once.
func (a *application) exclusive(name string) bool {
	return !slices.ContainsFunc(a.stack.Volumes, func(v berth.Volume) bool { return v.Name == name && v.Shared })
}
