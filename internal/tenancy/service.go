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
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/store"
)

// Loop is what the use cases need of package reconcile.
type Loop interface {
	// Enqueue says that a tenant's desired state changed. It never blocks. It may
	// be lost: the full scan is the truth.
	Enqueue(organizationID string)
	// Await returns when the deployment is over, or with ctx's error.
	Await(ctx context.Context, deploymentID string) error
	// Look observes one tenant now. It changes nothing; what contradicts what was
	// last seen is looked into soon.
	Look(ctx context.Context, organizationID string) (berth.Observed, error)
	// Progress tells how far a deployment under way has come.
	Progress(deploymentID string) (p berth.Progress, ok bool)
	// EngineInfo is what was last known of the engine; ok is false before the
	// first contact, and while it does not answer.
	EngineInfo() (info berth.EngineInfo, ok bool)
}

// Blueprint is one version of the app that tenants get copies of.
type Blueprint interface {
	Defaults() berth.BlueprintDefaults
	Image(imageTag string) (reference string, err error)
	// Check checks what an order would make of a tenant. values are the new
	// ones among its environment, in clear.
	Check(spec berth.Spec, values map[string]string) error
	// IsSecret reports whether a rollback leaves a variable as it is now.
	IsSecret(name string) bool
	Volumes(organizationID string) []berth.VolumeRecord
	Compose(t berth.Tenant, cores int) ([]byte, error)
	// Env is the file that brings a rendered compose file its secrets.
	Env(organizationID string, values map[string]string) []byte
}

// Files are what lies beside a tenant's rendered compose file.
type Files interface {
	// WriteEnv writes the file that holds secrets in clear, mode 0600, and
	// returns where.
	WriteEnv(organizationID string, data []byte) (path string, err error)
}

// Ports tells whether a port of the host is free to listen on.
type Ports interface {
	PortFree(port int) bool
}

// Secrets encrypts what is stored. ad binds a ciphertext to its place.
type Secrets interface {
	Seal(plaintext []byte, ad string) (ciphertext []byte, err error)
	Open(ciphertext []byte, ad string) (plaintext []byte, err error)
}

// Health asks instances whether they are well, and puts what they answer on
// record.
type Health interface {
	// Ask asks instances of one tenant and returns the worst answer; nil if there
	// is none to be had.
	Ask(ctx context.Context, organizationID string, list []berth.Instance, check berth.HealthCheck) (*berth.Probe, error)
	// Sweep asks every running tenant once and lists up to limit of them.
	Sweep(ctx context.Context, limit int) (berth.Sweep, error)
}

// Logs is the engine's capability to show what instances wrote.
type Logs interface {
	// Logs returns lines of all instances of a tenant as plain text, each
	// prefixed by its instance's service and replica where there are several.
	Logs(ctx context.Context, organizationID string, o berth.LogOptions) (io.ReadCloser, error)
}

// Traces are where the callers of orders can follow them.
type Traces interface {
	// Link says which span of the caller ordered a deployment. It never blocks.
	Link(deploymentID, traceparent string)
	// Record shows a deployment that another order ended. It never blocks.
	Record(d berth.Deployment)
}

// Previewer tells what an order would do.
type Previewer interface {
	// Preview follows the steps that would be taken for a tenant and a deployment
	// that are recorded nowhere, as if each succeeded. secrets are those that the
	// order would record.
	Preview(ctx context.Context, t berth.Tenant, d berth.Deployment, secrets []store.SecretVersion) (berth.Forecast, error)
}

// Config is what an operator decides about all tenants.
type Config struct {
	FirstPort     int
	LastPort      int
	ReservedPorts []int        // never given to a tenant: the API's own among them
	Blueprint     string       // what a tenant gets that asks for none: a name
	Pool          netip.Prefix // that tenants' subnets are taken from
	PublicHost    string       // of tenants' URLs
	NotifyHTTP    bool         // notifications may go to http:// too
	Mail          bool         // there is a mail server
	Shared        bool         // other control planes may lead other engines in the same database

	// HostNetworks returns what the host is connected to: a subnet that
	// overlaps one of these is not given to a tenant.
	HostNetworks func() ([]netip.Prefix, error)
	// Examine reads a blueprint and returns the name that it gives itself. Its
	// error carries all that is wrong with it.
	Examine func(source []byte) (name string, err error)
	// Redact is a blueprint, or a rendered file, without what looks secret, for
	// who may not change blueprints. Without it, they are shown nothing of it. The
	// same source always comes to the same.
	Redact func(source []byte) []byte
	// ComposePath is where a tenant's rendered file lies.
	ComposePath func(organizationID string) string
	Now         func() time.Time
}

