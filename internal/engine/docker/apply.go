package docker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
)

// atOnce bounds the calls that run at the same time for one tenant.
const atOnce = 4

// application is one Apply: the stack, what the Engine had at the beginning,
// and what became of it.
type application struct {
	*Engine
	stack berth.Stack
	specs []instance
	facts *facts
	have  holding

	network *network.Summary             // that is kept, nil if one has to be made
	kept    map[string]container.Summary // by the name in the spec, whatever name it has
	adrift  map[string]bool              // kept and running, but without the tenant's network
	stays   map[string]string            // name to id of what is left as it is

	images map[string]*imageConfig // by pin, of those that something is made from; nil for one that is not there
	stored []string                // names of the volumes that those images declare

	mu        sync.Mutex
	networkID string
	ids       map[string]string                    // container name to id, of all that exist
	inspected map[string]container.InspectResponse // by name; gone once it is no longer true
}

// Apply makes the Engine hold exactly this stack. Nothing is lost if it is cut
// off anywhere: the next one starts from what is there.
func (e *Engine) Apply(ctx context.Context, stack berth.Stack) (berth.Observed, error) {
	f, err := e.facts(ctx)
	if err != nil {
		return berth.Observed{}, err
	}
	have, err := e.look(ctx, stack.OrganizationID, byName)
	if err != nil {
		return berth.Observed{}, err
	}
	a := &application{
		Engine: e, stack: stack, specs: instances(stack), facts: f, have: have,
		kept: map[string]container.Summary{}, adrift: map[string]bool{}, stays: map[string]string{},
		ids: map[string]string{}, inspected: map[string]container.InspectResponse{},
	}
	// Stop-first, but for services that are to be made beside: nothing new is
	// made before what it replaces is gone, so two generations never write to
	// one volume.
	for _, next := range []func(context.Context) error{a.check, a.retire, a.inspectImages, a.guard, a.build, a.limit, a.name, a.run, a.tidy} {
		if err := next(ctx); err != nil {
			return berth.Observed{}, err
		}
	}
	return a.observed(ctx)
}

// check refuses what must not be done at all, before anything is.
func (a *application) check(context.Context) error {
	op := step{"check what is there", a.stack.OrganizationID}
	wanted := map[[2]string]bool{{kindNetwork, a.stack.Network}: true}
	for _, spec := range a.specs {
		wanted[[2]string{kindContainer, spec.Name}] = true
		if len(spec.Service.Secrets) > 0 {
			wanted[[2]string{kindVolume, secretsVolume(a.stack, spec)}] = true
			wanted[[2]string{kindContainer, bearerName(a.stack, spec)}] = true
		}
	}
	for _, v := range a.stack.Volumes {
		wanted[[2]string{kindVolume, v.Name}] = true
	}
	for _, f := range a.have.foreign {
		service, runs := a.have.runByCompose(f, a.stack.OrganizationID)
		beside := runs && a.stack.Run && slices.ContainsFunc(a.stack.Services, func(s berth.Service) bool { return s.Name == service })
		if wanted[[2]string{f.Kind, f.Name}] || beside {
			return foreignError(f).WithOp(op.op, op.tenant)
		}
	}
	for _, v := range a.stack.Volumes {
		_, ofImage := berth.ImageVolumeTarget(v.Name) // the next image may not want it
		if v.Recorded && !ofImage && !slices.ContainsFunc(a.have.volumes, func(h volume.Volume) bool { return h.Name == v.Name }) {
			return missing(v.Name).WithOp(op.op, op.tenant)
		}
	}
	a.chooseNetwork()
	return nil
}

func missing(volume string) *berth.Error {
	return berth.Errorf(berth.CodeDataMissing, "Volume %s was made before and is not there", volume).
		WithHint("restore it from a backup, or deprovision the tenant with volumes=delete to give the data up; Berth starts nothing on an empty volume in its place")
}

