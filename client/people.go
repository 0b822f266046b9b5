package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Me is who a client's token stands for.
type Me struct {
	ID             string           `json:"id"`
	Kind           string           `json:"kind"` // "token" or "user"
	Name           string           `json:"name"`
	Email          *string          `json:"email"`          // of a user
	Role           *string          `json:"role"`           // nil: an organization has to be named first
	OrganizationID *string          `json:"organizationId"` // nil for all
	Scopes         []string         `json:"scopes"`         // what they may do now
	Memberships    []UserMembership `json:"memberships"`
}

// UserMembership is a role in an organization.
type UserMembership struct {
	OrganizationID string `json:"organizationId"`
	Role           string `json:"role"` // "admin", "member" or "deployer"
}

// User is a person.
type User struct {
	ID         string     `json:"id"`
	Email      string     `json:"email"`
	Name       string     `json:"name"`
	Operator   bool       `json:"operator"` // of the whole installation
	CreatedAt  time.Time  `json:"createdAt"`
	DisabledAt *time.Time `json:"disabledAt"` // nil: may sign in
}

// UserList is a page of users, by id.
type UserList struct {
	Users      []User  `json:"users"`
	NextCursor *string `json:"nextCursor"` // nil after the last page
}

// UserChange changes a user; nil leaves what is there.
type UserChange struct {
	Operator *bool `json:"operator,omitempty"`
	Disabled *bool `json:"disabled,omitempty"`
}

// Member is a user in an organization.
type Member struct {
	UserID    string    `json:"userId"`
	Email     string    `json:"email"`
	Name      string    `json:"name"`
	Role      string    `json:"role"` // "admin", "member" or "deployer"
	CreatedAt time.Time `json:"createdAt"`
	Disabled  bool      `json:"disabled"`
}

// MemberList is a page of members, by user.
type MemberList struct {
	Members    []Member `json:"members"`
	NextCursor *string  `json:"nextCursor"` // nil after the last page
}

// Invitation lets whoever proves to have its address in, once.
type Invitation struct {
	ID             string     `json:"id"`
	Email          string     `json:"email"`
	OrganizationID *string    `json:"organizationId"` // nil: to the installation
	Role           string     `json:"role"`           // "operator", "admin", "member" or "deployer"
	CreatedBy      *string    `json:"createdBy"`
	CreatedAt      time.Time  `json:"createdAt"`
	ExpiresAt      time.Time  `json:"expiresAt"`
	AcceptedAt     *time.Time `json:"acceptedAt"`
	AcceptedBy     *string    `json:"acceptedBy"`
	RevokedAt      *time.Time `json:"revokedAt"`
}

// CreatedInvitation is a new invitation with its text, which is shown only once.
type CreatedInvitation struct {
	Invitation
	Text string `json:"invitation"`
}

// InvitationList is a page of invitations, newest first.
type InvitationList struct {
	Invitations []Invitation `json:"invitations"`
	NextCursor  *string      `json:"nextCursor"` // nil after the last page
}

// NewInvitation is an invitation to be.
type NewInvitation struct {
	Email     string     `json:"email"`
	Role      string     `json:"role,omitempty"`      // in an organization: "admin", "member" or "deployer"
	ExpiresAt *time.Time `json:"expiresAt,omitempty"` // within 30 days; nil: in 7
}

// Accepted is what came of an invitation.
type Accepted struct {
	UserID         string  `json:"userId"`
	OrganizationID *string `json:"organizationId"` // nil: the installation
	Role           string  `json:"role"`
}

// Session is a sign-in of the caller's.
type Session struct {
	ID         string    `json:"id"`
	Address    *string   `json:"address"` // where it was begun
	CreatedAt  time.Time `json:"createdAt"`
	LastSeenAt time.Time `json:"lastSeenAt"` // to the minute
	ExpiresAt  time.Time `json:"expiresAt"`
	Current    bool      `json:"current"` // the one of this request
}

// Me asks who the token stands for.
func (c *Client) Me(ctx context.Context) (out Me, err error) {
	err = c.get(ctx, "/api/me", nil, &out)
	return out, err
}

// Users lists users; limit 0 means 100, at most 1000.
func (c *Client) Users(ctx context.Context, cursor string, limit int) (out UserList, err error) {
	err = c.get(ctx, "/api/users", page(cursor, limit), &out)
	return out, err
}

// UpdateUser makes a user an operator or not, or disables or enables them.
func (c *Client) UpdateUser(ctx context.Context, id string, in UserChange) (out User, err error) {
	_, err = c.do(ctx, request{method: http.MethodPatch, path: "/api/users/" + url.PathEscape(id), in: in}, &out)
	return out, err
}

func organizationPath(organizationID string, below ...string) string {
	path := "/api/organizations/" + url.PathEscape(organizationID)
	for _, b := range below {
		path += "/" + url.PathEscape(b)
	}
	return path
}

// Members lists an organization's members; limit 0 means 100, at most 1000.
func (c *Client) Members(ctx context.Context, organizationID, cursor string, limit int) (out MemberList, err error) {
	err = c.get(ctx, organizationPath(organizationID, "members"), page(cursor, limit), &out)
	return out, err
}

// PutMember gives a user a role in an organization.
func (c *Client) PutMember(ctx context.Context, organizationID, userID, role string) (out Member, err error) {
	in := struct {
		Role string `json:"role"`
	}{role}
	_, err = c.do(ctx, request{method: http.MethodPut, path: organizationPath(organizationID, "members", userID), in: in}, &out)
	return out, err
}

// RemoveMember ends a membership.
func (c *Client) RemoveMember(ctx context.Context, organizationID, userID string) error {
	return c.delete(ctx, organizationPath(organizationID, "members", userID))
}

// invitationsPath is that of an organization's, or with "" of the
// installation's.
func invitationsPath(organizationID string) string {
	if organizationID == "" {
		return "/api/invitations"
	}
	return organizationPath(organizationID, "invitations")
}

// Invitations lists an organization's invitations, or with organizationID ""
// those of operators; limit 0 means 100, at most 1000.
func (c *Client) Invitations(ctx context.Context, organizationID, cursor string, limit int) (out InvitationList, err error) {
	err = c.get(ctx, invitationsPath(organizationID), page(cursor, limit), &out)
	return out, err
}

// Invite invites somebody to an organization, or with organizationID "" to be an
// operator.
func (c *Client) Invite(ctx context.Context, organizationID string, in NewInvitation) (out CreatedInvitation, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: invitationsPath(organizationID), in: in}, &out)
	return out, err
}

// RevokeInvitation closes an invitation that was not accepted.
func (c *Client) RevokeInvitation(ctx context.Context, organizationID, id string) error {
	return c.delete(ctx, invitationsPath(organizationID)+"/"+url.PathEscape(id))
}

// AcceptInvitation accepts one. The client's token is a JSON Web Token that
// proves the invitation's address.
func (c *Client) AcceptInvitation(ctx context.Context, text string) (out Accepted, err error) {
	in := struct {
		Invitation string `json:"invitation"`
	}{text}
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/invitations/accept", in: in}, &out)
	return out, err
}

// Sessions lists the caller's own, newest first.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	var out struct {
		Sessions []Session `json:"sessions"`
	}
	err := c.get(ctx, "/api/sessions", nil, &out)
	return out.Sessions, err
}

// EndSession ends one of the caller's sessions.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.delete(ctx, "/api/sessions/"+url.PathEscape(id))
}
