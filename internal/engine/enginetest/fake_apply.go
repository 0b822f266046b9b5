package enginetest

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// Apply takes the same steps as the real engine, one after another.
func (f *Fake) Apply(ctx context.Context, stack berth.Stack) (berth.Observed, error) {
	org := stack.OrganizationID
	specs := instances(stack)
	if err := f.step(ctx, Step{Op: "observe", Tenant: org, Read: true}, func() error { return f.check(stack, specs) }); err != nil {
		return berth.Observed{}, err
	}
	f.mu.Lock()
	for _, v := range stack.Volumes {
		if f.volumes[v.Name] != nil {
			f.volumes[v.Name].shared = v.Shared
		}
	}
	f.mu.Unlock()
	there, err := f.retire(ctx, stack, specs)
	if err != nil {
		return berth.Observed{}, err
	}
	if err := f.guard(ctx, stack, specs, there); err != nil {
		return berth.Observed{}, err
	}
	if err := f.ensureNetwork(ctx, stack); err != nil {
		return berth.Observed{}, err
	}
	for _, spec := range specs {
		if there[spec.Name] == nil {
			if there[spec.Name], err = f.create(ctx, stack, spec); err != nil {
				return berth.Observed{}, err
			}
		}
		if err := f.nameInside(ctx, stack, there[spec.Name], spec); err != nil {
			return berth.Observed{}, err
		}
	}
	waves := waves(stack)
	if !stack.Run {
		slices.Reverse(waves)
	}
	for _, spec := range slices.Concat(waves...) {
		if err := f.ensureState(ctx, stack, there[spec.Name], spec); err != nil {
			return berth.Observed{}, err
		}
	}
	var o berth.Observed
	err = f.step(ctx, Step{Op: "observe", Tenant: org, Read: true}, func() error {
		o = f.observed(org)
		// Like the real engine, it does not look for copied labels here.
		o.Foreign = slices.DeleteFunc(o.Foreign, func(x berth.Foreign) bool { return namedFor(x.Name) != org && !composed(f.containers[x.ID], org) })
		return nil
	})
	if len(o.Foreign) == 0 {
		o.Foreign = nil
	}
	return o, err
}

// check refuses what must not be done at all. The lock is held.
func (f *Fake) check(stack berth.Stack, specs []instance) error {
	wanted := map[[2]string]bool{{kindNetwork, stack.Network}: true}
	for _, spec := range specs {
		if u := strings.Split(spec.Service.User, ":")[0]; u == "root" || strings.Trim(u, "0") == "" {
			return berth.Errorf(berth.CodeEngineRefused, "Service %s would run as root", spec.Service.Name).WithHint("name another user")
		}
		wanted[[2]string{kindContainer, spec.Name}] = true
	}
	for _, v := range stack.Volumes {
		wanted[[2]string{kindVolume, v.Name}] = true
	}
	for _, x := range f.observed(stack.OrganizationID).Foreign {
		c := f.containers[x.ID]
		runs := stack.Run && composed(c, stack.OrganizationID) && slices.ContainsFunc(stack.Services, func(s berth.Service) bool { return s.Name == c.labels["com.docker.compose.service"] })
		if wanted[[2]string{x.Kind, x.Name}] || runs {
			return berth.Errorf(berth.CodeForeignObject, "There is a %s named %s that Berth did not make", x.Kind, x.Name).WithHint("take it back with berth adopt, or remove it yourself")
		}
	}
	for _, v := range stack.Volumes {
		_, ofImage := berth.ImageVolumeTarget(v.Name)
		if v.Recorded && !ofImage && f.volumes[v.Name] == nil {
			return berth.Errorf(berth.CodeDataMissing, "Volume %s was made before and is not there", v.Name).WithHint("restore it")
		}
	}
	return nil
}

