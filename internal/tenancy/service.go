// Package tenancy holds the use cases: who may ask, whether the request is
// right, and what it changes in the desired state. It never touches an
// engine: it writes what should be, in one transaction, and rings the loop.
package tenancy

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/unite-hub/berth"
)

// Loop is what the use cases need of package reconcile.
type Loop interface {
	// Ring says that a tenant's desired state changed. It never blocks. It may
	// be lost: the full scan is the truth.
	Ring(organizationID string)
	// Await returns when the deployment is over, or with ctx's error.
	Await(ctx context.Context, deploymentID string) error
	// Look observes one tenant now and records what is seen.
	Look(ctx context.Context, organizationID string) (berth.Observed, error)
	// Progress tells how far a deployment under way has come.
	Progress(deploymentID string) (p berth.Progress, ok bool)
	// EngineInfo is what was last known of the engine; ok is false before the
	// first contact, and while it does not answer.
	EngineInfo() (info berth.EngineInfo, ok bool)
}

// Prober asks a container whether it is well.
type Prober interface {
	Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe
}

// Logs is the engine's capability to show what containers wrote.
type Logs interface {
	// Logs returns lines of all containers of a tenant as plain text, each
	// prefixed by its container's service and replica where there are several.
	Logs(ctx context.Context, organizationID string, o LogOptions) (io.ReadCloser, error)
}

// LogOptions narrow logs.
type LogOptions struct {
	Follow bool
	Tail   int // lines from the end; 0 means 100, -1 all
	Since  time.Time
}

// Call says how an order came.
type Call struct {
	IdempotencyKey string // "" for none
	Fingerprint    []byte // of method, path and body
	Notes          string
}

// Receipt is the answer to an order: it is on disk.
type Receipt struct {
	Tenant      berth.Tenant
	Deployment  berth.Deployment
	ComposePath string
	// Earlier is set when the call's idempotency key had been used: the
	// receipt is of the first call, and Answer, if not nil, is what it was
	// answered with.
	Earlier      bool
	Answer       []byte
	AnswerStatus int
}

// Provision is a request for a new tenant. Zero limits mean the defaults.
type Provision struct {
	OrganizationID string
	Name           string
	Slug           string
	CPU            *float64
	MemoryMB       *int
	DiskMB         *int
	ImageTag       string
	Environment    map[string]string
	Domains        []string
	Replicas       *int
	Start          bool
}

// Scale changes limits and replicas; nil leaves a field as it is.
type Scale struct {
	CPU      *float64
	MemoryMB *int
	Replicas *int
}

// Deploy changes what runs. Environment is merged; a nil value removes.
type Deploy struct {
	ImageTag    *string
	Environment map[string]*string
}

// Configure changes what a tenant is called and holds.
type Configure struct {
	Name        *string
	DiskMB      *int
	Environment map[string]*string
	Domains     []string
}

// State is a tenant as the engine has it at this moment, with one probe.
type State struct {
	Tenant           berth.Tenant
	EngineReachable  bool
	Observed         berth.Observed // zero if the engine is not reachable
	Running          bool           // every replica runs
	Probe            *berth.Probe   // nil if nothing runs
	EffectiveCPU     float64
	OpenDeployment   *berth.Deployment
	Progress         *berth.Progress
	EnvironmentNames []string // sorted; values are write-only
}
