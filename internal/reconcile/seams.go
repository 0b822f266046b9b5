package reconcile

import (
	"context"
	"net/netip"
	"time"

	"github.com/unite-hub/berth"
)

// Engine runs stacks. Every method is idempotent, safe to repeat after a
// crash at any point, and returns by ctx's deadline. Errors are *berth.Error:
// CodeEngineUnavailable may be retried; CodeForeignObject, CodeDataMissing,
// CodeImageNotFound, CodeRegistryDenied and CodeEngineRefused need an operator;
// CodeSubnetTaken asks for another subnet.
type Engine interface {
	Info(ctx context.Context) (berth.EngineInfo, error)

	// Resolve makes an image available, pulling it if the engine does not have
	// it, and returns what it is pinned by: "repository@sha256:…", or the
	// engine's image id for an image that never was in a registry. Given such
	// a pin, it returns the same one. cred may be nil. progress may be nil and
	// is called from the calling goroutine: once before a pull, which does not
	// begin before it returns, and then whenever the pull gets on.
	Resolve(ctx context.Context, reference string, cred *berth.Credential, progress func(berth.Progress)) (pin string, err error)

	// Observe looks at one tenant, limits in force included.
	Observe(ctx context.Context, organizationID string) (berth.Observed, error)

	// List looks at everything that is ours or claims to be. It costs a few
	// calls however many tenants there are, and so leaves limits out.
	List(ctx context.Context) (berth.Inventory, error)

	// Apply makes the engine hold exactly this stack for the tenant: network,
	// volumes, instances, in a state that follows stack.Run. Instances that
	// stack.Pair finds stay, but for what can be changed on a living one: limits,
	// and whatever was changed by hand. The others are removed before their successors
	// are made, except those that stack.MayStand: beside them the successors do
	// not take their place before an Apply without them. Nothing is made or
	// started on an exclusive volume that anyone else writes to:
	// CodeForeignObject. It returns what is there afterwards.
	Apply(ctx context.Context, stack berth.Stack) (berth.Observed, error)

	// Remove removes a tenant's instances and network, and exactly the volumes
	// named, then checks that they are gone: no look shows them any more, for they
	// would count as the next tenant's. What is not provably ours stays and is an error.
	Remove(ctx context.Context, r berth.Removal) error

	// Watch calls hint for tenants that may have changed, until ctx ends or the
	// engine's stream breaks. Hints may be lost.
	Watch(ctx context.Context, hint func(berth.Hint)) error
}

// Edge brings requests to tenants.
type Edge interface {
	// Apply puts a route set in force and returns once it is, at the cost of
	// what the set holds. Its report says which version is in force: the set's,
	// unless that is not newer, or changes another version than the one in
	// force. Routes of the set that could not be put in force are reported, each
	// with its error (CodePortTaken); all others are in force.
	Apply(set berth.RouteSet) berth.RouteReport

	// Drain returns once no request is under way where the tenant's route in
	// force does not lead, or when ctx ends, and how many are left.
	Drain(ctx context.Context, organizationID string) (left int)
}

// Prober asks an instance whether it is well.
type Prober interface {
	Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe
}

// Vitals knows how instances do between passes.
type Vitals interface {
	// Vital reports ok false for an instance that is not watched, or was not
	// since that start.
	Vital(instanceID string, startedAt time.Time) (v berth.Vital, ok bool)
}

// InstanceObserver is the capability of an engine to look at a tenant's instances
// alone, with fewer calls than Observe: the rest of what it returns is left out.
type InstanceObserver interface {
	ObserveInstances(ctx context.Context, organizationID string) (berth.Observed, error)
}

// InstanceRestarter is the capability of an engine to restart one instance that gives
// no sign of life, and to stop one for good.
type InstanceRestarter interface {
	RestartInstance(ctx context.Context, organizationID, instanceID string) error
	StopInstance(ctx context.Context, organizationID, instanceID string) error
}

// Inspector is the capability of an engine to look closer at what a list showed
// of a tenant: the answer is Observe's, but for what appeared since the list. It
// costs what the tenant's instances cost, however many others there are.
type Inspector interface {
	Inspect(ctx context.Context, listed berth.Observed) (berth.Observed, error)
}

// LastWriter is the capability of an engine to say what an instance wrote last.
type LastWriter interface {
	LastLines(ctx context.Context, organizationID, instanceID string, n int) (lines []string, err error)
}

// Adopter is the capability of an engine to take back what compose made of a
// tenant's rendered file.
type Adopter interface {
	// Adopt removes those containers, so that Apply can make ours on the same
	// volumes. It touches nothing unless all of it is provably the tenant's:
	// else CodeForeignObject. That there is nothing to adopt is no error.
	Adopt(ctx context.Context, a berth.Adoption) error
}

// Blueprint is the app that a tenant runs a copy of.
type Blueprint interface {
	// Defaults are the same for all tenants of the version.
	Defaults() berth.BlueprintDefaults
	// Image turns an imageTag into the full reference of the main image.
	Image(imageTag string) (reference string, err error)
	// Images are the references of all other images, by service.
	Images() map[string]string
	// Stack is what an engine runs for a tenant, secrets in clear. recorded are
	// the volumes that were made before; cores is what the engine has.
	Stack(t berth.Tenant, env map[string]string, recorded []string, cores int) (berth.Stack, error)
	// Compose renders the tenant as a file that runs without Berth.
	Compose(t berth.Tenant, cores int) ([]byte, error)
}

// Secrets opens what tenancy sealed.
type Secrets interface {
	Open(ciphertext []byte, ad string) ([]byte, error)
}

// Files keeps each tenant's rendered compose file on disk.
type Files interface {
	Write(organizationID string, data []byte) error
	Remove(organizationID string) error
	// Forget takes the secrets away that were written beside the file.
	Forget(organizationID string) error
}
