package api

import (
	"context"
	"net/http"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
)

type invitationWire struct {
	ID             string     `json:"id"`
	Email          string     `json:"email" doc:"whoever proves to have it can accept"`
	OrganizationID *string    `json:"organizationId" doc:"null: to the installation"`
	Role           string     `json:"role" enum:"operator,admin,member,deployer"`
	CreatedBy      *string    `json:"createdBy" doc:"id of a token or a user"`
	CreatedAt      time.Time  `json:"createdAt"`
	ExpiresAt      time.Time  `json:"expiresAt"`
	AcceptedAt     *time.Time `json:"acceptedAt"`
	AcceptedBy     *string    `json:"acceptedBy" doc:"id of a user"`
	RevokedAt      *time.Time `json:"revokedAt"`
}

type invitationList struct {
	Invitations []invitationWire `json:"invitations"`
	NextCursor  *string          `json:"nextCursor"`
}

type invitationBody struct {
	Email     string     `json:"email"`
	Role      string     `json:"role" enum:"admin,member,deployer"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"within 30 days; in 7 if left out"`
}

type operatorInvitationBody struct {
	Email     string     `json:"email"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"within 30 days; in 7 if left out"`
}

type invitationMade struct {
	Invitation string `json:"invitation" doc:"shown this once: hand it to the person"`
	invitationWire
}

type invitationInput struct {
	ID string `path:"invitationId"`
}

type organizationInvitation struct {
	OrganizationInput
	Invitation string `path:"invitationId"`
}

type organizationRaw struct {
	OrganizationInput
	RawInput
}

type acceptBody struct {
	Invitation string `json:"invitation" doc:"its text"`
}

type acceptedWire struct {
	UserID         string  `json:"userId"`
	OrganizationID *string `json:"organizationId" doc:"null: the installation"`
	Role           string  `json:"role" enum:"operator,admin,member,deployer"`
}

type accepted struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      acceptedWire
}

func invitationOf(i berth.Invitation) invitationWire {
	return invitationWire{
		i.ID, i.Email, orNull(i.OrganizationID), string(i.Role), orNull(i.CreatedBy), i.CreatedAt, i.ExpiresAt,
		orNullTime(i.AcceptedAt), orNull(i.AcceptedBy), orNullTime(i.RevokedAt),
	}
}

// invitationRoutes come twice: for an organization and for the installation.
func (s *server) invitationRoutes() {
	const all, one = "/api/invitations", "/api/organizations/{organizationId}/invitations"
	secured(s, person(http.MethodGet, all, "operator-invitations", "Invitations of operators, newest first"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[invitationList], error) {
		return s.invitations(ctx, actor, "", *in)
	})
	secured(s, person(http.MethodGet, one, "invitations", "Invitations to an organization, newest first"), func(ctx context.Context, actor berth.Actor, in *organizationPage) (*body[invitationList], error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		return s.invitations(ctx, actor, id, in.PageInput)
	})
	invite := s.takes(person(http.MethodPost, all, "invite-operator", "Invite an operator"), operatorInvitationBody{})
	invite.DefaultStatus = http.StatusCreated
	secured(s, invite, func(ctx context.Context, actor berth.Actor, in *RawInput) (*body[invitationMade], error) {
		var b operatorInvitationBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		return s.invite(ctx, actor, auth.NewInvitation{Email: b.Email, Role: berth.RoleOperator, ExpiresAt: moment(b.ExpiresAt)})
	})
	invite = s.takes(person(http.MethodPost, one, "invite", "Invite somebody to an organization"), invitationBody{})
	invite.DefaultStatus = http.StatusCreated
	secured(s, invite, func(ctx context.Context, actor berth.Actor, in *organizationRaw) (*body[invitationMade], error) {
		var b invitationBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		return s.invite(ctx, actor, auth.NewInvitation{Email: b.Email, OrganizationID: id, Role: berth.Role(b.Role), ExpiresAt: moment(b.ExpiresAt)})
	})
	secured(s, person(http.MethodDelete, all+"/{invitationId}", "revoke-operator-invitation", "Revoke an invitation of an operator"), func(ctx context.Context, actor berth.Actor, in *invitationInput) (*none, error) {
		return nil, s.Auth.RevokeInvitation(ctx, actor, "", in.ID)
	})
	secured(s, person(http.MethodDelete, one+"/{invitationId}", "revoke-invitation", "Revoke an invitation to an organization"), func(ctx context.Context, actor berth.Actor, in *organizationInvitation) (*none, error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		return nil, s.Auth.RevokeInvitation(ctx, actor, id, in.Invitation)
	})
	s.acceptRoute()
}

func (s *server) invitations(ctx context.Context, actor berth.Actor, organization string, p PageInput) (*body[invitationList], error) {
	page, next, err := s.Auth.Invitations(ctx, actor, organization, p.page())
	out := invitationList{Invitations: []invitationWire{}, NextCursor: orNull(next)}
	for _, i := range page {
		out.Invitations = append(out.Invitations, invitationOf(i))
	}
	return &body[invitationList]{out}, err
}

func (s *server) invite(ctx context.Context, actor berth.Actor, in auth.NewInvitation) (*body[invitationMade], error) {
	text, i, err := s.Auth.Invite(ctx, actor, in)
	return &body[invitationMade]{invitationMade{text, invitationOf(i)}}, err
}

func (s *server) acceptRoute() {
	accept := s.takes(person(http.MethodPost, "/api/invitations/accept", "accept-invitation",
		"Accept an invitation, with a JSON Web Token or right after a sign-in with invited=true"), acceptBody{})
	guarded(s, accept, s.caller, func(ctx context.Context, c asking, in *RawInput) (*accepted, error) {
		var b acceptBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		done, err := s.Auth.Accept(ctx, c.Caller, c.request, b.Invitation)
		if err != nil {
			return nil, err
		}
		out := &accepted{Body: acceptedWire{done.User.ID, orNull(done.OrganizationID), string(done.Role)}}
		if done.Session != "" {
			out.SetCookie = []http.Cookie{kept(berth.SessionCookie, done.Session, auth.SessionLifetime), gone(berth.ProofCookie)}
		}
		return out, nil
	})
}
