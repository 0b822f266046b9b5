package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Tenant is a tenant as the API shows it. A nil field is not known, or does
// not apply.
type Tenant struct {
	ID                string            `json:"id"` // of the record
	OrganizationID    string            `json:"organizationId"`
	TenantName        string            `json:"tenantName"`
	Slug              string            `json:"slug"`
	ContainerID       *string           `json:"containerId"` // the engine's
	ContainerName     string            `json:"containerName"`
	ImageTag          string            `json:"imageTag"`
	ImageDigest       *string           `json:"imageDigest"`
	Images            map[string]string `json:"images"`          // the same for services whose image is another one, by service
	Blueprint         string            `json:"blueprint"`       // name@version
	BlueprintBehind   *bool             `json:"blueprintBehind"` // there is a newer version
	ExternalPort      int               `json:"externalPort"`
	InternalPort      int               `json:"internalPort"`
	TenantURL         string            `json:"tenantUrl"`
	CPULimit          float64           `json:"cpuLimit"`
	EffectiveCPULimit *float64          `json:"effectiveCpuLimit"`
	MemoryLimitMB     int               `json:"memoryLimitMb"`
	DiskLimitMB       int               `json:"diskLimitMb"`
	Replicas          int               `json:"replicas"`
	Generation        int               `json:"generation"`
	Status            string            `json:"status"`
	Cause             *string           `json:"cause"`
	HealthStatus      string            `json:"healthStatus"`
	LastStartedAt     *time.Time        `json:"lastStartedAt"`
	LastStoppedAt     *time.Time        `json:"lastStoppedAt"`
	LastHealthCheckAt *time.Time        `json:"lastHealthCheckAt"`
	EnvironmentVars   []string          `json:"environmentVars"` // names; values are write-only
	VolumeMounts      []VolumeMount     `json:"volumeMounts"`
	CreatedAt         time.Time         `json:"createdAt"`
	UpdatedAt         time.Time         `json:"updatedAt"`
	CreatedBy         string            `json:"createdBy"`
}

// VolumeMount is a volume and its path in the container.
type VolumeMount struct {
	Volume string `json:"volume"`
	Mount  string `json:"mount"`
}

// TenantList is a page of tenants, oldest first.
type TenantList struct {
	Tenants    []Tenant `json:"tenants"`
	NextCursor *string  `json:"nextCursor"` // nil after the last page
}

// TenantFilter narrows a list; zero fields do not.
type TenantFilter struct {
	Status string
	Health string
	Text   string // in name or slug
	Cursor string // NextCursor of the page before
	Limit  int    // 0: 100; at most 1000
}

// Provision is a request for a tenant; what is left out has a default.
type Provision struct {
	OrganizationID string            `json:"organizationId"`
	TenantName     string            `json:"tenantName"`
	Slug           string            `json:"slug,omitempty"`
	CPULimit       *float64          `json:"cpuLimit,omitempty"`
	MemoryLimitMB  *int              `json:"memoryLimitMb,omitempty"`
	DiskLimitMB    *int              `json:"diskLimitMb,omitempty"`
	Blueprint      string            `json:"blueprint,omitempty"` // NAME or NAME@VERSION
	ImageTag       string            `json:"imageTag,omitempty"`
	Environment    map[string]string `json:"environment,omitempty"`
	Domains        []string          `json:"domains,omitempty"`
	Replicas       *int              `json:"replicas,omitempty"`
	Start          bool              `json:"start,omitempty"`
	LeaveData      bool              `json:"leaveData,omitempty"` // see Deploy
}

// Provisioned is the answer to a Provision.
type Provisioned struct {
	Success        bool   `json:"success"`
	ContainerID    string `json:"containerId"` // the record's
	ContainerName  string `json:"containerName"`
	ExternalPort   int    `json:"externalPort"`
	TenantURL      string `json:"tenantUrl"`
	ComposePath    string `json:"composePath"`
	OrganizationID string `json:"organizationId"`
	Slug           string `json:"slug"`
	Status         string `json:"status"`
	DeploymentID   string `json:"deploymentId"`
	Done           bool   `json:"-"` // the outcome was reached within the wait
}

