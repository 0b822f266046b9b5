package blueprint

import (
	"time"

	"github.com/unite-hub/berth"
)

// App is a blueprint as it was read: checked, in one canonical form, and
// without anything that Berth would not honour. It belongs to no tenant yet.
type App struct {
	Name   string
	Main   string            // the service that takes requests
	Port   int               // where it listens
	Health berth.HealthCheck // how Berth probes it, over HTTP from outside
	Limits berth.Limits      // of a whole tenant, unless an order says otherwise

	Services  []Service  // sorted so that each comes after what it depends on, then by name
	Volumes   []Volume   // sorted by name
	Variables []Variable // what a tenant may or must state; sorted by name
}

// Service is one program of an App.
type Service struct {
	Name        string
	Image       string // a full reference, tag included
	Command     []Text // nil: the image's
	Entrypoint  []Text // nil: the image's
	WorkingDir  string // "": the image's
	User        string // never root
	Environment []Env  // sorted by name
	Labels      []Label
	Aliases     []string // further names inside the tenant's network, sorted

	Mounts    []VolumeMount // sorted by target
	Tmpfs     []berth.Tmpfs // sorted by target
	DependsOn []berth.Dependency
	Once      bool // runs to its end once per release, before what needs it
	Replicas  int  // of the main service: the default that an order may change

	// What the service itself asks for, 0 if it states nothing: then it gets
	// Share parts of what the tenant has.
	CPU      float64
	MemoryMB int
	Share    int

	PidsLimit    int64
	Capabilities []string       // added to none, sorted, from the short list
	Probe        *HealthCommand // run by the engine inside the container; nil: the image's
	NoHealth     bool           // the image's own health check is switched off
	StopSignal   string         // "": the image's
	StopGrace    int            // seconds
	ShmMB        int            // size of /dev/shm; 0: the engine's default

	// TenantEnvironment says that the service gets all of the tenant's own
	// variables, not only those that Environment refers to.
	TenantEnvironment bool

	Secrets []Secret `json:",omitempty"` // that are files, sorted by name
}

// Secret is a variable of the tenant's that a service gets as a file.
type Secret struct {
	Name     string // of the file, in berth.SecretsDir
	Variable string
}

// HealthCommand is a command that tells whether a container is well. The first
// element of Test is CMD or CMD-SHELL.
type HealthCommand struct {
	Test        []Text
	Interval    time.Duration
	Timeout     time.Duration
	Retries     int
	StartPeriod time.Duration
}

// Env is one variable of a service. Value nil passes the tenant's variable of
// the same name on, if there is one.
type Env struct {
	Name  string
	Value *Text
}

// Label is one label of a service.
type Label struct {
	Name  string
	Value Text
}

// VolumeMount puts a volume of the App at a path.
type VolumeMount struct {
	Volume   string // its name in the blueprint
	Target   string
	ReadOnly bool
}

// Volume is a named volume of the App.
type Volume struct {
	Name   string
	Shared bool // may be held by several containers and by two generations at once
}

// Variable is something that a tenant may or must state.
type Variable struct {
	Name        string
	Description string
	Required    bool
	Secret      bool   // a rollback leaves its current value in place
	Pattern     string // a regular expression that the whole value must match; "" for any
	Default     string // used where the tenant states none; never of a secret
	HasDefault  bool
}

// Finding is one thing that is wrong with a blueprint.
type Finding struct {
	Path string // such as services.web.privileged
	Line int    // from 1; 0 if not known
	Kind FindingKind
	Rule string // what is wrong and why, one sentence without the path
	Hint string // the way out

	young bool // the rule is younger than blueprints that may be stored
}

// FindingKind says what to make of a finding.
type FindingKind string

const (
	Invalid      FindingKind = "invalid"           // against the Compose Specification or x-berth
	Forbidden    FindingKind = "forbidden"         // would weaken the wall between tenants
	NotSupported FindingKind = "not supported yet" // would be right, and Berth can't do it
)

// Defaults where a blueprint is silent.
const (
	defaultHealthPath  = "/api/health"
	defaultInterval    = 30 * time.Second
	defaultTimeout     = 10 * time.Second
	defaultRetries     = 3
	defaultStartPeriod = 40 * time.Second
	defaultPids        = 256
	defaultStopGrace   = 10 // seconds, the engine's own
	defaultTmpfsMB     = 64
	tmpDir             = "/tmp" // always a tmpfs: the root file system is read-only
)
