package client

import (
	"context"
	"net/http"
	"time"
)

// Organization is a customer.
type Organization struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	SelfService []string  `json:"selfService"` // of "start", "stop", "deploy" and "configure"
	CreatedAt   time.Time `json:"createdAt"`
}

// OrganizationList is a page of organizations, by id.
type OrganizationList struct {
	Organizations []Organization `json:"organizations"`
	NextCursor    *string        `json:"nextCursor"` // nil after the last page
}

// PutOrganization makes or changes an organization; nil leaves a field as it
// is.
type PutOrganization struct {
	Name        *string   `json:"name,omitempty"`
	SelfService *[]string `json:"selfService,omitempty"`
}

// Organizations lists the organizations that the caller sees.
func (c *Client) Organizations(ctx context.Context, cursor string, limit int) (out OrganizationList, err error) {
	err = c.get(ctx, "/api/organizations", page(cursor, limit), &out)
	return out, err
}

// Organization returns one organization.
func (c *Client) Organization(ctx context.Context, id string) (out Organization, err error) {
	err = c.get(ctx, organizationPath(id), nil, &out)
	return out, err
}

// PutOrganization makes or changes an organization.
func (c *Client) PutOrganization(ctx context.Context, id string, in PutOrganization) (out Organization, err error) {
	_, err = c.do(ctx, request{method: http.MethodPut, path: organizationPath(id), in: in}, &out)
	return out, err
}
