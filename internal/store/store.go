// Package store is the seam between Berth and its database: what the use
// cases and the loop ask of it. store/sqlite and store/postgres implement it;
// store/storetest is the suite that both pass.
//
// It stands between its two consumers, tenancy and reconcile, because both
// work inside the same transactions. It stores nothing itself.
package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/unite-hub/berth"
)

// Store is a database. Every call states the actor; what the actor may not
// see looks as if it did not exist.
type Store interface {
	// InTx runs fn in one write transaction. When InTx returns nil, all that fn
	// wrote survives kill -9 and power loss; when it returns an error, nothing
	// of it is there. Write transactions are serialised: what fn reads is
	// current until it commits. fn may be run more than once and must not have
	// other effects.
	InTx(ctx context.Context, actor berth.Actor, fn func(Tx) error) error

	// View runs fn on one consistent snapshot. It never waits for a writer.
	View(ctx context.Context, actor berth.Actor, fn func(Tx) error) error

	// Backup writes a complete, consistent copy of the database to a new file,
	// while the store is in use. A failed backup leaves no file.
	Backup(ctx context.Context, path string) error
}

// Tx is a transaction: what is kept of each noun. It is no interface, so that
// nobody has to ask for all of it: who needs a noun takes that noun, and a Tx is
// handed over as it is. docs/designs/012-store-nouns.md says why.
type Tx struct {
	Tenants
	Deployments
	SecretVersions
	Credentials
	Blueprints
	Volumes
	Requests
	Tokens
	Journal
	Usages
	UsageMarks
	Health
	Channels
	Deliveries
	Outbox
	Images
	ForeignObjects
	Organizations
	Users
	Memberships
	Sessions
	Invitations
	Audit
	Sealings
	Installations
	Histories
	Tombstones
}

// Installations are this Berth itself.
type Installations interface {
	// Installation is the id of this Berth, made with the database.
	Installation(ctx context.Context) (string, error)
	// KeyMark is a value sealed with the keys that belong to the database; nil
	// before SetKeyMark. System and operator only.
	KeyMark(ctx context.Context) ([]byte, error)
	SetKeyMark(ctx context.Context, sealed []byte) error
}

// Page asks for a part of a list. The zero Page is the first 100.
type Page struct {
	Cursor string // from the page before; a bad one is CodeInvalidRequest
	Limit  int    // 0 means 100; at most 1000, more is taken for 1000; Unbounded
}

// Now is the time that is recorded, in the precision that is stored. Durations are
// measured with the monotonic clock, never with this.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Unbounded as a limit is for Berth itself, never for a request: everything.
const Unbounded = -1

// Tenants are found by organization id or slug. Errors: CodeContainerNotFound,
// CodeTenantExists, CodeSlugTaken, CodePortTaken, CodeStale.
type Tenants interface {
	// Tenant returns the living tenant.
	Tenant(ctx context.Context, ref string) (berth.Tenant, error)
	// Tombstone returns the latest deprovisioned tenant of an organization.
	Tombstone(ctx context.Context, organizationID string) (berth.Tenant, error)
	// ListTenants returns a page of living tenants, oldest first, and the cursor of the
	// next page, "" after the last.
	ListTenants(ctx context.Context, f TenantFilter) (page []berth.Tenant, next string, err error)
	// InsertTenant stores a new living tenant. Unique constraints decide races.
	InsertTenant(ctx context.Context, t berth.Tenant) error
	// UpdateTenant stores t if its Revision is still the stored one, and raises
	// it in t; otherwise the error is CodeStale and nothing is stored.
	UpdateTenant(ctx context.Context, t *berth.Tenant) error
	// TakenPorts returns the external ports of living tenants, ascending.
	TakenPorts(ctx context.Context) ([]int, error)
	// TakenSubnets returns the subnets of living tenants, ascending.
	TakenSubnets(ctx context.Context) ([]netip.Prefix, error)
}

// TenantFilter narrows a list. Zero fields do not.
type TenantFilter struct {
	Status berth.Status
	Health berth.Health
	Text   string // in name or slug, case-insensitive
	// Engine is whose tenants are meant; "" for those that no engine has yet.
	Engine berth.Maybe[string]
	Page
}

// Deployments are history: over once, never rewritten (CodeStale). They are
// found as long as the database lives, tombstones included.
type Deployments interface {
	Deployment(ctx context.Context, id string) (berth.Deployment, error)
	// OpenDeployment returns the deployment of the organization's living tenant
	// that is not over; ok is false if there is none. There is at most one.
	OpenDeployment(ctx context.Context, organizationID string) (d berth.Deployment, ok bool, err error)
	// ListDeployments returns a page of an organization's deployments, newest first.
	ListDeployments(ctx context.Context, organizationID string, p Page) (page []berth.Deployment, next string, err error)
	InsertDeployment(ctx context.Context, d berth.Deployment) error
	UpdateDeployment(ctx context.Context, d berth.Deployment) error
	// OpenDeployments returns the ids of those that are not over, by organization:
	// of the tenants of one engine, "" for those that no engine has yet, or of all.
	OpenDeployments(ctx context.Context, engine berth.Maybe[string]) (map[string]string, error)
}

// SecretVersion is one value of one environment variable, encrypted. Versions
// are added, never changed: history refers to them by id.
type SecretVersion struct {
	ID             string
	OrganizationID string
	Name           string
	Ciphertext     []byte
	CreatedAt      time.Time
}

