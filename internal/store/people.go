package store

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// Organizations are made by the operator, or by InsertTenant: an organization
// that is not known yet is stored then, with the tenant's name.
type Organizations interface {
	// PutOrganization inserts or replaces by id; CreatedAt stays as it was.
	PutOrganization(ctx context.Context, o berth.Organization) error
	Organization(ctx context.Context, id string) (berth.Organization, error) // CodeOrganizationNotFound
	// ListOrganizations returns a page by id.
	ListOrganizations(ctx context.Context, p Page) (page []berth.Organization, next string, err error)
}

// Users are the installation's: only an actor who sees everything writes them.
type Users interface {
	// PutUser inserts or replaces by id; CreatedAt stays as it was. CodeEmailTaken
	// if another user has the address, compared by berth.FoldEmail.
	PutUser(ctx context.Context, u berth.User) error
	User(ctx context.Context, id string) (berth.User, error) // CodeUserNotFound
	UserByEmail(ctx context.Context, email string) (u berth.User, ok bool, err error)
	// ListUsers returns a page by id.
	ListUsers(ctx context.Context, p Page) (page []berth.User, next string, err error)

	// PutIdentity inserts or replaces by issuer and subject. System and operator only.
	PutIdentity(ctx context.Context, i berth.Identity) error
	UserByIdentity(ctx context.Context, issuer, subject string) (u berth.User, ok bool, err error)
}

// Memberships are written by whoever may write their organization.
type Memberships interface {
	// PutMembership inserts or replaces by user and organization; CreatedAt stays
	// as it was. CodeUserNotFound, CodeOrganizationNotFound.
	PutMembership(ctx context.Context, m berth.Membership) error
	DeleteMembership(ctx context.Context, userID, organizationID string) error // CodeNotFound
	// MembershipsOf returns a user's, by organization: at most 1,000.
	MembershipsOf(ctx context.Context, userID string) ([]berth.Membership, error)
	// ListMembers returns a page of an organization's, by user.
	ListMembers(ctx context.Context, organizationID string, p Page) (page []berth.Membership, next string, err error)
}

// Sessions are the installation's, as tokens are: system and operator only.
type Sessions interface {
	InsertSession(ctx context.Context, s berth.Session) error
	// SessionByHash reports ok false for an unknown one. Revoked and expired ones
	// are returned.
	SessionByHash(ctx context.Context, hash []byte) (s berth.Session, ok bool, err error)
	// UpdateSession stores last use, never back, and revocation, never taken back.
	// CodeNotFound.
	UpdateSession(ctx context.Context, s berth.Session) error
	// SessionsOf returns a user's that are not over at now, newest first: at most 1,000.
	SessionsOf(ctx context.Context, userID string, now time.Time) ([]berth.Session, error)
	// ForgetSessions drops up to limit that were over before a time, and returns
	// how many.
	ForgetSessions(ctx context.Context, before time.Time, limit int) (int, error)
}

// Invitations are written by whoever may write their organization; those to
// the installation by the operator.
type Invitations interface {
	InsertInvitation(ctx context.Context, i berth.Invitation) error // CodeOrganizationNotFound
	// InvitationByHash reports ok false for an unknown one. System and operator only.
	InvitationByHash(ctx context.Context, hash []byte) (i berth.Invitation, ok bool, err error)
	// CloseInvitation stores acceptance or revocation of an open one. CodeStale if
	// it is closed already, CodeNotFound.
	CloseInvitation(ctx context.Context, i berth.Invitation) error
	// ListInvitations returns a page of an organization's ("" for the
	// installation's), newest first.
	ListInvitations(ctx context.Context, organizationID string, p Page) (page []berth.Invitation, next string, err error)
	// ForgetInvitations drops up to limit that were revoked or expired before a time,
	// accepted ones too, and returns how many. System only.
	ForgetInvitations(ctx context.Context, before time.Time, limit int) (int, error)
}
