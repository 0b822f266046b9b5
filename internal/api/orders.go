package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/tenancy"
)

// Target names the tenant of a request: by organization id or by slug.
type Target struct {
	Ref string `path:"organizationId" doc:"organization id, or the tenant's slug"`
}

// Order is what every mutation may carry.
type Order struct {
	Wait    int    `query:"wait" default:"60" minimum:"0" maximum:"600" doc:"seconds to wait for the end; 202 if it takes longer"`
	Trace   string `header:"traceparent" doc:"W3C trace context: the span that the order's trace hangs below"`
	RawBody []byte `contentType:"application/json"`

	keyed idempotency.Request
}

// Resolve keeps the idempotency key; huma calls it before the handler.
func (o *Order) Resolve(ctx huma.Context) []error {
	o.keyed, _ = ctx.Context().Value(keyedKey{}).(idempotency.Request)
	return nil
}

func (o *Order) call(notes string) tenancy.Call {
	return tenancy.Call{Request: o.keyed, Notes: notes, Traceparent: o.Trace}
}

// answer is a response whose bytes are known, so that they can be repeated.
type answer struct {
	Status      int
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// end is how an order that succeeded is answered.
type end struct {
	status int // once it is over
	body   func(tenancy.Receipt) any
}

// finish waits for an order's end, as long as the client wants, and answers.
func (s *server) finish(ctx context.Context, actor berth.Actor, o *Order, r tenancy.Receipt, e end) (*answer, error) {
	switch {
	case r.Forecast != nil:
		return foretold(r)
	case r.Answer != nil:
		return answerOf(r.Answer.Status, r.Answer.Body), nil
	}
	wait, cancel := context.WithTimeout(ctx, time.Duration(o.Wait)*time.Second)
	defer cancel()
	r, err := s.Service.Await(wait, actor, r)
	if err != nil {
		return nil, err
	}
	return render(r, e)
}

// render makes the answer to an order as it stands: 202 while it is under way.
func render(r tenancy.Receipt, e end) (*answer, error) {
	d := r.Deployment
	if d.Status == berth.DeploymentFailed || d.Status == berth.DeploymentSuperseded {
		p := problemFrom(&berth.Error{
			Code: berth.CodeDeploymentFailed, Message: "The " + string(d.Type) + " failed: " + d.Error, Deployment: d.ID,
			Hint: "mend the cause and try again; berth logs and berth deployments tell more",
		})
		return answerOf(p.Status, p.body()), nil
	}
	data, err := json.Marshal(e.body(r))
	if err != nil {
		return nil, berth.Errorf(berth.CodeInternal, "encode answer: %w", err)
	}
	status := http.StatusAccepted
	if d.Over() {
		status = e.status
	}
	return answerOf(status, append(data, '\n')), nil
}

func answerOf(status int, body []byte) *answer {
	kind := "application/json"
	if status >= 400 {
		kind = "application/problem+json"
	}
	return &answer{Status: status, ContentType: kind, Body: body}
}

// changed answers a change of a tenant.
func (s *server) changed(r tenancy.Receipt) any {
	return changedWire{Success: true, DeploymentID: r.Deployment.ID, tenantWire: s.tenantWire(r.Tenant)}
}

// mutation describes a route that takes an order.
func (s *server) mutation(op huma.Operation, body, reply any) huma.Operation {
	reg := s.api.OpenAPI().Components.Schemas
	schema := func(v any) *huma.Schema { return reg.Schema(reflect.TypeOf(v), true, "") }
	content := map[string]*huma.MediaType{"application/json": {Schema: schema(reply)}}
	failed := map[string]*huma.MediaType{"application/problem+json": {Schema: schema(problem{})}}
	done := "200"
	if op.OperationID == "provision" {
		done = "201"
	}
	op.MaxBodyBytes, op.Tags = maxBody+1, []string{"tenants"}
	op.Responses = map[string]*huma.Response{
		done:      {Description: "done", Content: content},
		"202":     {Description: "recorded, and under way", Content: content},
		"409":     {Description: "wrong state, or it failed", Content: failed},
		"default": {Description: "refused; nothing was changed", Content: failed},
	}
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: schema(body)}}}
	return op
}

type provisionInput struct{ Order }

type orderInput struct {
	Target
	Order
	Dry
}

func (in *orderInput) call(notes string) tenancy.Call { return in.tried(in.Order.call(notes)) }

type deleteInput struct {
	Target
	Order
	Dry
	Volumes string `query:"volumes" default:"keep" doc:"what becomes of the tenant's data: keep or delete"`
}

func (in *deleteInput) call(notes string) tenancy.Call { return in.tried(in.Order.call(notes)) }

const tenantPath = "/api/tenants/{organizationId}"

