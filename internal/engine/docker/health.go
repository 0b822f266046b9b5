package docker

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/unite-hub/berth"
)

// healthOf is what the Engine's health check of a container says, and what it last
// answered where that is not good.
func healthOf(h *container.Health) (health berth.InstanceHealth, cause string) {
	if h == nil {
		return berth.InstanceUnchecked, ""
	}
	switch h.Status {
	case container.Starting:
		return berth.InstanceStarting, lastAnswer(h)
	case container.Healthy:
		return berth.InstanceHealthy, ""
	case container.Unhealthy:
		return berth.InstanceUnhealthy, lastAnswer(h)
	default:
		return berth.InstanceUnchecked, ""
	}
}

// lastAnswer tells in words how the last run of a health check went, "" if it was
// well or none has ended. What it wrote is the tenant's, and quoted.
func lastAnswer(h *container.Health) string {
	if len(h.Log) == 0 || h.Log[len(h.Log)-1] == nil || h.Log[len(h.Log)-1].ExitCode == 0 {
		return ""
	}
	last := h.Log[len(h.Log)-1]
	how := fmt.Sprintf("its health check ended with exit code %d", last.ExitCode)
	if last.ExitCode < 0 { // the Engine's own: it was not to be run, or took too long
		how = "its health check did not end"
	}
	if said := strings.TrimSpace(last.Output); said != "" {
		how += ": " + berth.Quote(said)
	}
	return how
}
