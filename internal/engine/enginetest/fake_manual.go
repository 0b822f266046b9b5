package enginetest

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

// FakeManual does to a fake what people, kernels and programs do.
type FakeManual struct{ *Fake }

// Manual returns what changes f behind Berth's back.
func (f *Fake) Manual() FakeManual { return FakeManual{f} }

// Kill ends a container as a person would: it stays down.
func (f FakeManual) Kill(t testing.TB, containerID string) {
	t.Helper()
	f.End(t, containerID, 137, false)
}

// End ends a container's process with a code. oom says that the kernel did it
// for want of memory.
func (f FakeManual) End(t testing.TB, containerID string, code int, oom bool) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[containerID]
	if c == nil {
		t.Fatalf("there is no container %s", containerID)
	}
	f.halt(c, code)
	c.oom = oom
	f.replace(c)
}

// Crash lets a container's process end and the engine start it again, if it
// does.
func (f FakeManual) Crash(t testing.TB, containerID string, code int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[containerID]
	if c == nil || c.state != berth.InstanceRunning {
		return
	}
	if len(c.service.Secrets) > 0 {
		f.halt(c, code)
		return
	}
	c.restarts, c.exit, c.started = c.restarts+1, 0, f.tick() // as an engine shows what runs
	f.hintEnd(c, code)
}

// Remove removes an object by name, whatever still uses it.
func (f FakeManual) Remove(t testing.TB, kind, name string) {
	t.Helper()
	if !f.TryRemove(kind, name) {
		t.Fatalf("there is no %s %s", kind, name)
	}
}

// TryRemove removes an object by name if it is there, beside whoever works on it.
func (f FakeManual) TryRemove(kind, name string) (was bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []fakeObject
	f.all().each(func(k string, o fakeObject) {
		if k == kind && o.name == name {
			found = append(found, o)
		}
	})
	for _, o := range found {
		switch kind {
		case kindContainer:
			c := f.containers[o.id]
			delete(f.containers, o.id)
			f.replace(c)
		case kindNetwork:
			delete(f.networks, o.id)
		case kindVolume:
			f.dropVolume(name)
		}
		f.hint(o)
	}
	return len(found) > 0
}

// TryKill ends a container's process if it is there.
func (f FakeManual) TryKill(containerID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.containers[containerID]; c != nil {
		f.halt(c, 137)
		f.replace(c)
	}
}

// Add makes an object that is not Berth's.
func (f FakeManual) Add(t testing.TB, kind, name string, labels map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := fakeObject{id: f.nextID(kind), name: name, labels: maps.Clone(labels)}
	switch kind {
	case kindContainer:
		f.containers[o.id] = &fakeContainer{fakeObject: o, state: berth.InstanceCreated}
	case kindNetwork:
		// Outside every pool of the tests.
		f.networks[o.id] = &fakeNetwork{fakeObject: o, subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(f.last >> 4), byte(f.last&15) << 4}), 28)}
	case kindVolume:
		f.volumes[name] = &fakeVolume{fakeObject: o}
	default:
		t.Fatalf("there is no kind %q", kind)
	}
	f.hint(o)
}

// Labels returns an object's labels.
func (f FakeManual) Labels(_ testing.TB, kind, name string) (labels map[string]string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all().each(func(k string, o fakeObject) {
		if k == kind && o.name == name {
			labels, ok = maps.Clone(o.labels), true
		}
	})
	return labels, ok
}

// Healthy reports whether a prober would find the program behind an address
// well: it runs, listens, and is not sick.
func (f *Fake) Healthy(addr netip.AddrPort) bool {
	_, ok := f.ask(addr, "/health")
	return ok
}

// Get asks the program behind an address what the test image answers.
func (f FakeManual) Get(_ testing.TB, addr netip.AddrPort, path string) (string, bool) {
	return f.ask(addr, path)
}

