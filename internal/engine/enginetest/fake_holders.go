package enginetest

import (
	"context"
	"slices"
	"testing"

	"github.com/unite-hub/berth"
)

// guard refuses to make or start anything on an exclusive volume while another
// container writes to it, whoever's that is.
func (f *Fake) guard(ctx context.Context, stack berth.Stack, specs []instance, there map[string]*fakeContainer) error {
	if !stack.Run {
		return nil
	}
	return f.step(ctx, Step{Op: "look who holds the volumes", Tenant: stack.OrganizationID, Read: true}, func() error {
		kept, needed := map[string]bool{}, map[string]bool{}
		for _, spec := range specs {
			c := there[spec.Name]
			if c != nil {
				kept[c.id] = true
			}
			if c != nil && isUp(c) {
				continue
			}
			stored := f.imageMounts(stack.OrganizationID, spec)
			if c != nil {
				stored = c.stored
			}
			for _, m := range slices.Concat(spec.Service.Mounts, stored) {
				shared := slices.ContainsFunc(stack.Volumes, func(v berth.Volume) bool { return v.Name == m.Volume && v.Shared })
				needed[m.Volume] = needed[m.Volume] || !m.ReadOnly && !shared
			}
		}
		for _, c := range f.all().containers {
			if kept[c.id] || !isUp(c) {
				continue
			}
			for _, m := range c.mounts() {
				if needed[m.Volume] && !m.ReadOnly {
					return berth.Errorf(berth.CodeForeignObject, "Volume %s is held by container %s", m.Volume, c.name).WithHint("remove that container")
				}
			}
		}
		return nil
	})
}

// mounts are what a container has mounted of volumes.
func (c *fakeContainer) mounts() []berth.Mount { return slices.Concat(c.service.Mounts, c.stored) }

// imageMounts are the volumes at the paths that an image declares and the spec
// mounts nothing at. The lock is held.
func (f *Fake) imageMounts(org string, spec instance) (list []berth.Mount) {
	for _, target := range f.images[spec.Service.Image].Volumes {
		if !slices.ContainsFunc(spec.Service.Mounts, func(m berth.Mount) bool { return m.Target == target }) &&
			!slices.ContainsFunc(spec.Service.Tmpfs, func(t berth.Tmpfs) bool { return t.Target == target }) {
			list = append(list, berth.Mount{Volume: berth.ImageVolumeName(org, spec.Slot, target), Target: target})
		}
	}
	return list
}

// Rename gives a container another name.
func (f FakeManual) Rename(t testing.TB, name, to string) {
	t.Helper()
	f.change(t, name, func(c *fakeContainer) { c.name = to })
}

// Pause freezes a container.
func (f FakeManual) Pause(t testing.TB, name string) { t.Helper(); f.change(t, name, changes["pause"]) }

// CutOff disconnects a container from its tenant's network.
func (f FakeManual) CutOff(t testing.TB, name string) {
	t.Helper()
	f.change(t, name, changes["cut-off"])
}

// Join connects a container to a network that is not its tenant's.
func (f FakeManual) Join(t testing.TB, name string) { t.Helper(); f.change(t, name, changes["join"]) }

// Unlimit takes the limit of processes away from a container that lives.
func (f FakeManual) Unlimit(t testing.TB, name string) {
	t.Helper()
	f.change(t, name, changes["unlimit"])
}

// changes are what people do by hand to a container that lives.
var changes = map[string]func(*fakeContainer){
	"pause": func(c *fakeContainer) {
		if c.state == berth.InstanceRunning {
			c.state = berth.InstancePaused
		}
	},
	"cut-off": func(c *fakeContainer) { c.network = "" },
	"join":    func(c *fakeContainer) { c.besides = append(c.besides, "bridge") },
	"unlimit": func(c *fakeContainer) { c.pids = -1 },
	"squeeze": func(c *fakeContainer) { c.limits.MemoryMB /= 2 },
	"slow":    func(c *fakeContainer) { c.limits.CPU /= 2 },
	"rename":  func(c *fakeContainer) { c.name = Renamed(c.name) },
}

// Renamed is what TryChange renames a container to.
func Renamed(name string) string { return "renamed-" + name }

// TryChange does what the method of this name does, if the container is there.
func (f FakeManual) TryChange(name, change string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.named(name); c != nil && (change != "rename" || f.named(Renamed(name)) == nil) {
		changes[change](c)
		f.hint(c.fakeObject)
	}
}

func (f FakeManual) change(t testing.TB, name string, fn func(*fakeContainer)) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.named(name)
	if c == nil {
		t.Fatalf("there is no container %s", name)
	}
	fn(c)
	f.hint(c.fakeObject)
}
