package berth

import "time"

// Role is what an actor may do.
type Role string

const (
	RoleSystem   Role = "system"   // Berth's own loop
	RoleOperator Role = "operator" // everything
)

// Actor is who asks. It is passed to every use case and every store call,
// never found in a context. The zero Actor may do nothing.
type Actor struct {
	ID             string // of the token or user; "system" for the loop
	Name           string // for people
	Role           Role
	OrganizationID string // the one organization it may see; "" for all (operator, system)
}

// System is the actor of Berth's own loop.
func System() Actor { return Actor{ID: "system", Name: "berth", Role: RoleSystem} }

// MaySee reports whether a may know of anything that belongs to the
// organization. Default is no.
func (a Actor) MaySee(organizationID string) bool {
	switch a.Role {
	case RoleSystem, RoleOperator:
		return a.OrganizationID == "" || a.OrganizationID == organizationID
	default:
		return false
	}
}

// Token is an API token as it is stored: never its text, only what
// recognises it.
type Token struct {
	ID         string
	Name       string
	Prefix     string // the first characters, for people and leak scanners
	Hash       []byte // SHA-256 of the whole text, which has 256 random bits
	Role       Role
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute; zero: never
	RevokedAt  time.Time // zero: valid
}

// Valid reports whether t may be used at now.
func (t Token) Valid(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Actor is who a request with this token acts as.
func (t Token) Actor() Actor { return Actor{ID: t.ID, Name: t.Name, Role: t.Role} }
