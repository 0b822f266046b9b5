package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Token is an API token without its text.
type Token struct {
	ID             string     `json:"id"`
	Name           string     `json:"name"`
	Prefix         string     `json:"prefix"`
	Role           string     `json:"role"`           // "operator", "admin", "member" or "deployer"
	OrganizationID *string    `json:"organizationId"` // nil: of the installation
	Scopes         []string   `json:"scopes"`         // empty: all of the role's
	CreatedBy      *string    `json:"createdBy"`      // id of a token or a user
	CreatedAt      time.Time  `json:"createdAt"`
	ExpiresAt      *time.Time `json:"expiresAt"`
	LastUsedAt     *time.Time `json:"lastUsedAt"` // to the minute
	RevokedAt      *time.Time `json:"revokedAt"`
}

// NewToken is a token to be; what is left out has a default.
type NewToken struct {
	Name           string     `json:"name"`
	Role           string     `json:"role,omitempty"`           // "operator"
	OrganizationID string     `json:"organizationId,omitempty"` // your own
	Scopes         []string   `json:"scopes,omitempty"`         // all of the role's
	ExpiresAt      *time.Time `json:"expiresAt,omitempty"`      // never
}

// CreatedToken is a new token with its text, which is shown only once.
type CreatedToken struct {
	Token
	Text string `json:"token"`
}

// TokenList is a page of tokens, oldest first.
type TokenList struct {
	Tokens     []Token `json:"tokens"`
	NextCursor *string `json:"nextCursor"` // nil after the last page
}

// TokenFilter narrows a list; zero fields do not.
type TokenFilter struct {
	OrganizationID string
	Cursor         string // NextCursor of the page before
	Limit          int    // 0: 100; at most 1000
}

// Tokens lists the tokens that the caller may manage.
func (c *Client) Tokens(ctx context.Context, f TokenFilter) (out TokenList, err error) {
	q := page(f.Cursor, f.Limit)
	if f.OrganizationID != "" {
		q.Set("organizationId", f.OrganizationID)
	}
	err = c.get(ctx, "/api/tokens", q, &out)
	return out, err
}

// CreateToken makes a token, which may do no more than the caller.
func (c *Client) CreateToken(ctx context.Context, in NewToken) (out CreatedToken, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/api/tokens", in: in}, &out)
	return out, err
}

// RevokeToken ends a token for good.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.delete(ctx, "/api/tokens/"+url.PathEscape(id))
}

func (c *Client) delete(ctx context.Context, path string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: path}, nil)
	return err
}
