package health

import (
	"time"

	"github.com/unite-hub/berth"
)

// Engine turns what the engine's own health check of a container says into a
// probe. ok is false while that check has not come to a result: there is
// nothing to judge.
//
// An engine says "unhealthy" of a program that answers badly and of one that
// hangs alike, so it is no sign of life. A container without a check of its
// own is unready, never dead: a restart would not bring it one.
func Engine(c berth.Container, at time.Time) (p berth.Probe, ok bool) {
	p = berth.Probe{
		CheckedAt: at.UTC().Truncate(time.Microsecond), Status: berth.ProbeUnhealthy,
		Type: string(berth.ProbeEngine), Endpoint: c.Name,
	}
	switch c.Health {
	case berth.ContainerHealthy:
		p.Status = berth.ProbeHealthy
	case berth.ContainerUnhealthy:
		p.Cause = "the engine's health check fails"
	case berth.ContainerUnchecked:
		p.Alive = true
		p.Cause = "the container has no health check that the engine runs"
	default:
		return berth.Probe{}, false
	}
	return p, true
}
