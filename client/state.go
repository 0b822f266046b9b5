package client

import (
	"context"
	"time"
)

// Deployment is one change of a tenant and its outcome.
type Deployment struct {
	ID                   string           `json:"id"`
	OrganizationID       string           `json:"organizationId"`
	DeploymentType       string           `json:"deploymentType"`
	Status               string           `json:"status"` // "pending", "completed", "failed" or "superseded"
	Generation           int              `json:"generation"`
	PreviousImageTag     *string          `json:"previousImageTag"`
	NewImageTag          string           `json:"newImageTag"`
	ImageDigest          *string          `json:"imageDigest"`
	Blueprint            string           `json:"blueprint"`      // name@version
	PreviousConfig       *DeploymentSpec  `json:"previousConfig"` // nil for the first
	NewConfig            DeploymentSpec   `json:"newConfig"`
	StartedAt            *time.Time       `json:"startedAt"`
	CompletedAt          *time.Time       `json:"completedAt"`
	ErrorMessage         *string          `json:"errorMessage"`
	CanRollback          bool             `json:"canRollback"`
	RollbackDeploymentID *string          `json:"rollbackDeploymentId"`
	DeployedBy           string           `json:"deployedBy"`
	DeploymentNotes      *string          `json:"deploymentNotes"`
	CreatedAt            time.Time        `json:"createdAt"`
	EnvironmentChanged   []string         `json:"environmentChanged"` // names of variables
	Steps                []DeploymentStep `json:"steps"`              // in the order in which they were taken
	Step                 *string          `json:"step"`               // what is being done, while it is under way
	ProgressDone         int64            `json:"progressDone"`       // bytes of that step
	ProgressTotal        int64            `json:"progressTotal"`      // bytes; 0 if not known
}

// Over reports whether d has reached its outcome.
func (d Deployment) Over() bool { return d.Status != "pending" }

// DeploymentSpec is what a tenant runs before or after a deployment.
type DeploymentSpec struct {
	ImageTag        string            `json:"imageTag"`
	ImageDigest     *string           `json:"imageDigest"`
	Images          map[string]string `json:"images"` // by service, where it is another one
	Blueprint       string            `json:"blueprint"`
	CPULimit        float64           `json:"cpuLimit"` // cores
	MemoryLimitMB   int               `json:"memoryLimitMb"`
	DiskLimitMB     int               `json:"diskLimitMb"`
	Replicas        int               `json:"replicas"`
	EnvironmentVars []string          `json:"environmentVars"` // names
}

// DeploymentStep is one part of a deployment's way.
type DeploymentStep struct {
	Name      string    `json:"name"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
	Error     *string   `json:"error"`
}

// DeploymentList is a page of deployments, newest first.
type DeploymentList struct {
	Deployments []Deployment `json:"deployments"`
	NextCursor  *string      `json:"nextCursor"`
}

// Deployments lists an organization's deployments.
func (c *Client) Deployments(ctx context.Context, org, cursor string, limit int) (out DeploymentList, err error) {
	err = c.get(ctx, tenantPath(org, "deployments"), page(cursor, limit), &out)
	return out, err
}

// Deployment returns one deployment.
func (c *Client) Deployment(ctx context.Context, org, id string) (out Deployment, err error) {
	err = c.get(ctx, tenantPath(org, "deployments", id), nil, &out)
	return out, err
}

// Probe is the outcome of asking a tenant once whether it is well.
type Probe struct {
	CheckedAt      time.Time `json:"checkedAt"`
	Status         string    `json:"status"` // "healthy", "unhealthy" or "timeout"
	ResponseTimeMs *float64  `json:"responseTimeMs"`
	HTTPStatusCode *int      `json:"httpStatusCode"`
	ErrorMessage   *string   `json:"errorMessage"`
	CheckType      string    `json:"checkType"` // "http", "tcp" or "engine"
	CheckEndpoint  string    `json:"checkEndpoint"`

	// Of the whole tenant at that moment; nil if not known.
	CPUUsagePercent *float64 `json:"cpuUsagePercent"` // 100 is one core
	MemoryUsageMB   *int     `json:"memoryUsageMb"`
	DiskUsageMB     *int     `json:"diskUsageMb"`
}

// Container is one container as the engine has it.
type Container struct {
	ContainerID   string     `json:"containerId"`
	ContainerName string     `json:"containerName"`
	State         string     `json:"state"`
	ExitCode      *int       `json:"exitCode"`
	OOMKilled     bool       `json:"oomKilled"`
	Restarts      int        `json:"restarts"`
	StartedAt     *time.Time `json:"startedAt"`
}

// Status is a tenant as the engine has it now, with one probe.
type Status struct {
	Tenant
	EngineReachable bool        `json:"engineReachable"`
	Running         *bool       `json:"running"` // nil if not known
	Healthy         *bool       `json:"healthy"` // nil if not known
	ResponseTimeMs  *float64    `json:"responseTimeMs"`
	HTTPStatusCode  *int        `json:"httpStatusCode"`
	ProbeStatus     *string     `json:"probeStatus"` // "healthy", "unhealthy" or "timeout"
	ProbeError      *string     `json:"probeError"`
	CheckType       *string     `json:"checkType"`
	CheckEndpoint   *string     `json:"checkEndpoint"`
	Containers      []Container `json:"containers"`
	DeploymentID    *string     `json:"deploymentId"` // under way
	Step            *string     `json:"step"`         // of that deployment
}

// Status asks the engine and probes the tenant once.
func (c *Client) Status(ctx context.Context, org string) (out Status, err error) {
	err = c.get(ctx, tenantPath(org, "status"), nil, &out)
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

// EventList is a page of events, newest first.
type EventList struct {
	Events     []Event `json:"events"`
	NextCursor *string `json:"nextCursor"` // nil after the last page
}

// Events lists what happened to a tenant; to all if org is "".
func (c *Client) Events(ctx context.Context, org, cursor string, limit int) (out EventList, err error) {
	path := "/api/events"
	if org != "" {
		path = tenantPath(org, "events")
	}
	err = c.get(ctx, path, page(cursor, limit), &out)
	return out, err
}