// retire removes the containers that the stack does not call for, and gives
// those that were made beside them their names. It returns what is there of
// each spec, by its name.
func (f *Fake) retire(ctx context.Context, stack berth.Stack, specs []instance) (map[string]*fakeContainer, error) {
	org := stack.OrganizationID
	f.mu.Lock()
	byID := map[string]*fakeContainer{}
	var have []berth.Instance
	for _, c := range f.objectsOf(org).containers {
		if f.ours(kindContainer, c.fakeObject) {
			byID[c.id] = c
			have = append(have, f.seen(c))
		}
	}
	kept, extra := stack.Pair(have)
	there, old := map[string]*fakeContainer{}, []*fakeContainer{}
	for _, spec := range specs {
		c := byID[kept[spec.Slot].ID]
		switch {
		case c == nil:
		case c.network != "" && f.networks[c.network] == nil && c.state != berth.InstanceRunning,
			f.unrouted && c.service.Main && c.port == 0 && c.state == berth.InstanceRunning:
			old = append(old, c)
		default:
			there[spec.Name] = c
		}
	}
	for _, c := range extra {
		if !stack.MayStand(c) {
			old = append(old, byID[c.ID])
		}
	}
	renames := swaps(org, specs, there, old)
	f.mu.Unlock()
	for _, r := range renames {
		if f.taken(r.name) {
			continue // by one that stays
		}
		if err := f.rename(ctx, org, r.c, r.name); err != nil {
			return nil, err
		}
	}
	for _, c := range old {
		if err := f.discard(ctx, org, c); err != nil {
			return nil, err
		}
	}
	return there, nil
}

type renaming struct {
	c    *fakeContainer
	name string
}

// swaps gives what was made beside others the names that those have, and those
// their generation's. The lock is held.
func swaps(org string, specs []instance, there map[string]*fakeContainer, old []*fakeContainer) (list []renaming) {
	for _, spec := range specs {
		c := there[spec.Name]
		if c == nil || c.name == spec.Name {
			continue
		}
		if i := slices.IndexFunc(old, func(c *fakeContainer) bool { return c.name == spec.Name }); i >= 0 {
			generation, _ := strconv.Atoi(old[i].labels[berth.LabelGeneration])
			list = append(list, renaming{old[i], stagedName(org, generation, old[i].service.Name, old[i].replica)})
		}
		list = append(list, renaming{c, spec.Name})
	}
	return list
}

func (f *Fake) taken(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.named(name) != nil
}

// nameOf is a container's name now: somebody may be renaming it.
func (f *Fake) nameOf(c *fakeContainer) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.name
}

func (f *Fake) rename(ctx context.Context, org string, c *fakeContainer, name string) error {
	return f.step(ctx, Step{Op: "rename container " + f.nameOf(c), Tenant: org}, func() error {
		c.name = name
		return nil
	})
}

// discard stops a container, then removes it.
func (f *Fake) discard(ctx context.Context, org string, c *fakeContainer) error {
	name := f.nameOf(c)
	if err := f.step(ctx, Step{Op: "stop container " + name, Tenant: org}, func() error {
		c.keep = false
		f.halt(c, 0)
		return nil
	}); err != nil {
		return err
	}
	return f.step(ctx, Step{Op: "remove container " + name, Tenant: org}, func() error {
		delete(f.containers, c.id)
		f.hint(c.fakeObject)
		return nil
	})
}

func (f *Fake) ensureNetwork(ctx context.Context, stack berth.Stack) error {
	f.mu.Lock()
	exists := f.networkOf(stack.OrganizationID) != nil
	f.mu.Unlock()
	if exists {
		return nil
	}
	return f.step(ctx, Step{Op: "create network", Tenant: stack.OrganizationID}, func() error {
		for _, n := range f.networks {
			if n.subnet.Overlaps(stack.Subnet) {
				return berth.Errorf(berth.CodeSubnetTaken, "Subnet %s overlaps network %s", stack.Subnet, n.name).WithHint("another subnet will do")
			}
		}
		n := &fakeNetwork{subnet: stack.Subnet, fakeObject: fakeObject{
			id: f.nextID(kindNetwork), name: stack.Network, labels: f.sealed(map[string]string{}, kindNetwork, stack.Network, stack, ""),
		}}
		f.networks[n.id] = n
		return nil
	})
}

// networkOf returns a tenant's own network, nil if it has none. The lock is held.
func (f *Fake) networkOf(org string) *fakeNetwork {
	for _, n := range f.objectsOf(org).networks {
		if f.ours(kindNetwork, n.fakeObject) {
			return n
		}
	}
	return nil
}