// SecretVersions hold the values that specs refer to.
type SecretVersions interface {
	InsertSecret(ctx context.Context, v SecretVersion) error
	// Secrets returns the versions named, in any order. A missing one is CodeNotFound.
	Secrets(ctx context.Context, organizationID string, ids []string) ([]SecretVersion, error)
}

// StoredCredential opens a registry; the password is encrypted.
type StoredCredential struct {
	Registry   string
	Username   string
	Ciphertext []byte
	UpdatedAt  time.Time
}

// Credentials are the operator's, one per registry.
type Credentials interface {
	PutCredential(ctx context.Context, c StoredCredential) error
	// Credential reports ok false if there is none for the registry.
	Credential(ctx context.Context, registry string) (c StoredCredential, ok bool, err error)
	// ListCredentials returns a page by registry.
	ListCredentials(ctx context.Context, p Page) (page []StoredCredential, next string, err error)
	DeleteCredential(ctx context.Context, registry string) error // CodeNotFound
}

// Blueprints are the operator's and hold no secret: an actor who sees any
// organization may read them. Versions are added, never changed.
type Blueprints interface {
	// InsertBlueprint stores a version. CodeStale if there is one of that name
	// and number: another was applied meanwhile.
	InsertBlueprint(ctx context.Context, v berth.BlueprintVersion) error
	// Blueprint returns a version, the newest for 0. CodeBlueprintNotFound.
	Blueprint(ctx context.Context, name string, version int) (berth.BlueprintVersion, error)
	// ListBlueprints returns a page of versions without their source, by name, newest first.
	ListBlueprints(ctx context.Context, p Page) (page []berth.BlueprintVersion, next string, err error)
}

// Volumes are recorded before they are made and until they are gone by order.
type Volumes interface {
	// PutVolume inserts or replaces by name.
	PutVolume(ctx context.Context, v berth.VolumeRecord) error
	// ListVolumes returns a page of the volumes that are not deleted, by name; of
	// every organization the actor sees if organizationID is "".
	ListVolumes(ctx context.Context, organizationID string, p Page) (page []berth.VolumeRecord, next string, err error)
	// TenantVolumes returns those of living tenants that are not deleted, by organization
	// and in any order: of the tenants of one engine, "" for those that no engine has yet.
	// Which engine a volume is recorded with does not matter.
	TenantVolumes(ctx context.Context, engine string) (map[string][]berth.VolumeRecord, error)
}

// Request is a mutation that came with an idempotency key. An order stores it in its
// own transaction; every other mutation does so before it begins (see package
// idempotency).
type Request struct {
	Key          string
	Fingerprint  []byte // of method, path and body: another body under the same key is an error
	DeploymentID string // of the order that it was; "" for another mutation
	Status       int    // of the final answer; 0 until it was given
	Answer       []byte // its body
	CreatedAt    time.Time
}

// Released reports whether the request was refused and changed nothing: its key is
// free. No such request is stored any more; those of before are there for a day.
func (r Request) Released() bool { return len(r.Fingerprint) == 0 }

// Requests are kept per actor.
type Requests interface {
	Request(ctx context.Context, key string) (r Request, ok bool, err error)
	// PutRequest inserts or replaces by actor and key.
	PutRequest(ctx context.Context, r Request) error
	// DropRequest drops the actor's own of a key. One that is not there is no error.
	DropRequest(ctx context.Context, key string) error
	// ForgetRequests drops up to limit that were created before a time, the oldest
	// first for the installation's actors, and returns how many.
	ForgetRequests(ctx context.Context, before time.Time, limit int) (int, error)
}

// Tokens authenticate the API. An actor of one organization sees that one's.
type Tokens interface {
	InsertToken(ctx context.Context, t berth.Token) error // CodeOrganizationNotFound
	// TokenByHash reports ok false for an unknown one. Revoked and expired ones
	// are returned. System and operator only.
	TokenByHash(ctx context.Context, hash []byte) (t berth.Token, ok bool, err error)
	Token(ctx context.Context, id string) (berth.Token, error) // CodeNotFound
	// ListTokens returns a page, oldest first; of every organization the actor
	// sees, and of none, if organizationID is "".
	ListTokens(ctx context.Context, organizationID string, p Page) (page []berth.Token, next string, err error)
	// UpdateToken stores last use, never back, and revocation, never taken back.
	// CodeNotFound.
	UpdateToken(ctx context.Context, t berth.Token) error
	// ForgetTokens drops up to limit that were revoked or expired before a time, and
	// returns how many. System only.
	ForgetTokens(ctx context.Context, before time.Time, limit int) (int, error)
}

// Journal is what was observed over time.
type Journal interface {
	InsertEvent(ctx context.Context, e berth.Event) error
	// ListEvents returns a page of the events of an organization, or of all if "", newest first.
	ListEvents(ctx context.Context, organizationID string, p Page) (page []berth.Event, next string, err error)
	// ForgetEvents drops up to limit events from before a time, the oldest first,
	// and returns how many. Those whose notifications were not made yet stay, and
	// the newest. System only.
	ForgetEvents(ctx context.Context, before time.Time, limit int) (int, error)
	InsertProbe(ctx context.Context, p berth.Probe) error
	// ListProbes returns a page of an organization's probes, newest first.
	ListProbes(ctx context.Context, organizationID string, p Page) (page []berth.Probe, next string, err error)
}
