package berth

import "time"

// Swept is what a sweep found of one tenant.
type Swept struct {
	Tenant Tenant
	Probe  *Probe // the worst of its instances' answers; nil if none could be asked in time
}

// Sweep is one look at the health of the fleet.
type Sweep struct {
	At        time.Time
	Took      time.Duration
	Healthy   int
	Unhealthy int
	Timeouts  int
	Unknown   int     // could not be asked: nothing runs, the engine does not answer, or the sweep's time was over
	Tenants   []Swept // those that are not well first, then by organization; as many as were asked for
	Omitted   int     // that Tenants leaves out
}
