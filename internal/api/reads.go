package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

type body[T any] struct{ Body T }

type listInput struct {
	Status string `query:"status" enum:"pending,provisioning,running,stopped,sleeping,failed,deprovisioning"`
	Health string `query:"health" enum:"unknown,starting,healthy,unhealthy"`
	Text   string `query:"q" maxLength:"100" doc:"in name or slug"`
	PageInput
}

type tenantList struct {
	Tenants    []tenantWire `json:"tenants"`
	NextCursor *string      `json:"nextCursor"`
}

type pageInput struct {
	Target
	PageInput
}

type deploymentList struct {
	Deployments []deploymentWire `json:"deployments"`
	NextCursor  *string          `json:"nextCursor"`
}

type deploymentInput struct {
	Target
	ID string `path:"deploymentId"`
}

type checkInput struct {
	Target
	BareInput
}

type eventWire struct {
	ID             string    `json:"id"`
	OrganizationID *string   `json:"organizationId"`
	At             time.Time `json:"at"`
	Kind           string    `json:"kind" doc:"drift, foreign, engine or port"`
	Message        string    `json:"message"`
}

type eventList struct {
	Events     []eventWire `json:"events"`
	NextCursor *string     `json:"nextCursor"`
}

func eventsOf(list []berth.Event, next string) eventList {
	out := eventList{Events: []eventWire{}, NextCursor: orNull(next)}
	for _, e := range list {
		out.Events = append(out.Events, eventWire{e.ID, orNull(e.OrganizationID), e.At, e.Kind, e.Message})
	}
	return out
}

type logsInput struct {
	Target
	Follow bool      `query:"follow"`
	Tail   int       `query:"tail" default:"100" minimum:"-1" maximum:"100000" doc:"lines from the end; -1 for all"`
	Since  time.Time `query:"since" doc:"RFC 3339"`
}

func get(path, id, summary string) huma.Operation {
	return huma.Operation{Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Tags: []string{"tenants"}}
}

// readRoutes are those that change nothing but what is known.
func (s *server) readRoutes() {
	secured(s, get("/api/tenants", "list", "List tenants, oldest first"), func(ctx context.Context, actor berth.Actor, in *listInput) (*body[tenantList], error) {
		page, next, err := s.Service.Tenants(ctx, actor, store.TenantFilter{
			Status: berth.Status(in.Status), Health: berth.Health(in.Health), Text: in.Text, Page: in.page(),
		})
		out := tenantList{Tenants: make([]tenantWire, 0, len(page)), NextCursor: orNull(next)}
		behind := s.behind(ctx, page...)
		for _, t := range page {
			out.Tenants = append(out.Tenants, s.tenantWireOf(t, behind))
		}
		return &body[tenantList]{out}, err
	})
	secured(s, get(tenantPath, "get", "One tenant"), func(ctx context.Context, actor berth.Actor, in *Target) (*body[tenantWire], error) {
		t, err := s.Service.Tenant(ctx, actor, in.Ref)
		if err != nil {
			return nil, err
		}
		return &body[tenantWire]{s.tenantWire(t)}, nil
	})
	state := func(ctx context.Context, actor berth.Actor, in *Target) (*body[stateWire], error) {
		st, err := s.Service.State(ctx, actor, in.Ref)
		if err != nil {
			return nil, err
		}
		return &body[stateWire]{s.stateWire(st)}, nil
	}
	secured(s, get(tenantPath+"/status", "status", "The tenant as the engine has it now, with one probe"), state)
	check := get(tenantPath+"/health-check", "health-check", "Probe the tenant once, now")
	check.Method = http.MethodPost
	check.MaxBodyBytes = maxBody + 1
	check = s.takes(check, emptyBody{})
	secured(s, check, func(ctx context.Context, actor berth.Actor, in *checkInput) (*body[stateWire], error) {
		if err := in.empty(); err != nil {
			return nil, err
		}
		return state(ctx, actor, &in.Target)
	})
	s.healthRoutes()
	s.historyRoutes()
}

// historyRoutes show what happened to a tenant.
func (s *server) historyRoutes() {
	secured(s, get(tenantPath+"/deployments", "deployments", "Deployments, newest first, as many as are kept"), func(ctx context.Context, actor berth.Actor, in *pageInput) (*body[deploymentList], error) {
		page, next, err := s.Service.Deployments(ctx, actor, in.Ref, in.page())
		out := deploymentList{Deployments: make([]deploymentWire, 0, len(page)), NextCursor: orNull(next)}
		for _, d := range page {
			out.Deployments = append(out.Deployments, deploymentOf(d))
		}
		return &body[deploymentList]{out}, err
	})
	secured(s, get(tenantPath+"/deployments/{deploymentId}", "deployment", "One deployment, with its progress while it is under way"), func(ctx context.Context, actor berth.Actor, in *deploymentInput) (*body[deploymentWire], error) {
		d, err := s.Service.Deployment(ctx, actor, in.Ref, in.ID)
		if err != nil {
			return nil, err
		}
		out := deploymentOf(d)
		if p, ok := s.Service.Progress(d); ok {
			out.Step, out.ProgressDone, out.ProgressTotal = orNull(p.Step), p.Done, p.Total
		}
		return &body[deploymentWire]{out}, nil
	})
	secured(s, get(tenantPath+"/events", "events", "What happened outside orders, newest first"), func(ctx context.Context, actor berth.Actor, in *pageInput) (*body[eventList], error) {
		page, next, err := s.Service.Events(ctx, actor, in.Ref, in.page())
		return &body[eventList]{eventsOf(page, next)}, err
	})
	compose := get(tenantPath+"/compose", "compose", "The rendered compose file; it holds no value of the tenant's environment")
	compose.Responses = textual("application/yaml")
	secured(s, compose, func(ctx context.Context, actor berth.Actor, in *Target) (*answer, error) {
		data, err := s.Service.Compose(ctx, actor, in.Ref)
		return &answer{Status: http.StatusOK, ContentType: "application/yaml", Body: data}, err
	})
	logs := get(tenantPath+"/logs", "logs", "What the tenant's containers wrote, as text")
	logs.Responses = textual("text/plain")
	secured(s, logs, func(ctx context.Context, actor berth.Actor, in *logsInput) (*huma.StreamResponse, error) {
		r, err := s.Service.Logs(ctx, actor, in.Ref, berth.LogOptions{Follow: in.Follow, Tail: in.Tail, Since: in.Since})
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			defer func() { _ = r.Close() }()
			hctx.SetHeader("Content-Type", "text/plain; charset=utf-8")
			copyFlushed(hctx.BodyWriter(), r)
		}}, nil
	})
}

func textual(kind string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: "string"}}}}}
}

// copyFlushed hands on what is read at once. It ends with the reader, or when
// the client is gone.
func copyFlushed(w io.Writer, r io.Reader) {
	buf := make([]byte, 32<<10)
	rw, _ := w.(http.ResponseWriter)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, gone := w.Write(buf[:n]); gone != nil {
				return
			}
			if rw != nil {
				_ = http.NewResponseController(rw).Flush()
			}
		}
		if err != nil {
			return
		}
	}
}
