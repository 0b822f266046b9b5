package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
)

type meWire struct {
	ID             string           `json:"id" doc:"of the token or the user"`
	Kind           string           `json:"kind" enum:"token,user"`
	Name           string           `json:"name"`
	Email          *string          `json:"email" doc:"of a user"`
	Role           *string          `json:"role" enum:"operator,admin,member,deployer" doc:"null: name an organization first"`
	OrganizationID *string          `json:"organizationId" doc:"the one you act for; null for all"`
	Scopes         []string         `json:"scopes" doc:"what you may do now"`
	Memberships    []membershipWire `json:"memberships"`
}

type membershipWire struct {
	OrganizationID string `json:"organizationId"`
	Role           string `json:"role" enum:"admin,member,deployer"`
}

type userWire struct {
	ID         string     `json:"id"`
	Email      string     `json:"email"`
	Name       string     `json:"name"`
	Operator   bool       `json:"operator" doc:"of the whole installation"`
	CreatedAt  time.Time  `json:"createdAt"`
	DisabledAt *time.Time `json:"disabledAt" doc:"null: may sign in"`
}

type userList struct {
	Users      []userWire `json:"users"`
	NextCursor *string    `json:"nextCursor"`
}

type userBody struct {
	Operator *bool `json:"operator,omitempty" doc:"of the whole installation"`
	Disabled *bool `json:"disabled,omitempty" doc:"may not sign in; sessions end at once"`
}

type userInput struct {
	ID string `path:"userId"`
	RawInput
}

type memberWire struct {
	UserID    string    `json:"userId"`
	Email     string    `json:"email"`
	Name      string    `json:"name"`
	Role      string    `json:"role" enum:"admin,member,deployer"`
	CreatedAt time.Time `json:"createdAt"`
	Disabled  bool      `json:"disabled" doc:"may not sign in"`
}

type memberList struct {
	Members    []memberWire `json:"members"`
	NextCursor *string      `json:"nextCursor"`
}

type memberBody struct {
	Role string `json:"role" enum:"admin,member,deployer"`
}

// OrganizationInput names an organization by its id.
type OrganizationInput struct {
	ID string `path:"organizationId"`
}

func (in OrganizationInput) id() (string, error) { return berth.ParseOrganizationID(in.ID) }

type organizationPage struct {
	OrganizationInput
	PageInput
}

// MemberInput names a user in an organization.
type MemberInput struct {
	OrganizationInput
	User string `path:"userId"`
}

type memberPut struct {
	MemberInput
	RawInput
}

func userOf(u berth.User) userWire {
	return userWire{u.ID, u.Email, u.Name, u.Operator, u.CreatedAt, orNullTime(u.DisabledAt)}
}

func memberOf(m auth.Member) memberWire {
	return memberWire{m.UserID, m.User.Email, m.User.Name, string(m.Role), m.CreatedAt, !m.User.DisabledAt.IsZero()}
}

func person(method, path, id, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{"people"}, MaxBodyBytes: maxBody + 1}
}

// peopleRoutes are about who may ask.
func (s *server) peopleRoutes() {
	guarded(s, person(http.MethodGet, "/api/me", "me", "Who you are"), s.caller, func(ctx context.Context, c asking, _ *none) (*body[meWire], error) {
		self, err := s.Auth.Me(ctx, c.Caller)
		if err != nil {
			return nil, err
		}
		return &body[meWire]{meOf(self)}, nil
	})
	secured(s, person(http.MethodGet, "/api/users", "users", "List users"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[userList], error) {
		page, next, err := s.Auth.Users(ctx, actor, in.page())
		out := userList{Users: []userWire{}, NextCursor: orNull(next)}
		for _, u := range page {
			out.Users = append(out.Users, userOf(u))
		}
		return &body[userList]{out}, err
	})
	secured(s, s.takes(person(http.MethodPatch, "/api/users/{userId}", "update-user", "Make a user an operator, or disable them"), userBody{}), func(ctx context.Context, actor berth.Actor, in *userInput) (*body[userWire], error) {
		var b userBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		u, err := s.Auth.UpdateUser(ctx, actor, strings.ToLower(in.ID), auth.UserChange(b))
		return &body[userWire]{userOf(u)}, err
	})
	s.memberRoutes()
	s.invitationRoutes()
}

func meOf(self auth.Self) meWire {
	out := meWire{
		ID: self.Actor.ID, Kind: "token", Name: self.Actor.Name, Role: orNull(string(self.Actor.Role)),
		OrganizationID: orNull(self.Actor.OrganizationID), Scopes: self.Scopes.Names(), Memberships: []membershipWire{},
	}
	if self.User.ID != "" {
		out.ID, out.Kind, out.Name, out.Email = self.User.ID, "user", self.User.Name, orNull(self.User.Email)
	}
	for _, m := range self.Memberships {
		out.Memberships = append(out.Memberships, membershipWire{m.OrganizationID, string(m.Role)})
	}
	return out
}

func (s *server) memberRoutes() {
	const path = "/api/organizations/{organizationId}/members"
	secured(s, person(http.MethodGet, path, "members", "Members of an organization"), func(ctx context.Context, actor berth.Actor, in *organizationPage) (*body[memberList], error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		page, next, err := s.Auth.Members(ctx, actor, id, in.page())
		out := memberList{Members: []memberWire{}, NextCursor: orNull(next)}
		for _, m := range page {
			out.Members = append(out.Members, memberOf(m))
		}
		return &body[memberList]{out}, err
	})
	secured(s, s.takes(person(http.MethodPut, path+"/{userId}", "put-member", "Give a member another role; an operator brings in any user"), memberBody{}), func(ctx context.Context, actor berth.Actor, in *memberPut) (*body[memberWire], error) {
		var b memberBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		m, err := s.Auth.PutMember(ctx, actor, berth.Membership{UserID: strings.ToLower(in.User), OrganizationID: id, Role: berth.Role(b.Role)})
		return &body[memberWire]{memberOf(m)}, err
	})
	secured(s, person(http.MethodDelete, path+"/{userId}", "remove-member", "End a membership"), func(ctx context.Context, actor berth.Actor, in *MemberInput) (*none, error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		return nil, s.Auth.RemoveMember(ctx, actor, strings.ToLower(in.User), id)
	})
}
