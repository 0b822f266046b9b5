package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// exportPage is how many entries are in memory while all are sent.
const exportPage = 500

// installationChain names the chain that belongs to no organization.
const installationChain = "installation"

// auditWire is an entry with all that its hash covers.
type auditWire struct {
	Seq            int64           `json:"seq" doc:"in its chain, from 1 without a gap"`
	ID             string          `json:"id"`
	OrganizationID *string         `json:"organizationId" doc:"whose chain; null for the installation's"`
	At             time.Time       `json:"at"`
	ActorID        *string         `json:"actorId" doc:"of a token or a user; null if nobody is known"`
	ActorName      *string         `json:"actorName"`
	ActorRole      *string         `json:"actorRole"`
	Address        *string         `json:"address" doc:"where the request came from"`
	RequestID      *string         `json:"requestId" doc:"the answer's X-Request-Id"`
	Action         string          `json:"action" doc:"such as tenant.deploy"`
	Target         *string         `json:"target" doc:"id of what it was done to"`
	Outcome        string          `json:"outcome" enum:"done,denied"`
	Code           *string         `json:"code" doc:"why it was denied"`
	Before         json.RawMessage `json:"before" doc:"null where there was nothing; secrets are marks such as (set)"`
	After          json.RawMessage `json:"after" doc:"the same, afterwards"`
	PrevHash       string          `json:"prevHash" doc:"hexadecimal; empty for the first"`
	Hash           string          `json:"hash" doc:"hexadecimal; covers the entry and prevHash"`
}

type auditList struct {
	Entries    []auditWire `json:"entries"`
	NextCursor *string     `json:"nextCursor" doc:"null after the last page; where a list is narrowed, a page that has one may hold fewer entries than asked for, or none: go on with it"`
}

// AuditInput narrows the audit.
type AuditInput struct {
	PageInput
	Actor   string    `query:"actor" maxLength:"100" doc:"id of a token or a user"`
	Action  string    `query:"action" maxLength:"100" doc:"such as tenant.deploy, or tenant. for all that begin so"`
	Outcome string    `query:"outcome" enum:"done,denied"`
	From    time.Time `query:"from" doc:"RFC 3339"`
	To      time.Time `query:"to" doc:"RFC 3339; before it"`
	Format  string    `query:"format" default:"json" enum:"json,jsonl" doc:"jsonl: all entries, a line each, oldest first; cursor and limit don't count"`
}

type allAuditInput struct {
	Organization string `query:"organizationId" maxLength:"100" doc:"only this organization's chain, or only that of the installation"`
	AuditInput
}

type organizationAuditInput struct {
	OrganizationInput
	AuditInput
}

type verifyInput struct {
	Organization string `query:"organizationId" maxLength:"100" doc:"whose chain; the installation's if left out"`
}

type verdictWire struct {
	Entries     int64  `json:"entries" doc:"that are intact, from the first on"`
	Head        string `json:"head" doc:"hash of the last of these: keep it elsewhere, and entries that are cut off will show"`
	Intact      bool   `json:"intact"`
	FirstBroken *int64 `json:"firstBroken" doc:"seq of the first that is not intact"`
}

func auditOf(e berth.AuditEntry) auditWire {
	return auditWire{
		e.Seq, e.ID, orNull(e.OrganizationID), e.At, orNull(e.ActorID), orNull(e.ActorName), orNull(string(e.ActorRole)), orNull(e.Address),
		orNull(e.RequestID), e.Action, orNull(e.Target), string(e.Outcome), orNull(string(e.Code)), rawOrNull(e.Before), rawOrNull(e.After),
		hex.EncodeToString(e.PrevHash), hex.EncodeToString(e.Hash),
	}
}

func rawOrNull(s string) json.RawMessage {
	if s == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(s)
}

