package berth

import "time"

// Token is an API token as it is stored: never its text, only what
// recognises it.
type Token struct {
	ID             string
	Name           string
	Prefix         string // the first characters, for people and leak scanners
	Hash           []byte // SHA-256 of the whole text, which has 256 random bits
	Role           Role
	OrganizationID string // "" for an operator's, and a deployer's of all tenants
	Scopes         Scopes // zero: all of the role's
	CreatedBy      string // id of an actor
	CreatedAt      time.Time
	ExpiresAt      time.Time // zero: never
	LastUsedAt     time.Time // to the minute; zero: never
	RevokedAt      time.Time // zero: valid
}

// Valid reports whether t may be used at now.
func (t Token) Valid(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Actor is who a request with this token acts as.
func (t Token) Actor() Actor {
	return Actor{ID: t.ID, Name: t.Name, Role: t.Role, OrganizationID: t.OrganizationID, Scopes: t.Scopes}
}
