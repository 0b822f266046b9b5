package docker

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// openFiles is the limit of open files of one process in a container. An Engine
// without the right to raise limits (CAP_SYS_RESOURCE, often missing where it
// runs inside something else) refuses one above its own, which is seldom
// below 20,000.
const openFiles = 16384

// body is a container as it is asked for. Every field is set from a typed
// field of the stack; what is not named here, such as binds, devices, added
// capabilities and the host's namespaces, no stack can have.
//
// name is spec's, or its staged one.
func (e *Engine) body(s berth.Stack, spec instance, name string, f *facts) (client.ContainerCreateOptions, error) {
	svc := spec.Service
	if isRoot(svc.User) {
		return client.ContainerCreateOptions{}, berth.Errorf(berth.CodeEngineRefused, "Service %s would run as root", svc.Name).
			WithHint("name a user other than 0 in the blueprint, such as 65532:65532; %s was given", berth.Quote(svc.User))
	}
	env := make([]string, 0, len(svc.Environment))
	for _, v := range svc.Environment {
		env = append(env, v.Name+"="+v.Value)
	}
	cfg := &container.Config{
		User:        svc.User,
		Env:         env,
		Image:       svc.Image,
		Cmd:         svc.Command,
		Entrypoint:  svc.Entrypoint,
		WorkingDir:  svc.WorkingDir,
		Healthcheck: healthcheck(svc),
		StopSignal:  svc.StopSignal,
		StopTimeout: &svc.StopGrace,
		Labels:      e.containerLabels(s, spec, name, f),
	}
	pids := svc.PidsLimit
	host := &container.HostConfig{
		NetworkMode:    container.NetworkMode(s.Network),
		RestartPolicy:  container.RestartPolicy{Name: restartPolicy(svc)},
		CapDrop:        []string{"ALL"},
		CapAdd:         svc.Capabilities,
		ShmSize:        int64(svc.ShmMB) * berth.BytesPerMB,
		SecurityOpt:    []string{"no-new-privileges:true"},
		ReadonlyRootfs: true,
		IpcMode:        container.IPCModePrivate,
		CgroupnsMode:   container.CgroupnsModePrivate,
		Runtime:        e.Runtime,
		Tmpfs:          map[string]string{},
		LogConfig: container.LogConfig{Type: "local", Config: map[string]string{
			"max-size": strconv.Itoa(e.LogMaxMB) + "m", "max-file": "3",
		}},
		Resources: resources(svc.Limits, f.info.Cores),
	}
	host.PidsLimit = &pids
	host.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: openFiles, Hard: openFiles}}
	if f.hasInit {
		yes := true
		host.Init = &yes
	}
	for _, t := range svc.Tmpfs {
		host.Tmpfs[t.Target] = "rw,noexec,nosuid,nodev,mode=1777,size=" + strconv.Itoa(t.SizeMB) + "m"
	}
	for _, m := range svc.Mounts {
		host.Mounts = append(host.Mounts, e.volumeMount(s, m))
	}
	if len(svc.Secrets) > 0 {
		host.Mounts = append(host.Mounts, e.secretsMount(s, spec, true))
	}
	if published(svc, f) {
		port, _ := network.PortFrom(uint16(svc.Port), network.TCP)
		cfg.ExposedPorts = network.PortSet{port: {}}
		host.PortBindings = network.PortMap{port: {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
	}
	cfg.Labels[labelMade] = made{Restart: host.RestartPolicy.Name, Pids: pids, Aliases: aliases(spec)}.label()
	return client.ContainerCreateOptions{
		Name: name, Config: cfg, HostConfig: host,
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.Network: endpoint(spec)}},
	}, nil
}

// volumeMount mounts a volume of the tenant. The Engine makes one that is absent,
// with these labels.
func (e *Engine) volumeMount(s berth.Stack, m berth.Mount) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: m.Volume, Target: m.Target, ReadOnly: m.ReadOnly,
		VolumeOptions: &mount.VolumeOptions{Labels: e.volumeLabels(s, m.Volume)},
	}
}

// restartPolicy says whether the Engine starts a container again when it ends.
// One that gets secrets as files would find an empty directory: the loop starts
// it.
func restartPolicy(svc *berth.Service) container.RestartPolicyMode {
	if svc.Once || len(svc.Secrets) > 0 {
		return container.RestartPolicyDisabled
	}
	return container.RestartPolicyUnlessStopped
}

// healthcheck is the command that the Engine runs inside the container; nil
// leaves it to the image.
func healthcheck(svc *berth.Service) *container.HealthConfig {
	switch p := svc.HealthProbe; {
	case svc.NoHealth:
		return &container.HealthConfig{Test: []string{"NONE"}}
	case p == nil:
		return nil
	default:
		return &container.HealthConfig{
			Test: p.Test, Interval: p.Interval, Timeout: p.Timeout, Retries: p.Retries, StartPeriod: p.StartPeriod,
		}
	}
}