// Parts are what a Service works with. Logs may be nil: then the engine can't
// show them. So may Meter: then usage is not measured; and Traces, and Preview:
// then there is no dry run.
type Parts struct {
	Store   store.Store
	Loop    Loop
	Ports   Ports
	Secrets Secrets
	Keys    Keys
	Catalog *store.Catalog[Blueprint]
	Files   Files
	Health  Health
	Logs    Logs
	Meter   Meter
	Traces  Traces
	Preview Previewer
	// Rotated hears of a new key. It never blocks.
	Rotated func()
	// Leading reports whether this control plane runs the engine. May be nil.
	Leading func() bool
}

// Service holds the use cases. Its methods may be called concurrently.
type Service struct {
	config   Config
	store    store.Store
	loop     Loop
	ports    Ports
	secrets  Secrets
	keys     Keys
	catalog  *store.Catalog[Blueprint]
	files    Files
	health   Health
	logs     Logs
	meter    Meter
	traces   Traces
	preview  Previewer
	requests *idempotency.Requests
	redacted *redactions
	rotated  func()
	leading  func() bool
	now      func() time.Time
}

// New returns a Service.
func New(c Config, p Parts) *Service {
	return &Service{
		config: c, store: p.Store, loop: p.Loop, ports: p.Ports, secrets: p.Secrets, keys: p.Keys, catalog: p.Catalog, files: p.Files,
		health: p.Health, logs: p.Logs, meter: p.Meter, traces: p.Traces, preview: p.Preview, rotated: p.Rotated, leading: p.Leading, now: c.Now,
		requests: idempotency.New(p.Store, p.Secrets, c.Now), redacted: newRedactions(c.Redact),
	}
}

// EngineInfo is what was last known of the engine; up is false before the first
// contact, and while it does not answer. Everybody may know.
func (s *Service) EngineInfo() (info berth.EngineInfo, up bool) { return s.loop.EngineInfo() }

// Progress tells how far a deployment under way has come, for who may see it;
// ok is false if it is not under way here.
func (s *Service) Progress(d berth.Deployment) (p berth.Progress, ok bool) {
	if d.Over() {
		return p, false
	}
	return s.loop.Progress(d.ID)
}

// Leading reports whether this control plane runs the engine; known is false
// where no other one could.
func (s *Service) Leading() (leading, known bool) {
	if s.leading == nil {
		return false, false
	}
	return s.leading(), true
}

// Call says how an order came.
type Call struct {
	idempotency.Request
	Notes       string // see berth.ValidateNotes; a provision has none
	Traceparent string // of the caller's trace (W3C); "" for none, and ignored if it is none
	DryRun      bool   // nothing is recorded, and no key is used: the receipt has a Forecast
}

// Receipt is the answer to an order: it is on disk.
type Receipt struct {
	Tenant      berth.Tenant
	Deployment  berth.Deployment
	ComposePath string
	// Earlier is set when the call's idempotency key had been used: the
	// receipt is of the first call, and Answer, if not nil, is what it was
	// answered with.
	Earlier bool
	Answer  *idempotency.Answer
	// Forecast is what the order would do, of a dry run; nil for what is on disk.
	Forecast *berth.Forecast
}

// Provision is a request for a new tenant. What is left out, the blueprint says.
type Provision struct {
	OrganizationID string
	Name           string
	Slug           string
	CPU            *float64
	MemoryMB       *int
	DiskMB         *int
	Blueprint      string // NAME or NAME@VERSION; "" for the default
	ImageTag       string
	Environment    map[string]string
	Domains        []string
	Replicas       *int
	Start          bool
	LeaveData      bool // see Deploy
}

// Scale changes limits and replicas; nil leaves a field as it is.
type Scale struct {
	CPU      *float64
	MemoryMB *int
	Replicas *int
}

// Deploy changes what runs. Environment is merged; a nil value removes. A nil
// blueprint means the newest version of the tenant's own. LeaveData says that a
// service is meant to begin empty at a path where the tenant has data.
type Deploy struct {
	Blueprint   *string
	ImageTag    *string
	Environment map[string]*string
	LeaveData   bool
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
