package api

import (
	"bytes"
	"context"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// ownHealth is minimal for those without a token.
type ownHealth struct {
	Status          string          `json:"status" enum:"ok,degraded"`
	Version         *string         `json:"version,omitempty" doc:"for those with a token, as all that follows"`
	EngineReachable *bool           `json:"engineReachable,omitempty"`
	EngineID        *string         `json:"engineId,omitempty"`
	EngineVersion   *string         `json:"engineVersion,omitempty"`
	EngineRouted    *bool           `json:"engineRouted,omitempty" doc:"whether the host reaches containers directly"`
	EngineFindings  []engineFinding `json:"engineFindings,omitempty" doc:"what an operator should know of this engine"`
	Leading         *bool           `json:"leading,omitempty" doc:"whether this control plane runs the engine; false while another one does"`
}

// engineFinding is one thing about the engine that matters to tenants.
type engineFinding struct {
	Check  string `json:"check" doc:"what was looked at"`
	OK     bool   `json:"ok" doc:"false where something is to be mended"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty" doc:"how to mend it"`
}

// openRoutes need no token.
func (s *server) openRoutes() {
	op := huma.Operation{Method: http.MethodGet, Path: "/api/health", OperationID: "own-health", Summary: "Whether Berth itself is well", Tags: []string{"open"}}
	op.Middlewares = huma.Middlewares{func(hctx huma.Context, next func(huma.Context)) {
		_, err := s.actor(hctx)
		next(huma.WithValue(hctx, actorKey{}, err == nil))
	}}
	huma.Register(s.api, op, func(ctx context.Context, _ *none) (*body[ownHealth], error) {
		info, up := s.Service.EngineInfo()
		out := ownHealth{Status: "ok"}
		if !up {
			out.Status = "degraded"
		}
		if known, _ := ctx.Value(actorKey{}).(bool); known {
			out.Version, out.EngineReachable = &s.Version, &up
			if leading, known := s.Service.Leading(); known {
				out.Leading = &leading
			}
			if info.ID != "" {
				out.EngineID, out.EngineVersion, out.EngineRouted = &info.ID, &info.Version, &info.Routed
				for _, f := range info.Findings {
					out.EngineFindings = append(out.EngineFindings, engineFinding(f))
				}
			}
		}
		return &body[ownHealth]{out}, nil
	})
	// Whoever has no token may ask for these, so each is rendered once.
	s.mux.HandleFunc("GET /openapi.json", s.renderedOnce("application/openapi+json", s.describe))
	s.mux.HandleFunc("GET /docs", s.renderedOnce("text/html; charset=utf-8", s.docs))
}

// renderedOnce answers with what is rendered when somebody first asks; an error stays.
func (s *server) renderedOnce(contentType string, render func() ([]byte, error)) http.HandlerFunc {
	once := sync.OnceValues(render)
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := once()
		if err != nil {
			writeProblem(w, s.problem(r.Context(), err))
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(data) // the client may be gone
	}
}

// page needs nothing but itself: no script, no style sheet from elsewhere.
var page = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Berth API</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font:14px ui-monospace,monospace}dt{margin-top:1rem}.m{display:inline-block;width:4.5rem;font-weight:bold}</style>
<h1>Berth API</h1>
<p>{{.Description}} The whole description is <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<dl>{{range .Routes}}
<dt><code><span class="m">{{.Method}}</span>{{.Path}}</code></dt>
<dd>{{.Summary}}{{if .Parameters}}<ul>{{range .Parameters}}<li><code>{{.Name}}</code> ({{.In}}) {{.Doc}}</li>{{end}}</ul>{{end}}</dd>{{end}}
</dl></html>
`))

type docRoute struct {
	Method, Path, Summary string
	Parameters            []docParameter
}

type docParameter struct{ Name, In, Doc string }

func (s *server) docs() ([]byte, error) {
	var routes []docRoute
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			r := docRoute{Method: method, Path: path, Summary: op.Summary}
			for _, p := range op.Parameters {
				r.Parameters = append(r.Parameters, docParameter{p.Name, p.In, p.Description})
			}
			routes = append(routes, r)
		}
	}
	slices.SortFunc(routes, func(a, b docRoute) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	var out bytes.Buffer
	err := page.Execute(&out, map[string]any{"Description": s.api.OpenAPI().Info.Description, "Routes": routes})
	return out.Bytes(), err
}
