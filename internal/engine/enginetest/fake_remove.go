package enginetest

import (
	"context"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
)

// Remove removes what the real engine would, in the same order.
func (f *Fake) Remove(ctx context.Context, r berth.Removal) error {
	org := r.OrganizationID
	for _, name := range r.Volumes {
		if !strings.HasPrefix(name, berth.ContainerName(org)+"_") {
			return berth.Errorf(berth.CodeForeignObject, "Volume %s is not one of this tenant's", name).WithHint("name its own").WithOp("remove tenant", org)
		}
	}
	var containers []*fakeContainer
	if err := f.step(ctx, Step{Op: "observe", Tenant: org, Read: true}, func() error {
		for _, c := range f.objectsOf(org).containers {
			if f.ours(kindContainer, c.fakeObject) {
				containers = append(containers, c)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, c := range containers {
		if err := f.discard(ctx, org, c); err != nil {
			return err
		}
	}
	if err := f.step(ctx, Step{Op: "remove network", Tenant: org}, func() error {
		for n := f.networkOf(org); n != nil; n = f.networkOf(org) {
			delete(f.networks, n.id)
			f.hint(n.fakeObject)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, name := range r.Volumes {
		if err := f.step(ctx, Step{Op: "remove volume " + name, Tenant: org}, func() error {
			if v := f.volumes[name]; v != nil && f.ours(kindVolume, v.fakeObject) {
				f.dropVolume(name)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return f.step(ctx, Step{Op: "observe", Tenant: org, Read: true}, func() error {
		for _, x := range f.observed(org).Foreign {
			inWay := (namedFor(x.Name) == org || composed(f.containers[x.ID], org)) && (x.Kind != kindVolume || slices.Contains(r.Volumes, x.Name))
			if inWay {
				return berth.Errorf(berth.CodeForeignObject, "There is a %s named %s that Berth did not make", x.Kind, x.Name).WithHint("remove it yourself")
			}
		}
		f.seenGone(org)
		return nil
	})
}

func (f *Fake) dropVolume(name string) {
	delete(f.volumes, name)
	for key := range f.data {
		if strings.HasPrefix(key, name+" ") {
			delete(f.data, key)
		}
	}
}
