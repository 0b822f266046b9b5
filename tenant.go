package berth

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Tenant is an organization's own stack: what should run, what was last seen
// to run, its limits and its address. One per organization.
//
// The desired half is written by package tenancy, the observed half by
// package reconcile; the store checks Revision, so that neither can overwrite
// the other's work unseen.
type Tenant struct {
	ID             string // of the record, a UUID; the seed's containerId in provision's answer
	OrganizationID string // lower-case UUID
	Name           string // 1-100 characters, as given
	Slug           string // strict ASCII, unique among living tenants
	EngineID       string // the engine that holds its volumes; "" until it is first applied
	Subnet         netip.Prefix
	ExternalPort   int // on the host, owned by the edge
	URL            string

	// Desired.
	Want       Want
	Spec       Spec
	Generation int // rises with every change of what should run

	// Observed.
	Status        Status
	Health        Health
	Cause         string // why it is failed or unhealthy; empty otherwise
	ContainerID   string // the engine's id of the instance that answers requests; "" if none
	Released      int    // the newest release whose services that run once were seen to end well
	LastStartedAt time.Time
	LastStoppedAt time.Time
	LastProbedAt  time.Time

	CreatedAt       time.Time
	UpdatedAt       time.Time
	CreatedBy       string
	DeprovisionedAt time.Time // zero for a living tenant; the row stays as a tombstone
	Revision        int64     // compare-and-swap counter of the stored row
}

// Spec is what one generation of a tenant runs. It is what deployments record
// and rollback restores.
type Spec struct {
	ImageTag     string            // as asked for: a bare tag or a full reference
	ImageDigest  string            // what it resolved to; "" until the engine has looked
	Images       map[string]string // the same for services whose image is another one, by service
	Blueprint    string            // name@version
	Release      int               // generation that last changed what runs: services that run once do so once per release
	Limits       Limits            //
	Replicas     int               //
	InternalPort int               // where the service that answers requests listens
	Environment  map[string]string // variable name to secret version id; values live in the secret store
}

// Want is what an operator last asked a tenant to be.
type Want string

const (
	WantRunning Want = "running"
	WantStopped Want = "stopped"
	WantGone    Want = "gone"
)

// Names that follow from an organization id. They never change, so every step
// can be repeated after a crash without making a second object.
func ContainerName(organizationID string) string { return "tenant_" + organizationID }
func NetworkName(organizationID string) string   { return "tenant_" + organizationID + "_network" }
func VolumeName(organizationID, volume string) string {
	return "tenant_" + organizationID + "_" + volume
}

// ContainerName is the name of the instance that answers the tenant's
// requests.
func (t Tenant) ContainerName() string { return ContainerName(t.OrganizationID) }

// Living reports whether t has not been deprovisioned.
func (t Tenant) Living() bool { return t.DeprovisionedAt.IsZero() }

var uuidPattern = pattern(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// IsUUID reports whether s is a UUID in lower case.
func IsUUID(s string) bool { return uuidPattern().MatchString(s) }

// ParseOrganizationID returns s in lower case, the form in which ids are
// stored, or the seed's error.
func ParseOrganizationID(s string) (string, error) {
	id := strings.ToLower(s)
	if !IsUUID(id) {
		return "", Errorf(CodeInvalidOrganization, "Invalid organization ID format").
			WithField("organizationId").WithHint("give a UUID such as 550e8400-e29b-41d4-a716-446655440001; %s was given", Quote(s))
	}
	return id, nil
}

// NewID returns a random (version 4) UUID.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	return uuid(b, 4)
}

// NewHistoryID returns a version 7 UUID, which begins with a time: rows that are
// written one after another are neighbours in an index of their ids, which
// costs a database one page for many instead of one for each.
func NewHistoryID(at time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // as above
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	return uuid(b, 7)
}

func uuid(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ValidateName checks a tenant's name: 1-100 characters (code points), none
// of them a control character. Everything else is kept and shown as given.
func ValidateName(name string) error {
	fail := Errorf(CodeInvalidName, "Tenant name must be 1-100 characters").WithField("tenantName")
	if !utf8.ValidString(name) {
		return Errorf(CodeInvalidName, "Tenant name must be valid UTF-8").WithField("tenantName").
			WithHint("%s was given", Quote(name))
	}
	if n := utf8.RuneCountInString(name); n < 1 || n > 100 {
		return fail.WithHint("the name given has %d characters", n)
	}
	if strings.TrimSpace(name) == "" {
		return fail.WithHint("a name of white space only can't be told from no name")
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return Errorf(CodeInvalidName, "Tenant name must not contain control characters").WithField("tenantName").
			WithHint("remove the control character from %s", Quote(name))
	}
	return nil
}

var slugPattern = pattern(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidateSlug checks that slug is one DNS label and can't be taken for an
// organization id.
func ValidateSlug(slug string) error {
	if !slugPattern().MatchString(slug) || IsUUID(slug) {
		return Errorf(CodeInvalidSlug, "Slug must be 1-63 of a-z, 0-9 and -, not beginning or ending with -").
			WithField("slug").WithHint("%s was given; leave it out to have one made from the name", Quote(slug))
	}
	if reservedSlug(slug) {
		return Errorf(CodeInvalidSlug, "Slug is reserved").
			WithField("slug").WithHint("%s is a name of Berth's own under /api/tenants/; choose another", Quote(slug))
	}
	return nil
}

// reservedSlug reports whether the API has a path of that name where a tenant's
// would be.
func reservedSlug(slug string) bool { return slug == "health-check" || slug == "provision" }

// SlugFrom makes a slug from a tenant's name. A name without an ASCII letter
// or digit, and one that is reserved, gives one made from the organization id.
func SlugFrom(name, organizationID string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	slug := strings.Trim(b.String(), "-")
	if slug == "" || IsUUID(slug) || reservedSlug(slug) {
		return "tenant-" + organizationID[:8]
	}
	return slug
}

// Quote renders s for a message: quoted, escaped and cut to a readable length.
func Quote(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return strconv.Quote(s)
}

// OtherEngine is why a control plane can't look at a tenant of an engine that it
// does not reach.
func OtherEngine(engineID string) *Error {
	return Errorf(CodeEngineUnavailable, "The tenant runs on engine %s, which this control plane does not reach", engineID).
		WithHint("ask the control plane of that engine")
}