// Changed is the answer to a change of a tenant.
type Changed struct {
	Success      bool   `json:"success"`
	DeploymentID string `json:"deploymentId"`
	Tenant
	Done bool `json:"-"` // the outcome was reached within the wait
}

// Scale changes limits and replicas; nil leaves a field as it is.
type Scale struct {
	CPULimit      *float64 `json:"cpuLimit,omitempty"`
	MemoryLimitMB *int     `json:"memoryLimitMb,omitempty"`
	Replicas      *int     `json:"replicas,omitempty"`
}

// Deploy changes what runs. The environment is merged; nil removes. A nil
// blueprint means the newest version of the tenant's own. With LeaveData a service
// may begin empty at a path where the tenant has data, which stays in its volume.
type Deploy struct {
	Blueprint   *string            `json:"blueprint,omitempty"` // NAME or NAME@VERSION
	ImageTag    *string            `json:"imageTag,omitempty"`
	Environment map[string]*string `json:"environment,omitempty"`
	Notes       string             `json:"deploymentNotes,omitempty"` // kept with the deployment
	LeaveData   bool               `json:"leaveData,omitempty"`
}

// Rollback returns to a deployment; to the last good one before the present
// one if DeploymentID is empty.
type Rollback struct {
	DeploymentID string `json:"deploymentId,omitempty"`
	Notes        string `json:"deploymentNotes,omitempty"`
}

// Configure changes what a tenant is called and holds.
type Configure struct {
	TenantName  *string            `json:"tenantName,omitempty"`
	DiskLimitMB *int               `json:"diskLimitMb,omitempty"`
	Environment map[string]*string `json:"environment,omitempty"`
	Domains     []string           `json:"domains,omitempty"`
}

// Deprovisioned is the answer to Deprovision.
type Deprovisioned struct {
	Success        bool     `json:"success"`
	OrganizationID string   `json:"organizationId"`
	DeploymentID   string   `json:"deploymentId"`
	Volumes        string   `json:"volumes"`     // "keep" or "delete"
	KeptVolumes    []string `json:"keptVolumes"` // names in the engine
	Done           bool     `json:"-"`           // the outcome was reached within the wait
}

// Provision makes a tenant.
func (c *Client) Provision(ctx context.Context, p Provision, call Call) (out Provisioned, err error) {
	status, err := c.do(ctx, request{method: http.MethodPost, path: "/api/tenants/provision",
		query: call.query(nil), in: p, key: call.IdempotencyKey}, &out)
	out.Done = status == http.StatusCreated
	return out, err
}

// Tenants lists living tenants.
func (c *Client) Tenants(ctx context.Context, f TenantFilter) (out TenantList, err error) {
	q := page(f.Cursor, f.Limit)
	for name, v := range map[string]string{"status": f.Status, "health": f.Health, "q": f.Text} {
		if v != "" {
			q.Set(name, v)
		}
	}
	err = c.get(ctx, "/api/tenants", q, &out)
	return out, err
}

// Tenant returns one tenant. Here and below, org is an organization id or a slug.
func (c *Client) Tenant(ctx context.Context, org string) (out Tenant, err error) {
	err = c.get(ctx, tenantPath(org), nil, &out)
	return out, err
}

// change orders a change of one tenant.
func (c *Client) change(ctx context.Context, r request, call Call) (out Changed, err error) {
	r.query, r.key = call.query(r.query), call.IdempotencyKey
	status, err := c.do(ctx, r, &out)
	out.Done = status == http.StatusOK
	return out, err
}

// Start makes a tenant run.
func (c *Client) Start(ctx context.Context, org string, call Call) (Changed, error) {
	return c.change(ctx, Start{}.order(org), call)
}

