package serve

import (
	"strconv"

	"github.com/unite-hub/berth/internal/edge"
)

// EdgeLimits bound what the clients of tenants, and tenants' answers, can make
// the edge hold. docs/edge.md says what each is for.
type EdgeLimits struct {
	Connections    int // of one tenant's clients, at a time
	PerClient      int // of one client's address among them
	PerClientInAll int // of one client's address at all tenants; 0 for four times PerClient
	Memory         int // MiB that all that is under way may hold; 0 for 512, or less where there is little memory
	MinBodyRate    int // bytes a second that a request's body must come at
}

// DefaultEdgeLimits fit an office of hundreds of people behind one address.
func DefaultEdgeLimits() EdgeLimits {
	return EdgeLimits{Connections: 4096, PerClient: 1024, MinBodyRate: 512}
}

func (e EdgeLimits) check() error {
	for _, f := range []struct {
		flag         string
		value, least int
	}{
		{"tenant-connections", e.Connections, 1}, {"client-connections", e.PerClient, 1}, {"client-connections-in-all", e.PerClientInAll, 0},
		{"edge-memory", e.Memory, 0}, {"min-body-rate", e.MinBodyRate, 1},
	} {
		if f.value < f.least {
			return invalid(f.flag, strconv.Itoa(f.value), "must be "+strconv.Itoa(f.least)+" or more", "leave it out for the default")
		}
	}
	if e.Memory > 0 && e.Memory < 16 {
		return invalid("edge-memory", strconv.Itoa(e.Memory), "must be 16 MiB or more", "leave it out for the default")
	}
	return nil
}

func (s *server) edgeOptions() edge.Options {
	return edge.Options{
		ListenHost: s.TenantListen, Pool: s.pool, Log: s.log, HoldDeadline: s.Hold, DrainDeadline: s.Drain,
		TrustedProxies: s.signIn.proxies, MaxConnections: s.EdgeLimits.Connections, MaxPerClient: s.EdgeLimits.PerClient,
		MaxPerClientInAll: s.EdgeLimits.PerClientInAll,
		Memory:            int64(s.EdgeLimits.Memory) << 20, MinBodyRate: s.EdgeLimits.MinBodyRate, Descriptors: int64(s.descriptors.tenants),
	}
}