func (in AuditInput) filter() store.AuditFilter {
	return store.AuditFilter{ActorID: in.Actor, Action: in.Action, Outcome: berth.AuditOutcome(in.Outcome), From: in.From, To: in.To, Page: in.page()}
}

// auditRoutes show who did what, and who was refused.
func (s *server) auditRoutes() {
	const all, one = "/api/audit", "/api/organizations/{organizationId}/audit"
	op := func(path, id, summary string) huma.Operation {
		o := operation(http.MethodGet, path, id, summary)
		o.Tags = []string{"audit"}
		return o
	}
	secured(s, s.lists(op(all, "audit", "Who did what and who was refused, newest first: all chains")), func(ctx context.Context, actor berth.Actor, in *allAuditInput) (*huma.StreamResponse, error) {
		f := in.filter()
		switch in.Organization {
		case "":
			f.Everything = true
		case installationChain:
		default:
			f.OrganizationID = in.Organization
		}
		return s.audit(ctx, actor, f, in.Format)
	})
	secured(s, s.lists(op(one, "organization-audit", "Who did what and who was refused in an organization, newest first")), func(ctx context.Context, actor berth.Actor, in *organizationAuditInput) (*huma.StreamResponse, error) {
		f := in.filter()
		f.OrganizationID = in.ID
		return s.audit(ctx, actor, f, in.Format)
	})
	secured(s, op(all+"/verify", "verify-audit", "Whether a chain is as it was written"), func(ctx context.Context, actor berth.Actor, in *verifyInput) (*body[verdictWire], error) {
		organization := in.Organization
		if organization == installationChain {
			organization = ""
		}
		return s.verify(ctx, actor, organization)
	})
	secured(s, op(one+"/verify", "verify-organization-audit", "Whether an organization's chain is as it was written"), func(ctx context.Context, actor berth.Actor, in *OrganizationInput) (*body[verdictWire], error) {
		return s.verify(ctx, actor, in.ID)
	})
}

// lists describes an answer that is a page, or a line for each entry.
func (s *server) lists(op huma.Operation) huma.Operation {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(auditList{}), true, "")
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json":  {Schema: schema},
		"application/jsonl": {Schema: &huma.Schema{Type: "string"}},
	}}}
	return op
}

func (s *server) verify(ctx context.Context, actor berth.Actor, organization string) (*body[verdictWire], error) {
	v, err := s.Service.VerifyAudit(ctx, actor, organization)
	out := verdictWire{Entries: v.Entries, Head: hex.EncodeToString(v.Head), Intact: v.FirstBroken == 0}
	if !out.Intact {
		out.FirstBroken = &v.FirstBroken
	}
	return &body[verdictWire]{out}, err
}

// audit answers with a page, or with everything, a line for each entry.
func (s *server) audit(ctx context.Context, actor berth.Actor, f store.AuditFilter, format string) (*huma.StreamResponse, error) {
	if format == "jsonl" {
		f.Ascending, f.Page = true, store.Page{Limit: exportPage}
	}
	page, next, err := s.Service.Audit(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	if format != "jsonl" {
		out := auditList{Entries: make([]auditWire, 0, len(page)), NextCursor: orNull(next)}
		for _, e := range page {
			out.Entries = append(out.Entries, auditOf(e))
		}
		data, err := json.Marshal(out)
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			hctx.SetHeader("Content-Type", "application/json")
			_, _ = hctx.BodyWriter().Write(append(data, '\n')) // the client may be gone
		}}, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", "application/jsonl")
		enc := json.NewEncoder(hctx.BodyWriter())
		for {
			for _, e := range page {
				if enc.Encode(auditOf(e)) != nil {
					return // the client is gone
				}
			}
			if f.Cursor = next; next == "" {
				return
			}
			if page, next, err = s.Service.Audit(hctx.Context(), actor, f); err != nil {
				s.Log.Error("export of the audit was cut off", "error", err)
				panic(http.ErrAbortHandler) // the client must not take it for the whole
			}
		}
	}}, nil
}
