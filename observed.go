package berth

import (
	"net/netip"
	"time"
)

// Observed is what an engine was seen to hold of one tenant.
type Observed struct {
	OrganizationID string
	Network        bool         // the tenant's network exists and is ours
	Subnet         netip.Prefix // of that network
	Instances      []Instance   // ours, sorted by name
	Volumes        []string     // names, sorted
	Foreign        []Foreign    // what carries the tenant's names or labels without proof
}

// InstanceState is an engine-neutral summary of an instance's state.
type InstanceState string

const (
	InstanceCreated    InstanceState = "created"
	InstanceRunning    InstanceState = "running"
	InstanceRestarting InstanceState = "restarting" // died; the engine waits before it starts it again
	InstanceExited     InstanceState = "exited"
	InstancePaused     InstanceState = "paused"  // its processes are frozen; nobody answers
	InstanceUnknown    InstanceState = "unknown" // nothing destructive happens on it
)

// InstanceHealth is what the engine's own health check of an instance says.
type InstanceHealth string

const (
	InstanceUnchecked InstanceHealth = "" // it has none, or it was not looked at
	InstanceStarting  InstanceHealth = "starting"
	InstanceHealthy   InstanceHealth = "healthy"
	InstanceUnhealthy InstanceHealth = "unhealthy"
)

// Instance is one running copy of a service as seen. Which one it is follows
// from service, version and replica; ID and Name are the engine's, and an engine
// may replace an instance by itself under others.
type Instance struct {
	ID         string
	Name       string // what people find it by
	Service    string
	Replica    int
	Generation int
	Hash       string // Service.Hash of what it was made from
	Image      string // digest or engine id it really runs
	State      InstanceState
	Health     InstanceHealth
	// HealthCause says in words what the engine's own health check last answered,
	// "" if that was good or is not known.
	HealthCause string
	ExitCode    int
	OOMKilled   bool
	Restarts    int
	StartedAt   time.Time
	// Unattended means that the engine does not start it again when it ends.
	// Whoever does counts its ends.
	Unattended bool

	// Address is where the edge reaches the service's port; the zero value
	// while the instance does not run.
	Address netip.AddrPort

	// Writes names the volumes that it may write to, sorted.
	Writes []string

	// Beside means that it was made beside another version and has not taken
	// its place yet, or has given it up.
	Beside bool

	// Differs says in words how it is unlike what it was made as, for as far as
	// an engine lets that be changed by hand. Applying the stack mends it.
	Differs []string

	// StopGrace is how long it may take to stop.
	StopGrace time.Duration

	// CPU (cores) and MemoryMB are the limits in force; 0 where they were not
	// looked at, as in a list of everything.
	CPU      float64
	MemoryMB int
}

// Slot is the place that it has.
func (c Instance) Slot() Slot { return Slot{c.Service, c.Replica} }

// Foreign is an object that stands where one of ours would, or carries our
// labels, and can't be proven ours. It is reported, never touched.
type Foreign struct {
	Kind           string // "container", "network" or "volume", as the engine calls it
	ID             string
	Name           string
	OrganizationID string // that it claims; may be empty
	Reason         string
	Installation   string // of Berth, that it belongs to, if that is another one
}

// Inventory is everything of ours that an engine holds.
type Inventory struct {
	Tenants []Observed // sorted by organization id
	Foreign []Foreign  // whose organization isn't among Tenants, or isn't stated
}

// EngineInfo identifies an engine.
type EngineInfo struct {
	ID      string // stable; volumes belong to it
	Name    string // "docker", "fake"
	Version string
	Cores   int
	// Routed tells whether the host reaches instance addresses directly. If
	// not, the engine publishes each service on the loopback address.
	Routed bool
	// Findings are what an operator should know of this engine.
	Findings []EngineFinding
}

// EngineFinding is one thing about an engine that matters to tenants.
type EngineFinding struct {
	Check  string // what was looked at, such as "cgroups"
	OK     bool   // false where something is to be mended
	Detail string
	Hint   string // how to mend it; "" where nothing is
}

// Credential opens a registry.
type Credential struct {
	Registry string // host[:port]
	Username string
	Password string
}

// Progress is how far a long step of an engine has come.
type Progress struct {
	Step  string // such as "pull registry.example.com/app:v2"
	Done  int64  // bytes
	Total int64  // bytes; 0 if not known
}

// Removal says what of a tenant an engine is to remove: its instances, its
// network, and of volumes those that are named here.
type Removal struct {
	OrganizationID string
	Volumes        []string
	// Unnamed says that volumes which nobody named go with the instances that
	// they were made for.
	Unnamed bool
}

// Adoption names a tenant whose containers compose made of the rendered file,
// and that Berth takes back.
type Adoption struct {
	OrganizationID string
	Project        string   // that compose ran it under
	Volumes        []string // the recorded ones, and the only ones that may be mounted
}

// Hint says that something may have changed. It proves nothing.
type Hint struct {
	Opened         bool // the stream of events is open now: what happened before may have gone unheard
	OrganizationID string
	OOM            bool   // the kernel killed a process for want of memory
	Service        string // in which that was; "" if not known
	InstanceID     string // that it is about; "" if not known
	Ended          bool   // that one ended, with ExitCode, whatever it does now
	ExitCode       int
}
