package berth

import (
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Organization is a customer: the owner of at most one tenant, and the border
// of every permission.
type Organization struct {
	ID          string // lower-case UUID
	Name        string
	SelfService Scopes // what its own people may do to its tenant; within SelfService
	CreatedAt   time.Time
}

// User is a person. Where the database is shared with Supabase, it is a row of
// user_profiles, and its id is the one that Supabase's tokens carry.
type User struct {
	ID         string // lower-case UUID
	Email      string // as given; compared without case
	Name       string
	Operator   bool // of the whole installation
	CreatedAt  time.Time
	DisabledAt time.Time // zero: may sign in
}

// Membership is a user's role in an organization: RoleAdmin, RoleMember or
// RoleDeployer.
type Membership struct {
	UserID         string
	OrganizationID string
	Role           Role
	CreatedAt      time.Time
}

// Identity is a user as a provider knows them. Subject is unique with Issuer.
type Identity struct {
	Issuer  string // URL
	Subject string
	UserID  string
}

// Session is a person who is signed in: never its secret, only what recognises
// it.
type Session struct {
	ID         string
	Hash       []byte // SHA-256 of the secret, which has 256 random bits
	UserID     string
	Address    string // where it was begun
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastSeenAt time.Time // to the minute
	RevokedAt  time.Time // zero: valid
}

// Valid reports whether s may be used at now.
func (s Session) Valid(now time.Time) bool { return s.RevokedAt.IsZero() && now.Before(s.ExpiresAt) }

// Invitation lets whoever proves to have its address join an organization,
// once. With OrganizationID "" and RoleOperator, the installation.
type Invitation struct {
	ID             string
	Hash           []byte // SHA-256 of the secret, which has 256 random bits
	Email          string // the address that it is bound to
	OrganizationID string
	Role           Role
	CreatedBy      string
	CreatedAt      time.Time
	ExpiresAt      time.Time
	AcceptedAt     time.Time // zero: open
	AcceptedBy     string    // user id
	RevokedAt      time.Time // zero: not
}

// Open reports whether i may be accepted at now.
func (i Invitation) Open(now time.Time) bool {
	return i.AcceptedAt.IsZero() && i.RevokedAt.IsZero() && now.Before(i.ExpiresAt)
}

// MembershipRoles are those that a user can have in an organization.
func MembershipRoles() []Role { return []Role{RoleAdmin, RoleMember, RoleDeployer} }

// FoldEmail is an address as addresses are compared: without the case of ASCII
// letters. Others would become one that belongs to somebody else: the Kelvin
// sign is a k in lower case.
func FoldEmail(address string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, address)
}

// ValidateEmail checks that address is one bare mail address.
func ValidateEmail(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || len(address) > 254 {
		return Errorf(CodeInvalidEmail, "Invalid mail address").WithField("email").
			WithHint("give one address such as ada@example.com; %s was given", Quote(address))
	}
	return nil
}

// ValidateLabel checks a name of a person, token or organization: 1-100
// characters, none of them a control character. what names it, field is the
// input's.
func ValidateLabel(what, field, name string) error {
	n := utf8.RuneCountInString(name)
	if n < 1 || n > 100 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) == "" {
		return Errorf(CodeInvalidRequest, "%s must be 1-100 characters, none of them a control character", what).WithField(field).
			WithHint("%s was given", Quote(name))
	}
	return nil
}