// volumeLabels are ours and compose's, which takes a volume for its own by
// them.
func (e *Engine) volumeLabels(s berth.Stack, name string) map[string]string {
	labels := map[string]string{"com.docker.compose.project": s.Project}
	if i := slices.IndexFunc(s.Volumes, func(v berth.Volume) bool { return v.Name == name }); i >= 0 {
		labels["com.docker.compose.volume"] = s.Volumes[i].Key
	} else if _, ok := berth.ImageVolumeTarget(name); ok {
		labels["com.docker.compose.volume"] = strings.TrimPrefix(name, berth.VolumeName(s.OrganizationID, ""))
	}
	return e.sealed(labels, kindVolume, name, s, "")
}

// published reports whether a service's port has to be published on the
// loopback address for the edge to reach it.
func published(svc *berth.Service, f *facts) bool {
	return svc.Main && svc.Port > 0 && !f.info.Routed
}

func (e *Engine) containerLabels(s berth.Stack, spec instance, name string, f *facts) map[string]string {
	svc := spec.Service
	labels := make(map[string]string, len(svc.Labels)+10)
	for k, v := range svc.Labels {
		labels[k] = v
	}
	labels[berth.LabelTenantName] = s.Name
	labels[berth.LabelService] = svc.Name
	labels[berth.LabelReplica] = strconv.Itoa(spec.Replica)
	labels["com.docker.compose.container-number"] = strconv.Itoa(spec.Replica)
	labels[berth.LabelPort] = strconv.Itoa(svc.Port)
	labels[labelGrace] = strconv.Itoa(svc.StopGrace)
	if len(svc.Secrets) > 0 {
		labels[labelSecrets] = "true"
	}
	if published(svc, f) {
		labels[labelPublished] = "true"
	}
	return e.sealed(labels, kindContainer, name, s, spec.Hash)
}

// endpoint gives a container its names inside the tenant's network.
func endpoint(spec instance) *network.EndpointSettings {
	if spec.Service.Hidden() {
		return &network.EndpointSettings{}
	}
	return &network.EndpointSettings{Aliases: aliases(spec)}
}

// aliases are the names by which a container is found inside the network.
func aliases(spec instance) []string {
	return append([]string{spec.Service.Name, spec.Service.Name + "-" + strconv.Itoa(spec.Replica)}, spec.Service.Aliases...)
}

// resources are the limits that can be changed on a living container. Memory
// and swap are equal: no swap.
func resources(l berth.Limits, cores int) container.Resources {
	bytes := int64(l.MemoryMB) * berth.BytesPerMB
	return container.Resources{
		Memory: bytes, MemorySwap: bytes, NanoCPUs: berth.NanoCPUs(l.EffectiveCPU(cores)),
	}
}

// isRoot reports whether a container with this user would run as user 0. An
// empty one would: the image decides then.
func isRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	n, err := strconv.ParseUint(name, 10, 32)
	return name == "" || name == "root" || err == nil && n == 0
}

// stop ends a container with its stop signal, and by force after grace
// seconds. One that does not run is left as it is.
func (e *Engine) stop(ctx context.Context, s step, c container.Summary, grace int) error {
	if c.State == container.StatePaused {
		// A paused process can't take the stop signal.
		err := e.do(ctx, s, e.ChangeTimeout, func(ctx context.Context) error {
			_, err := e.api.ContainerUnpause(ctx, c.ID, client.ContainerUnpauseOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	limit := seconds(grace) + e.StopSlack
	return e.do(ctx, s, limit, func(ctx context.Context) error {
		_, err := e.api.ContainerStop(ctx, c.ID, client.ContainerStopOptions{Timeout: &grace})
		return err
	})
}

// What becomes of the volumes of a container that nobody named: the Engine makes
// one for each path that an image declares and nothing is mounted at. Ours have
// none any more, unless they were made before Berth named those; a bearer's hold
// nothing.
const (
	keepUnnamed = false // nobody ordered them gone
	dropUnnamed = true
)

// discard stops a container and removes it. Its named volumes stay. That it is
// gone already is what was wanted.
func (e *Engine) discard(ctx context.Context, tenant string, c container.Summary, unnamed bool) error {
	s := step{"remove container " + nameOf(c), tenant}
	if isUp(c.State) {
		if err := e.stop(ctx, s, c, graceOf(c)); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	err := e.do(ctx, s, e.ChangeTimeout, func(ctx context.Context) error {
		// By force, because the restart policy may have started it again.
		_, err := e.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: unnamed})
		return err
	})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err): // it is being removed already
		return e.vanished(ctx, s, c.ID)
	default:
		return err
	}
}

// vanished waits until a container that is being removed is gone.
func (e *Engine) vanished(ctx context.Context, s step, id string) error {
	return e.do(ctx, s, e.ChangeTimeout, func(ctx context.Context) error {
		for {
			_, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
			if errdefs.IsNotFound(err) {
				return nil
			}
			if err == nil {
				err = pause(ctx)
			}
			if err != nil {
				return err
			}
		}
	})
}

// isUp reports whether a container has a process, or will by itself.
func isUp(s container.ContainerState) bool {
	return s == container.StateRunning || s == container.StateRestarting || s == container.StatePaused
}

// graceOf is how long a container of ours may take to stop, in seconds.
func graceOf(c container.Summary) int { return grace(c.Labels) }

func grace(labels map[string]string) int {
	n, err := strconv.Atoi(labels[labelGrace])
	if err != nil {
		return 10 // the Engine's default
	}
	return n
}
