package enginetest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
)

// objects are some of what the engine has, each kind sorted by name.
type objects struct {
	containers []*fakeContainer
	networks   []*fakeNetwork
	volumes    []*fakeVolume
}

// each calls fn with every object, by kind and name.
func (have objects) each(fn func(kind string, o fakeObject)) {
	for _, c := range have.containers {
		fn(kindContainer, c.fakeObject)
	}
	for _, n := range have.networks {
		fn(kindNetwork, n.fakeObject)
	}
	for _, v := range have.volumes {
		fn(kindVolume, v.fakeObject)
	}
}

// objects returns what fits. The lock is held.
func (f *Fake) objects(fits func(fakeObject) bool) (have objects) {
	for _, c := range f.containers {
		if fits(c.fakeObject) {
			have.containers = append(have.containers, c)
		}
	}
	for _, n := range f.networks {
		if fits(n.fakeObject) {
			have.networks = append(have.networks, n)
		}
	}
	for _, v := range f.volumes {
		if fits(v.fakeObject) {
			have.volumes = append(have.volumes, v)
		}
	}
	slices.SortFunc(have.containers, func(a, b *fakeContainer) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(have.networks, func(a, b *fakeNetwork) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
	})
	slices.SortFunc(have.volumes, func(a, b *fakeVolume) int { return cmp.Compare(a.name, b.name) })
	return have
}

// all returns everything. The lock is held.
func (f *Fake) all() objects { return f.objects(func(fakeObject) bool { return true }) }

// objectsOf returns what concerns a tenant. The lock is held.
func (f *Fake) objectsOf(org string) objects {
	return f.objects(func(o fakeObject) bool { return namedFor(o.name) == org || o.labels[berth.LabelTenantID] == org })
}

// byTenant returns what concerns each tenant that an object is labelled with, in one
// walk: a list of two hundred tenants must not look at everything two hundred times.
// The lock is held.
func (f *Fake) byTenant() map[string]objects {
	tenants := map[string]objects{}
	all := f.all()
	all.each(func(_ string, o fakeObject) {
		if org, ok := o.labels[berth.LabelTenantID]; ok {
			tenants[org] = objects{}
		}
	})
	for _, c := range all.containers {
		share(tenants, c.fakeObject, func(have *objects) { have.containers = append(have.containers, c) })
	}
	for _, n := range all.networks {
		share(tenants, n.fakeObject, func(have *objects) { have.networks = append(have.networks, n) })
	}
	for _, v := range all.volumes {
		share(tenants, v.fakeObject, func(have *objects) { have.volumes = append(have.volumes, v) })
	}
	return tenants
}

// share adds an object to those of each tenant that it concerns, of those known.
func share(tenants map[string]objects, o fakeObject, add func(*objects)) {
	for _, org := range slices.Compact([]string{o.labels[berth.LabelTenantID], namedFor(o.name)}) {
		if have, known := tenants[org]; known {
			add(&have)
			tenants[org] = have
		}
	}
}

// namedFor is the tenant that an object's name is one of, "" if it is nobody's.
func namedFor(name string) string {
	rest, ok := strings.CutPrefix(name, berth.ContainerName(""))
	if !ok {
		return ""
	}
	org, _, _ := strings.Cut(rest, "_")
	return org
}
