package enginetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/unite-hub/berth"
)

func (f *Fake) seen(c *fakeContainer) berth.Instance {
	generation, _ := strconv.Atoi(c.labels[berth.LabelGeneration]) // the fake wrote it
	var writes []string
	for _, m := range c.mounts() {
		if !m.ReadOnly {
			writes = append(writes, m.Volume)
		}
	}
	slices.Sort(writes)
	seen := berth.Instance{
		StopGrace: time.Duration(c.service.StopGrace) * time.Second, Differs: f.differences(c),
		ID: c.id, Name: c.name, Service: c.service.Name, Replica: c.replica, Generation: generation,
		Hash: c.labels[berth.LabelSpecHash], Image: c.service.Image, State: c.state, ExitCode: c.exit, OOMKilled: c.oom,
		Unattended: len(c.service.Secrets) > 0, Restarts: c.restarts, StartedAt: c.started, Address: f.addressOf(c), Writes: writes, CPU: c.limits.CPU, MemoryMB: c.limits.MemoryMB,
	}
	seen.Health, seen.HealthCause = f.health(c)
	seen.Beside = isStaged(c.labels[berth.LabelTenantID], seen)
	return seen
}

// differences are what was changed by hand on a container. The lock is held.
func (f *Fake) differences(c *fakeContainer) (list []string) {
	if c.state == berth.InstanceRunning && f.networks[c.network] == nil {
		list = append(list, "is cut off the tenant's network")
	}
	for _, other := range c.besides {
		list = append(list, "is also connected to network "+other)
	}
	if c.pids != c.service.PidsLimit {
		list = append(list, "has another limit of processes")
	}
	return list
}

// health is what the container's own health check says. The lock is held.
func (f *Fake) health(c *fakeContainer) (health berth.InstanceHealth, cause string) {
	if c.service.HealthProbe == nil || c.state != berth.InstanceRunning {
		return berth.InstanceUnchecked, ""
	}
	code, _ := exitCode(c.service.HealthProbe.Test)
	switch {
	case f.images[c.service.Image].Unwell || code != 0:
		return berth.InstanceStarting, fmt.Sprintf("its health check ended with exit code %d", max(code, 1))
	default:
		return berth.InstanceHealthy, ""
	}
}