func (f *Fake) named(name string) *fakeContainer {
	for _, c := range f.containers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// create makes one container, under its staged name if its own is taken.
func (f *Fake) create(ctx context.Context, stack berth.Stack, spec instance) (c *fakeContainer, err error) {
	name := spec.Name
	if f.taken(name) {
		name = stagedName(stack.OrganizationID, stack.Generation, spec.Service.Name, spec.Replica)
	}
	err = f.step(ctx, Step{Op: "create container " + name, Tenant: stack.OrganizationID}, func() error {
		if _, ok := f.images[spec.Service.Image]; !ok {
			return berth.Errorf(berth.CodeImageNotFound, "The engine does not have the image %s", spec.Service.Image).WithHint("deploy again")
		}
		stored := f.imageMounts(stack.OrganizationID, spec)
		for _, m := range stored {
			named := func(v berth.Volume) bool { return v.Name == m.Volume && v.Recorded }
			if f.volumes[m.Volume] == nil && slices.ContainsFunc(stack.Volumes, named) {
				return berth.Errorf(berth.CodeDataMissing, "Volume %s was made before and is not there", m.Volume).WithHint("restore it")
			}
		}
		labels := map[string]string{}
		for k, v := range spec.Service.Labels {
			labels[k] = v
		}
		labels[berth.LabelTenantName], labels[berth.LabelService] = stack.Name, spec.Service.Name
		labels[berth.LabelReplica] = strconv.Itoa(spec.Replica)
		c = &fakeContainer{
			fakeObject: fakeObject{
				id: f.nextID(kindContainer), name: name, labels: f.sealed(labels, kindContainer, name, stack, spec.Hash),
			},
			service: *spec.Service, stored: stored, replica: spec.Replica, state: berth.InstanceCreated, limits: f.effective(spec.Service.Limits), pids: spec.Service.PidsLimit,
			named: !spec.Service.Hidden(),
		}
		f.containers[c.id] = c
		for _, m := range c.mounts() {
			if f.volumes[m.Volume] == nil {
				shared := slices.ContainsFunc(stack.Volumes, func(v berth.Volume) bool { return v.Name == m.Volume && v.Shared })
				f.volumes[m.Volume] = &fakeVolume{shared: shared, fakeObject: fakeObject{id: m.Volume, name: m.Volume, labels: f.sealed(map[string]string{}, kindVolume, m.Volume, stack, "")}}
			}
		}
		return nil
	})
	return c, err
}

// nameInside lets a container be found by its service's name in the network.
func (f *Fake) nameInside(ctx context.Context, stack berth.Stack, c *fakeContainer, spec instance) error {
	if spec.Service.Hidden() || c.named {
		return nil
	}
	return f.step(ctx, Step{Op: "name container " + spec.Name, Tenant: stack.OrganizationID}, func() error {
		c.named = true
		return nil
	})
}

// effective is what the engine can give of limits.
func (f *Fake) effective(l berth.Limits) berth.Limits {
	return berth.Limits{CPU: l.EffectiveCPU(f.cores), MemoryMB: l.MemoryMB}
}

// ensureState connects, limits, starts or stops one container.
func (f *Fake) ensureState(ctx context.Context, stack berth.Stack, c *fakeContainer, spec instance) error {
	f.mu.Lock()
	if f.containers[c.id] == nil { // removed by hand in the meantime
		f.mu.Unlock()
		return asError(berth.Errorf(berth.CodeEngineUnavailable, "container %s has gone meanwhile", spec.Name).WithHint("try again"),
			Step{Op: "look at container", Tenant: stack.OrganizationID})
	}
	up := isUp(c)
	adrift := up && f.networks[c.network] == nil
	limits := f.effective(spec.Service.Limits)
	limit := c.limits != limits || c.pids != spec.Service.PidsLimit
	besides := len(c.besides) > 0
	state := c.state
	f.mu.Unlock()

	take := func(op string, fn func() error) error {
		return f.step(ctx, Step{Op: op + " container " + spec.Name, Tenant: stack.OrganizationID}, fn)
	}
	if adrift {
		if err := take("connect", func() error { return f.connect(c, stack.OrganizationID) }); err != nil {
			return err
		}
	}
	if limit {
		if err := take("limit", func() error { c.limits, c.pids = limits, spec.Service.PidsLimit; return nil }); err != nil {
			return err
		}
	}
	if besides {
		if err := take("disconnect", func() error { c.besides = nil; return nil }); err != nil {
			return err
		}
	}
	switch {
	case stack.Run && spec.Service.Once && state == berth.InstanceExited:
		return nil
	case stack.Run && state == berth.InstancePaused:
		return take("resume", func() error { c.state = berth.InstanceRunning; return nil })
	case stack.Run && !up:
		return take("start", func() error { return f.start(c, stack.OrganizationID) })
	case !stack.Run && up:
		return take("stop", func() error { c.keep = false; f.halt(c, 0); return nil })
	}
	return nil
}

// connect gives a container the lowest free address of its tenant's network.
// The lock is held.
func (f *Fake) connect(c *fakeContainer, org string) error {
	n := f.networkOf(org)
	if n == nil {
		return berth.Errorf(berth.CodeEngineUnavailable, "network of %s has gone meanwhile", c.name).WithHint("try again")
	}
	taken := map[netip.Addr]bool{n.subnet.Addr(): true, n.subnet.Addr().Next(): true} // network and gateway
	for _, other := range f.containers {
		if other.network == n.id && other.id != c.id {
			taken[other.address] = true
		}
	}
	for a := n.subnet.Addr(); n.subnet.Contains(a); a = a.Next() {
		if !taken[a] && n.subnet.Contains(a.Next()) { // the last one is for broadcast
			c.network, c.address = n.id, a
			return nil
		}
	}
	return berth.Errorf(berth.CodeEngineRefused, "no free address in %s", n.subnet).WithHint("use fewer replicas")
}

// start starts a container. The lock is held.
func (f *Fake) start(c *fakeContainer, org string) error {
	if strings.Trim(c.service.User, "0123456789:") != "" {
		return berth.Errorf(berth.CodeEngineRefused, "unable to find user %s", c.service.User).WithHint("name a user that the image has")
	}
	if err := f.connect(c, org); err != nil {
		return err
	}
	f.hold(c)
	c.keep = !c.service.Once
	c.started = f.tick()
	if f.unrouted && c.service.Main {
		c.port = 40000 + f.last%20000
	}
	c.state, c.exit, c.oom = berth.InstanceRunning, 0, false
	f.starts[c.name]++
	code := f.images[c.service.Image].ExitCode
	if n, ok := exitCode(c.service.Command); ok {
		code = n
	}
	switch {
	case c.service.Once: // it ends at once
		c.state, c.exit, c.address = berth.InstanceExited, code, netip.Addr{}
	case code != 0 && len(c.service.Secrets) > 0: // nothing starts it again
		c.state, c.exit, c.address = berth.InstanceExited, code, netip.Addr{}
	case code != 0:
		c.state, c.exit, c.restarts = berth.InstanceRestarting, code, c.restarts+1
	}
	if c.state != berth.InstanceRunning {
		f.hintEnd(c, code)
		return nil
	}
	f.hint(c.fakeObject)
	return nil
}

// tick is the next moment of the fake's own time. The lock is held.
func (f *Fake) tick() time.Time {
	f.last++
	return time.Time{}.AddDate(2000, 0, 0).Add(time.Duration(f.last) * time.Second)
}

// exitCode is what a command asks the program to end with.
func exitCode(command []string) (code int, asked bool) {
	for _, arg := range command {
		if n, ok := strings.CutPrefix(arg, "exit:"); ok {
			code, err := strconv.Atoi(n)
			return code, err == nil
		}
	}
	return 0, false
}

// isUp reports whether a container has processes, or will by itself.
func isUp(c *fakeContainer) bool {
	return c.state == berth.InstanceRunning || c.state == berth.InstanceRestarting || c.state == berth.InstancePaused
}

// halt ends a container's process. The lock is held.
func (f *Fake) halt(c *fakeContainer, code int) {
	if isUp(c) {
		c.state, c.exit, c.port, c.address = berth.InstanceExited, code, 0, netip.Addr{}
		f.hintEnd(c, code)
	}
}
