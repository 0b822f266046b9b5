package client

import (
	"context"
	"net/http"
	"net/url"
)

// Order is an order to one tenant that can be tried before it is given: Start,
// Stop, Restart, Adopt, Scale, Deploy, Rollback, Configure or Deprovision.
type Order interface{ order(org string) request }

// Orders that say nothing more than what they are.
type (
	Start   struct{}
	Stop    struct{}
	Restart struct{}
	Adopt   struct{}
)

// Deprovision removes a tenant.
type Deprovision struct {
	Volumes string // "keep", the default if empty, or "delete"
}

func post(org, verb string, in any) request {
	return request{method: http.MethodPost, path: tenantPath(org, verb), in: in}
}

func (Start) order(org string) request      { return post(org, "start", nil) }
func (Stop) order(org string) request       { return post(org, "stop", nil) }
func (Restart) order(org string) request    { return post(org, "restart", nil) }
func (Adopt) order(org string) request      { return post(org, "adopt", nil) }
func (s Scale) order(org string) request    { return post(org, "scale", s) }
func (d Deploy) order(org string) request   { return post(org, "deploy", d) }
func (r Rollback) order(org string) request { return post(org, "rollback", r) }

func (c Configure) order(org string) request {
	return request{method: http.MethodPatch, path: tenantPath(org), in: c}
}

func (d Deprovision) order(org string) request {
	q := url.Values{}
	if d.Volumes != "" {
		q.Set("volumes", d.Volumes)
	}
	return request{method: http.MethodDelete, path: tenantPath(org), query: q}
}

// Change gives an order that changes a tenant, as the method of its name does.
// What Deprovision answers is more: use that method.
func (c *Client) Change(ctx context.Context, org string, o Order, call Call) (Changed, error) {
	return c.change(ctx, o.order(org), call)
}

// Forecast is what an order would do if it were given now and every step
// succeeded.
type Forecast struct {
	OrganizationID     string           `json:"organizationId"`
	DeploymentType     string           `json:"deploymentType"`
	Changes            []ForecastChange `json:"changes"`
	Steps              []ForecastStep   `json:"steps"`              // in the order in which they would be taken
	LeftBehind         []string         `json:"leftBehind"`         // in words, where a service would begin empty and which volumes keep the data
	Downtime           bool             `json:"downtime"`           // requests that are answered now would wait or be refused
	ServedBefore       bool             `json:"servedBefore"`       // requests are answered as things stand
	ServesAfter        bool             `json:"servesAfter"`        // and would be in the end
	HeldAtMostSeconds  float64          `json:"heldAtMostSeconds"`  // for how long requests may be kept waiting, all in all
	TotalAtMostSeconds float64          `json:"totalAtMostSeconds"` // for how long all of it may take
	Failure            *string          `json:"failure"`            // why it would fail; nil if nothing that can be seen now makes it
}

// ForecastChange is one thing that the tenant would be and is not now.
type ForecastChange struct {
	Field string  `json:"field"` // as Tenant calls it; environment.NAME for a variable
	From  *string `json:"from"`  // nil where there was none; never a variable's value
	To    *string `json:"to"`
}

// ForecastStep is one step that would be taken.
type ForecastStep struct {
	Name          string  `json:"name"` // as DeploymentStep calls it; or "wait", "observe", "refuse requests"
	Text          string  `json:"text"`
	Service       *string `json:"service"`   // nil where it is about the whole tenant
	Instances     []int   `json:"instances"` // of the service, by number
	Stops         bool    `json:"stops"`     // something that runs is stopped
	Holds         bool    `json:"holds"`     // requests are kept waiting meanwhile
	AtMostSeconds float64 `json:"atMostSeconds"`
}

// DryRun tells what an order would do, and changes nothing. It is refused for
// what the order would be refused for.
func (c *Client) DryRun(ctx context.Context, org string, o Order) (out Forecast, err error) {
	r := o.order(org)
	if r.query == nil {
		r.query = url.Values{}
	}
	r.query.Set("dryRun", "true")
	_, err = c.do(ctx, r, &out)
	return out, err
}