// Stop ends a tenant's containers and keeps them.
func (c *Client) Stop(ctx context.Context, org string, call Call) (Changed, error) {
	return c.change(ctx, Stop{}.order(org), call)
}

// Restart stops a tenant and starts it again.
func (c *Client) Restart(ctx context.Context, org string, call Call) (Changed, error) {
	return c.change(ctx, Restart{}.order(org), call)
}

// Cancelled is the answer to a cancellation.
type Cancelled struct {
	Changed
	DeploymentType string   `json:"deploymentType"`
	NotUndone      []string `json:"notUndone"`
}

// Cancel takes back the order that is under way. Only call's idempotency key
// counts: the answer does not wait for the way back.
func (c *Client) Cancel(ctx context.Context, org string, call Call) (out Cancelled, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: tenantPath(org, "cancel"), key: call.IdempotencyKey}, &out)
	return out, err
}

// CancelDeployment is Cancel for one order: it takes back no other that may be
// under way by the time it arrives.
func (c *Client) CancelDeployment(ctx context.Context, org, deploymentID string, call Call) (out Cancelled, err error) {
	body := map[string]string{"deploymentId": deploymentID}
	_, err = c.do(ctx, request{method: http.MethodPost, path: tenantPath(org, "cancel"), key: call.IdempotencyKey, in: body}, &out)
	return out, err
}

// Adopt takes a tenant back whose containers compose made of the rendered file,
// and starts it.
func (c *Client) Adopt(ctx context.Context, org string, call Call) (Changed, error) {
	return c.change(ctx, Adopt{}.order(org), call)
}

// Scale changes limits and replicas.
func (c *Client) Scale(ctx context.Context, org string, s Scale, call Call) (Changed, error) {
	return c.change(ctx, s.order(org), call)
}

// Deploy changes blueprint, image and environment.
func (c *Client) Deploy(ctx context.Context, org string, d Deploy, call Call) (Changed, error) {
	return c.change(ctx, d.order(org), call)
}

// Rollback returns to an earlier deployment.
func (c *Client) Rollback(ctx context.Context, org string, r Rollback, call Call) (Changed, error) {
	return c.change(ctx, r.order(org), call)
}

// Configure changes name, disk limit and environment.
func (c *Client) Configure(ctx context.Context, org string, in Configure, call Call) (Changed, error) {
	return c.change(ctx, in.order(org), call)
}

// Deprovision removes a tenant. volumes is "keep", the default if empty, or
// "delete".
func (c *Client) Deprovision(ctx context.Context, org, volumes string, call Call) (out Deprovisioned, err error) {
	r := Deprovision{Volumes: volumes}.order(org)
	r.query, r.key = call.query(r.query), call.IdempotencyKey
	status, err := c.do(ctx, r, &out)
	out.Done = status == http.StatusOK
	return out, err
}

// LogOptions narrow what Logs returns.
type LogOptions struct {
	Follow bool
	Tail   int // lines of each container; 0: 100, negative: all
	Since  time.Time
}

// Logs streams what a tenant's containers wrote. The caller closes it; it also
// ends with ctx.
func (c *Client) Logs(ctx context.Context, org string, o LogOptions) (io.ReadCloser, error) {
	q := url.Values{}
	if o.Follow {
		q.Set("follow", "true")
	}
	switch {
	case o.Tail < 0:
		q.Set("tail", "-1")
	case o.Tail > 0:
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	if !o.Since.IsZero() {
		q.Set("since", o.Since.UTC().Format(time.RFC3339Nano))
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: tenantPath(org, "logs"), query: q, accept: "text/plain"})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Compose returns a tenant's compose file. It holds no values of the tenant's
// own environment.
func (c *Client) Compose(ctx context.Context, org string) ([]byte, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: tenantPath(org, "compose"), accept: "application/yaml"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}
