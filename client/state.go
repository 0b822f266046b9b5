package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Deployment is one change of a tenant and its outcome.
type Deployment struct {
	ID                   string          `json:"id"`
	OrganizationID       string          `json:"organizationId"`
	DeploymentType       string          `json:"deploymentType"`
	Status               string          `json:"status"` // "pending", "completed", "failed" or "superseded"
	Generation           int             `json:"generation"`
	PreviousImageTag     *string         `json:"previousImageTag"`
	NewImageTag          string          `json:"newImageTag"`
	ImageDigest          *string         `json:"imageDigest"`
	PreviousConfig       json.RawMessage `json:"previousConfig"`
	NewConfig            json.RawMessage `json:"newConfig"`
	StartedAt            *time.Time      `json:"startedAt"`
	CompletedAt          *time.Time      `json:"completedAt"`
	ErrorMessage         *string         `json:"errorMessage"`
	CanRollback          bool            `json:"canRollback"`
	RollbackDeploymentID *string         `json:"rollbackDeploymentId"`
	DeployedBy           string          `json:"deployedBy"`
	DeploymentNotes      *string         `json:"deploymentNotes"`
	CreatedAt            time.Time       `json:"createdAt"`
	Progress             *Progress       `json:"progress,omitempty"` // of one under way
}

// Over reports whether d has reached its outcome.
func (d Deployment) Over() bool { return d.Status != "pending" }

// Progress is how far a step under way has come.
type Progress struct {
	Step  string `json:"step"`
	Done  int64  `json:"doneBytes"`
	Total *int64 `json:"totalBytes"` // nil if not known
}

// DeploymentList is a page of deployments, newest first.
type DeploymentList struct {
	Deployments []Deployment `json:"deployments"`
	NextCursor  *string      `json:"nextCursor"`
}

// Deployments lists an organization's deployments.
func (c *Client) Deployments(ctx context.Context, org, cursor string, limit int) (out DeploymentList, err error) {
	return out, c.get(ctx, tenantPath(org, "deployments"), page(cursor, limit), &out)
}

// Deployment returns one deployment.
func (c *Client) Deployment(ctx context.Context, org, id string) (out Deployment, err error) {
	return out, c.get(ctx, tenantPath(org, "deployments", id), nil, &out)
}

// Probe is the outcome of asking a tenant once whether it is well.
type Probe struct {
	CheckedAt      time.Time `json:"checkedAt"`
	Status         string    `json:"status"` // "healthy", "unhealthy" or "timeout"
	ResponseTimeMs *float64  `json:"responseTimeMs"`
	HTTPStatus     *int      `json:"httpStatus"`
	ErrorMessage   *string   `json:"errorMessage"`
	CheckType      string    `json:"checkType"`
	CheckEndpoint  string    `json:"checkEndpoint"`
}

// Container is one container as the engine has it.
type Container struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Service    string     `json:"service"`
	Replica    int        `json:"replica"`
	Generation int        `json:"generation"`
	State      string     `json:"state"`
	Image      string     `json:"image"`
	ExitCode   *int       `json:"exitCode"`
	OOMKilled  bool       `json:"oomKilled"`
	Restarts   int        `json:"restarts"`
	StartedAt  *time.Time `json:"startedAt"`
}

// Status is a tenant as the engine has it now, with one probe.
type Status struct {
	Tenant
	EngineReachable bool        `json:"engineReachable"`
	Running         *bool       `json:"running"` // nil if the engine does not answer
	Healthy         *bool       `json:"healthy"` // nil if not known
	ResponseTimeMs  *float64    `json:"responseTimeMs"`
	Probe           *Probe      `json:"probe"`
	Containers      []Container `json:"containers"`
	Deployment      *Deployment `json:"deployment"` // under way
}

// Health is what is known of a tenant's health.
type Health struct {
	OrganizationID    string     `json:"organizationId"`
	HealthStatus      string     `json:"healthStatus"`
	Healthy           *bool      `json:"healthy"`
	Running           *bool      `json:"running"`
	ResponseTimeMs    *float64   `json:"responseTimeMs"`
	LastHealthCheckAt *time.Time `json:"lastHealthCheckAt"`
	Cause             *string    `json:"cause"`
	Checks            []Probe    `json:"checks"` // newest first
}

// Status asks the engine and probes the tenant once.
func (c *Client) Status(ctx context.Context, org string) (out Status, err error) {
	return out, c.get(ctx, tenantPath(org, "status"), nil, &out)
}

// Health returns what is recorded of a tenant's health.
func (c *Client) Health(ctx context.Context, org string) (out Health, err error) {
	return out, c.get(ctx, tenantPath(org, "health"), nil, &out)
}

// CheckHealth probes a tenant now.
func (c *Client) CheckHealth(ctx context.Context, org string) (out Health, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: tenantPath(org, "health-check")}, &out)
	return out, err
}

// Event is something that happened outside an order.
type Event struct {
	ID             string    `json:"id"`
	OrganizationID *string   `json:"organizationId"`
	At             time.Time `json:"at"`
	Kind           string    `json:"kind"`
	Message        string    `json:"message"`
}

// Events lists what happened to a tenant, newest first; to all if org is "".
func (c *Client) Events(ctx context.Context, org string, limit int) ([]Event, error) {
	path := "/api/events"
	if org != "" {
		path = tenantPath(org, "events")
	}
	var out struct {
		Events []Event `json:"events"`
	}
	return out.Events, c.get(ctx, path, page("", limit), &out)
}