func (f *Fake) ask(addr netip.AddrPort, path string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, err := url.Parse(path)
	if err != nil || !addr.IsValid() {
		return "", false
	}
	for _, c := range f.containers {
		if f.addressOf(c) != addr {
			continue
		}
		if p := f.images[c.service.Image]; p.Deaf || p.Sick {
			return "", false
		}
		return f.answer(c, u)
	}
	return "", false
}

func (f *Fake) answer(c *fakeContainer, u *url.URL) (string, bool) {
	file := ""
	for _, m := range c.mounts() {
		if m.Target == "/data" {
			file = m.Volume + " /data/value"
		}
	}
	switch u.Path {
	case "/health":
		return "ok", true
	case "/secret":
		for _, s := range c.service.Secrets {
			if s.Name == u.Query().Get("name") {
				return "0400 " + c.service.User + " " + s.Value, true
			}
		}
		return "", true
	case "/env":
		i := slices.IndexFunc(c.service.Environment, func(v berth.EnvVar) bool { return v.Name == u.Query().Get("name") })
		if i < 0 {
			return "", true
		}
		return c.service.Environment[i].Value, true
	case "/lookup":
		var addrs []string
		for _, other := range f.all().containers {
			if other.network == c.network && other.named && other.service.Name == u.Query().Get("name") && other.state == berth.InstanceRunning {
				addrs = append(addrs, other.address.String())
			}
		}
		slices.Sort(addrs)
		return strings.Join(addrs, " "), len(addrs) > 0
	case "/put":
		f.data[file] = u.Query().Get("v")
		return "", true
	case "/get":
		v, ok := f.data[file]
		return v, ok
	}
	return "", false
}

// RemoveAll removes every object that has a tenant's name or label.
func (f FakeManual) RemoveAll(_ testing.TB, org string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mine := func(o fakeObject) bool { return strings.Contains(o.name, org) || o.labels[berth.LabelTenantID] == org }
	maps.DeleteFunc(f.containers, func(_ string, c *fakeContainer) bool { return mine(c.fakeObject) })
	maps.DeleteFunc(f.networks, func(_ string, n *fakeNetwork) bool { return mine(n.fakeObject) })
	for name, v := range f.volumes {
		if mine(v.fakeObject) {
			f.dropVolume(name)
		}
	}
}

// HeldTwice names the volumes that containers of two specs held at the same time
// though they were not to be shared, each with the containers.
func (f *Fake) HeldTwice() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.writers)
}

// hold notes if a container that starts writes to what another one holds. The
// lock is held.
func (f *Fake) hold(c *fakeContainer) {
	for _, m := range c.mounts() {
		v := f.volumes[m.Volume]
		if m.ReadOnly || v == nil || v.shared {
			continue
		}
		for _, other := range f.containers {
			writes := slices.ContainsFunc(other.mounts(), func(o berth.Mount) bool { return o.Volume == m.Volume && !o.ReadOnly })
			if other.id != c.id && other.labels[berth.LabelGeneration] != c.labels[berth.LabelGeneration] && writes && other.state == berth.InstanceRunning {
				f.writers = append(f.writers, m.Volume+": "+other.name+" and "+c.name)
			}
		}
	}
}

// Dump describes everything that the engine holds, one object a line, without
// ids and times: two engines that hold the same give the same.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, c := range f.all().containers {
		fmt.Fprintf(&b, "container %s %s image=%s hash=%s cpu=%v memory=%d connected=%t\n", c.name, c.state, c.service.Image,
			c.labels[berth.LabelSpecHash], c.limits.CPU, c.limits.MemoryMB, f.networks[c.network] != nil)
	}
	for _, n := range f.all().networks {
		fmt.Fprintf(&b, "network %s %s\n", n.name, n.subnet)
	}
	for _, name := range slices.Sorted(maps.Keys(f.volumes)) {
		fmt.Fprintf(&b, "volume %s %q\n", name, f.data[name+" /data/value"])
	}
	return b.String()
}