// chooseNetwork keeps the network of ours that has the wanted subnet. One with
// another subnet stays only while something runs in it: then it is the truth,
// and what is observed says so.
func (a *application) chooseNetwork() {
	running := slices.ContainsFunc(a.have.containers, func(c container.Summary) bool { return isUp(c.State) })
	for i, n := range a.have.networks {
		if subnetOf(n.Network) == a.stack.Subnet {
			a.network = &a.have.networks[i]
			return
		}
	}
	if running && len(a.have.networks) > 0 {
		a.network = &a.have.networks[0]
	}
}

// retire removes the containers and networks of ours that the stack does not
// call for, and lets what was made beside them have their names.
func (a *application) retire(ctx context.Context) error {
	summaries := make(map[string]container.Summary, len(a.have.containers)) // by id
	have := make([]berth.Instance, 0, len(a.have.containers))
	for _, c := range a.have.containers {
		summaries[c.ID] = c
		seen := labelled(c.ID, nameOf(c), c.Labels)
		seen.State = stateOf(c.State)
		have = append(have, seen)
	}
	kept, extra := a.stack.Pair(have)
	var goes []container.Summary
	for _, spec := range a.specs {
		c, ok := summaries[kept[spec.Slot].ID]
		switch {
		case ok && a.usable(c, spec):
			a.kept[spec.Name], a.ids[spec.Name] = c, c.ID
		case ok:
			goes = append(goes, c)
		}
	}
	for _, c := range extra {
		if a.stack.MayStand(c) {
			a.stays[c.Name] = c.ID
		} else {
			goes = append(goes, summaries[c.ID])
		}
	}
	if err := a.swap(ctx, goes); err != nil {
		return err
	}
	g := bounded()
	for _, c := range goes {
		g.Go(func() error { return a.discard(ctx, a.stack.OrganizationID, c, keepUnnamed) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, n := range a.have.networks {
		if a.network == nil || n.ID != a.network.ID {
			if err := a.removeNetwork(ctx, a.stack.OrganizationID, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// usable reports whether a container can become what spec asks for without
// being made anew.
func (a *application) usable(c container.Summary, spec instance) bool {
	if c.Labels[berth.LabelSpecHash] != spec.Hash || c.State == container.StateDead || c.State == container.StateRemoving {
		return false
	}
	if published(spec.Service, a.facts) && c.Labels[labelPublished] == "" {
		return false
	}
	if c.Labels[labelPublished] != "" && c.NetworkSettings != nil && len(others(c.NetworkSettings.Networks, a.stack.Network)) > 0 {
		return false // disconnected from the others, it would be published no more
	}
	if a.connected(c) {
		return true
	}
	// A running container that was cut off is connected again. One whose
	// record still names a network that is gone can't be, nor can one that
	// does not run: the Engine would look for the old network's id.
	if c.State == container.StateRunning && c.Labels[labelPublished] == "" && endpointOf(c, a.stack.Network) == nil {
		a.adrift[spec.Name] = true
		return true
	}
	return false
}

// connected reports whether a container is in the tenant's network, or will be
// when it starts.
func (a *application) connected(c container.Summary) bool {
	end := endpointOf(c, a.stack.Network)
	switch {
	case end == nil:
		return false
	case c.State == container.StateCreated && end.NetworkID == "":
		return true // never started: the Engine will look the network up by name
	default:
		return a.network != nil && end.NetworkID == a.network.ID
	}
}

func endpointOf(c container.Summary, networkName string) *network.EndpointSettings {
	if c.NetworkSettings == nil {
		return nil
	}
	return c.NetworkSettings.Networks[networkName]
}

// build makes the network and the missing containers, at the same time: an
// Engine looks a container's network up only when it starts.
func (a *application) build(ctx context.Context) error {
	networkMade := make(chan struct{})
	g := bounded()
	if a.network != nil {
		a.networkID = a.network.ID
		close(networkMade)
	} else {
		g.Go(func() (err error) {
			defer close(networkMade)
			a.networkID, err = a.makeNetwork(ctx, a.stack)
			return err
		})
	}
	for _, spec := range a.specs {
		if _, ok := a.kept[spec.Name]; ok {
			continue
		}
		g.Go(func() error {
			id, err := a.create(ctx, spec, networkMade)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.ids[spec.Name] = id
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, spec := range a.specs {
		if a.adrift[spec.Name] {
			if err := a.attach(ctx, a.stack, a.networkID, a.ids[spec.Name], spec); err != nil {
				return err
			}
		}
	}
	return nil
}

// create makes one container and returns its id.
func (a *application) create(ctx context.Context, spec instance, networkMade <-chan struct{}) (string, error) {
	name := a.nameFor(spec)
	body, err := a.body(a.stack, spec, name, a.facts)
	if err != nil {
		return "", err
	}
	s := step{"create container " + name, a.stack.OrganizationID}
	if err := a.takeFrom(s, spec, body); err != nil {
		return "", err
	}
	deadline := time.Now().Add(a.ChangeTimeout)
	for waited := false; ; {
		var id string
		err := a.do(ctx, s, a.ChangeTimeout, func(ctx context.Context) error {
			got, err := a.api.ContainerCreate(ctx, body)
			id = got.ID
			return err
		})
		switch {
		case errdefs.IsConflict(err):
			// The name is taken, since we looked, or by a call of ours whose
			// answer was lost.
			id, err = a.adopt(ctx, s, spec, name)
			if id == "" && err == nil && time.Now().Before(deadline) {
				continue
			}
		case errdefs.IsNotFound(err) && !waited:
			// An Engine that wants the network first, or the image is missing.
			waited = true
			<-networkMade
			continue
		case errdefs.IsNotFound(err):
			return "", berth.Errorf(berth.CodeImageNotFound, "The Engine does not have the image %s of service %s: %w", spec.Service.Image, spec.Service.Name, err).
				WithHint("deploy again, so that %s is pulled", spec.Service.Reference).WithOp(s.op, s.tenant)
		}
		if err == nil && id == "" {
			err = berth.Errorf(berth.CodeEngineUnavailable, "The name %s stays taken by a container that can't be seen", name).
				WithHint(engineHint).WithOp(s.op, s.tenant)
		}
		return id, err
	}
}

// adopt looks who has the name under which a container could not be made. It
// returns its id if it is what spec asks for, and "" if the name may be free
// by now.
func (a *application) adopt(ctx context.Context, s step, spec instance, name string) (string, error) {
	h, err := a.look(ctx, a.stack.OrganizationID, byName)
	if err != nil {
		return "", err
	}
	for _, f := range h.foreign {
		if f.Kind == kindContainer && f.Name == name {
			return "", foreignError(f).WithOp(s.op, s.tenant)
		}
	}
	for _, c := range h.containers {
		if nameOf(c) != name {
			continue
		}
		if c.Labels[berth.LabelSpecHash] == spec.Hash && c.State == container.StateCreated {
			return c.ID, nil
		}
		if err := a.discard(ctx, a.stack.OrganizationID, c, keepUnnamed); err != nil {
			return "", err
		}
	}
	// The Engine reserves a name before it shows the container, and frees it
	// after it has stopped showing it.
	if err := pause(ctx); err != nil {
		return "", a.explain(ctx, ctx, a.ChangeTimeout, err).WithOp(s.op, s.tenant)
	}
	return "", nil
}

// run starts or stops containers, as the stack says: each after those that it
// depends on, and the other way round at the end.
func (a *application) run(ctx context.Context) error {
	waves := waves(a.stack)
	if !a.stack.Run {
		slices.Reverse(waves)
	}
	for _, wave := range waves {
		if err := a.runWave(ctx, wave); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) runWave(ctx context.Context, wave []instance) error {
	g := bounded()
	var withSecrets map[string][]instance // by volume: those that start together
	for _, spec := range wave {
		c := a.kept[spec.Name] // the zero value for a new one: created
		c.ID = a.ids[spec.Name]
		switch {
		case a.stack.Run && c.State == container.StatePaused:
			g.Go(func() error { return a.resume(ctx, spec) })
		case a.stack.Run && c.State == container.StateExited && spec.Service.Once:
			// It did what it was made for. What came of it is the loop's to judge.
		case a.stack.Run && !isUp(c.State) && len(spec.Service.Secrets) > 0:
			if withSecrets == nil {
				withSecrets = map[string][]instance{}
			}
			name := secretsVolume(a.stack, spec)
			withSecrets[name] = append(withSecrets[name], spec)
		case a.stack.Run && !isUp(c.State):
			g.Go(func() error { return a.start(ctx, spec) })
		case !a.stack.Run && isUp(c.State):
			g.Go(func() error {
				defer a.forget(spec.Name)
				return a.stop(ctx, step{"stop container " + spec.Name, a.stack.OrganizationID}, c, spec.Service.StopGrace)
			})
		}
	}
	for _, specs := range withSecrets {
		g.Go(func() error { return a.startWithSecrets(ctx, specs) })
	}
	return g.Wait()
}

func (a *application) start(ctx context.Context, spec instance) error {
	defer a.forget(spec.Name)
	return a.do(ctx, step{"start container " + spec.Name, a.stack.OrganizationID}, a.ChangeTimeout, func(ctx context.Context) error {
		_, err := a.api.ContainerStart(ctx, a.ids[spec.Name], client.ContainerStartOptions{})
		return err
	})
}

func (a *application) resume(ctx context.Context, spec instance) error {
	defer a.forget(spec.Name)
	return a.do(ctx, step{"resume container " + spec.Name, a.stack.OrganizationID}, a.ChangeTimeout, func(ctx context.Context) error {
		_, err := a.api.ContainerUnpause(ctx, a.ids[spec.Name], client.ContainerUnpauseOptions{})
		return err
	})
}

// observed returns what is there now. Only what changed is looked at again.
func (a *application) observed(ctx context.Context) (berth.Observed, error) {
	o := berth.Observed{OrganizationID: a.stack.OrganizationID, Network: true, Subnet: a.stack.Subnet, Foreign: a.have.foreign}
	if a.network != nil {
		o.Subnet = subnetOf(a.network.Network)
	}
	for _, v := range a.have.volumes {
		o.Volumes = append(o.Volumes, v.Name)
	}
	for _, spec := range a.specs { // the Engine made these with the containers
		for _, m := range spec.Service.Mounts {
			o.Volumes = append(o.Volumes, m.Volume)
		}
	}
	o.Volumes = append(o.Volumes, a.stored...)
	slices.Sort(o.Volumes)
	o.Volumes = slices.Compact(o.Volumes)

	var mu sync.Mutex
	g := bounded()
	look := func(id string, known container.InspectResponse) {
		g.Go(func() (err error) {
			if known.ID == "" {
				if known, err = a.inspect(ctx, a.stack.OrganizationID, id); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			o.Instances = append(o.Instances, inspected(known, a.facts))
			return nil
		})
	}
	for _, id := range a.stays {
		look(id, container.InspectResponse{})
	}
	for _, spec := range a.specs {
		look(a.ids[spec.Name], a.inspected[spec.Name]) // nobody writes to it any more
	}
	if err := g.Wait(); err != nil {
		return berth.Observed{}, err
	}
	slices.SortFunc(o.Instances, func(x, y berth.Instance) int { return strings.Compare(x.Name, y.Name) })
	return o, nil
}

func (a *application) remember(name string, now container.InspectResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inspected[name] = now
}

func (a *application) forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.inspected, name)
}

// bounded returns a group whose members do not end each other: a call that was
// begun is seen to its end.
func bounded() *errgroup.Group {
	var g errgroup.Group
	g.SetLimit(atOnce)
	return &g
}
