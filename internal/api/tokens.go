package api

import (
	"context"
	"net/http"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
)

type tokenWire struct {
	ID             string     `json:"id"`
	Name           string     `json:"name"`
	Prefix         string     `json:"prefix"`
	Role           string     `json:"role" enum:"operator,admin,member,deployer"`
	OrganizationID *string    `json:"organizationId" doc:"null: of the installation"`
	Scopes         []string   `json:"scopes" doc:"what it may do of what its role may; empty: all of it"`
	CreatedBy      *string    `json:"createdBy" doc:"id of a token or a user; null if not known"`
	CreatedAt      time.Time  `json:"createdAt"`
	ExpiresAt      *time.Time `json:"expiresAt"`
	LastUsedAt     *time.Time `json:"lastUsedAt" doc:"to the minute"`
	RevokedAt      *time.Time `json:"revokedAt"`
}

type tokenList struct {
	Tokens     []tokenWire `json:"tokens"`
	NextCursor *string     `json:"nextCursor"`
}

type tokenBody struct {
	Name           string     `json:"name" doc:"what it is for, 1-100 characters"`
	Role           string     `json:"role,omitempty" enum:"operator,admin,member,deployer" doc:"operator if left out"`
	OrganizationID string     `json:"organizationId,omitempty" doc:"whose; your own if left out"`
	Scopes         []string   `json:"scopes,omitempty" doc:"read, start, stop, deploy, configure, people, audit, provision or installation, as far as the role has it; all of it if left out"`
	ExpiresAt      *time.Time `json:"expiresAt,omitempty" doc:"never if left out"`
}

type tokenMade struct {
	Token string `json:"token" doc:"shown this once"`
	tokenWire
}

type tokenInput struct {
	ID string `path:"tokenId"`
}

// PageInput asks for a part of a list.
type PageInput struct {
	Cursor string `query:"cursor" maxLength:"200" doc:"nextCursor of the page before"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

func (in PageInput) page() store.Page { return store.Page{Cursor: in.Cursor, Limit: in.Limit} }

type tokensInput struct {
	Organization string `query:"organizationId" doc:"only this organization's"`
	PageInput
}

func tokenOf(t berth.Token) tokenWire {
	return tokenWire{
		t.ID, t.Name, t.Prefix, string(t.Role), orNull(t.OrganizationID), t.Scopes.Names(), orNull(t.CreatedBy),
		t.CreatedAt, orNullTime(t.ExpiresAt), orNullTime(t.LastUsedAt), orNullTime(t.RevokedAt),
	}
}

// moment is a time that a body gave, in the precision that is stored; zero if it
// gave none.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func (s *server) tokenRoutes() {
	secured(s, operation(http.MethodGet, "/api/tokens", "tokens", "List the tokens that you may manage, oldest first"), func(ctx context.Context, actor berth.Actor, in *tokensInput) (*body[tokenList], error) {
		organization := in.Organization
		if organization != "" {
			var err error
			if organization, err = berth.ParseOrganizationID(organization); err != nil {
				return nil, err
			}
		}
		page, next, err := s.Auth.Tokens(ctx, actor, organization, in.page())
		out := tokenList{Tokens: []tokenWire{}, NextCursor: orNull(next)}
		for _, t := range page {
			out.Tokens = append(out.Tokens, tokenOf(t))
		}
		return &body[tokenList]{out}, err
	})
	create := s.takes(operation(http.MethodPost, "/api/tokens", "create-token", "Make a token that may do no more than you"), tokenBody{})
	create.DefaultStatus = http.StatusCreated
	secured(s, create, func(ctx context.Context, actor berth.Actor, in *RawInput) (*body[tokenMade], error) {
		var b tokenBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		scopes, err := berth.ParseScopes(b.Scopes)
		if err != nil {
			return nil, err
		}
		text, t, err := s.Auth.Create(ctx, actor, auth.NewToken{
			Name: b.Name, Role: berth.Role(b.Role), OrganizationID: b.OrganizationID, Scopes: scopes, ExpiresAt: moment(b.ExpiresAt),
		})
		return &body[tokenMade]{tokenMade{text, tokenOf(t)}}, err
	})
	secured(s, operation(http.MethodDelete, "/api/tokens/{tokenId}", "revoke-token", "Revoke a token"), func(ctx context.Context, actor berth.Actor, in *tokenInput) (*none, error) {
		return nil, s.Auth.Revoke(ctx, actor, in.ID)
	})
}