// tenantRoutes are those that change a tenant.
func (s *server) tenantRoutes() {
	secured(s, s.mutation(huma.Operation{Method: http.MethodPost, Path: "/api/tenants/provision", OperationID: "provision", Summary: "Provision a tenant"}, provisionBody{}, provisionedWire{}),
		func(ctx context.Context, actor berth.Actor, in *provisionInput) (*answer, error) {
			var b provisionBody
			if err := decode(in.RawBody, &b); err != nil {
				return nil, err
			}
			if err := noNullVariable(in.RawBody); err != nil {
				return nil, err
			}
			r, err := s.Service.Provision(ctx, actor, in.call(""), tenancy.Provision{
				OrganizationID: b.OrganizationID, Name: b.TenantName, Slug: b.Slug, CPU: b.CPULimit, MemoryMB: b.MemoryLimitMB,
				DiskMB: b.DiskLimitMB, Blueprint: b.Blueprint, ImageTag: b.ImageTag, Environment: b.Environment, Domains: b.Domains, Replicas: b.Replicas, Start: b.Start, LeaveData: b.LeaveData,
			})
			if err != nil {
				return nil, err
			}
			return s.finish(ctx, actor, &in.Order, r, end{http.StatusCreated, func(r tenancy.Receipt) any { return provisionedOf(r) }})
		})
	plain := func(id, summary string, do func(context.Context, berth.Actor, tenancy.Call, string) (tenancy.Receipt, error)) {
		change(s, s.mutation(huma.Operation{Method: http.MethodPost, Path: tenantPath + "/" + id, OperationID: id, Summary: summary}, emptyBody{}, changedWire{}),
			func(ctx context.Context, actor berth.Actor, in *orderInput, _ emptyBody) (tenancy.Receipt, error) {
				return do(ctx, actor, in.call(""), in.Ref)
			})
	}
	// Service is nil where only the description is wanted.
	plain("start", "Start a tenant", func(ctx context.Context, a berth.Actor, c tenancy.Call, ref string) (tenancy.Receipt, error) {
		return s.Service.Start(ctx, a, c, ref)
	})
	plain("stop", "Stop a tenant", func(ctx context.Context, a berth.Actor, c tenancy.Call, ref string) (tenancy.Receipt, error) {
		return s.Service.Stop(ctx, a, c, ref)
	})
	plain("restart", "Stop a tenant's containers and start them again", func(ctx context.Context, a berth.Actor, c tenancy.Call, ref string) (tenancy.Receipt, error) {
		return s.Service.Restart(ctx, a, c, ref)
	})
	plain("adopt", "Take a tenant back whose containers compose made of the rendered file", func(ctx context.Context, a berth.Actor, c tenancy.Call, ref string) (tenancy.Receipt, error) {
		return s.Service.Adopt(ctx, a, c, ref)
	})
	s.cancelRoute()
	s.changeRoutes()
}

// changeRoutes are those whose body says what to change.
func (s *server) changeRoutes() {
	change(s, s.mutation(huma.Operation{Method: http.MethodPost, Path: tenantPath + "/scale", OperationID: "scale", Summary: "Change limits and replicas"}, scaleBody{}, changedWire{}),
		func(ctx context.Context, actor berth.Actor, in *orderInput, b scaleBody) (tenancy.Receipt, error) {
			return s.Service.Scale(ctx, actor, in.call(""), in.Ref, tenancy.Scale{CPU: b.CPULimit, MemoryMB: b.MemoryLimitMB, Replicas: b.Replicas})
		})
	change(s, s.mutation(huma.Operation{Method: http.MethodPost, Path: tenantPath + "/deploy", OperationID: "deploy", Summary: "Deploy a blueprint, an image, an environment or all of them"}, deployBody{}, changedWire{}),
		func(ctx context.Context, actor berth.Actor, in *orderInput, b deployBody) (tenancy.Receipt, error) {
			return s.Service.Deploy(ctx, actor, in.call(b.Notes), in.Ref, tenancy.Deploy{Blueprint: b.Blueprint, ImageTag: b.ImageTag, Environment: b.Environment, LeaveData: b.LeaveData})
		})
	change(s, s.mutation(huma.Operation{Method: http.MethodPost, Path: tenantPath + "/rollback", OperationID: "rollback", Summary: "Return to an earlier deployment"}, rollbackBody{}, changedWire{}),
		func(ctx context.Context, actor berth.Actor, in *orderInput, b rollbackBody) (tenancy.Receipt, error) {
			return s.Service.Rollback(ctx, actor, in.call(b.Notes), in.Ref, b.DeploymentID)
		})
	change(s, s.mutation(huma.Operation{Method: http.MethodPatch, Path: tenantPath, OperationID: "configure", Summary: "Change name, disk limit or environment"}, configureBody{}, changedWire{}),
		func(ctx context.Context, actor berth.Actor, in *orderInput, b configureBody) (tenancy.Receipt, error) {
			return s.Service.Configure(ctx, actor, in.call(""), in.Ref, tenancy.Configure{
				Name: b.TenantName, DiskMB: b.DiskLimitMB, Environment: b.Environment, Domains: b.Domains,
			})
		})
	op := s.triable(s.mutation(huma.Operation{Method: http.MethodDelete, Path: tenantPath, OperationID: "deprovision", Summary: "Remove a tenant"}, emptyBody{}, deprovisionedWire{}))
	secured(s, op, func(ctx context.Context, actor berth.Actor, in *deleteInput) (*answer, error) {
		if err := decode(in.RawBody, &emptyBody{}); err != nil {
			return nil, err
		}
		r, err := s.Service.Deprovision(ctx, actor, in.call(""), in.Ref, berth.VolumePolicy(in.Volumes))
		if err != nil {
			return nil, err
		}
		return s.finish(ctx, actor, &in.Order, r, end{http.StatusOK, s.deprovisioned})
	})
}

// change registers an order whose body is a B.
func change[B any](s *server, op huma.Operation, do func(ctx context.Context, actor berth.Actor, in *orderInput, b B) (tenancy.Receipt, error)) {
	secured(s, s.triable(op), func(ctx context.Context, actor berth.Actor, in *orderInput) (*answer, error) {
		var b B
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		r, err := do(ctx, actor, in, b)
		if err != nil {
			return nil, err
		}
		return s.finish(ctx, actor, &in.Order, r, end{http.StatusOK, s.changed})
	})
}
