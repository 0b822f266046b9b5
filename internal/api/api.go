// Package api is the REST API: it turns HTTP into use cases and their outcomes
// into HTTP. It decides nothing that a use case could decide.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/tenancy"
)

// Config is what an API works with.
type Config struct {
	Service  *tenancy.Service
	Auth     *auth.Auth
	Log      *slog.Logger
	Version  string
	Commit   string
	StateDir string // for files that live as long as one request

	// MostTenants is how many tenants have series of their own in /metrics; 0:
	// metrics.DefaultMostTenants.
	MostTenants int

	Limits   Limits        // of requests; zero: none
	UnderWay UnderWay      // of requests at the same time; zero: DefaultUnderWay
	Recheck  time.Duration // see DefaultRecheck; 0: that
	Denials  Denials       // of what is recorded

	// TrustedProxies are believed when they say where a request came from.
	TrustedProxies []netip.Prefix
}

// maxBody is the size of the largest body that is taken, in bytes. huma refuses
// one that is as large as its own bound, so that is one more.
const maxBody = 1 << 20

// leftoverTime is how long is waited for what is left of a body once nobody
// wants it.
const leftoverTime = 2 * time.Second

type server struct {
	Config
	api      huma.API
	mux      *http.ServeMux
	limits   *limits
	underWay *underWay
	denials  *denials
}

// problems makes huma's own errors look like ours. It is huma's documented
// hook, and process-wide.
var problems = sync.OnceFunc(func() {
	huma.NewErrorWithContext = func(hctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		if status == http.StatusRequestEntityTooLarge && hctx != nil && hctx.Operation() != nil {
			return tooLarge(hctx.Operation().MaxBodyBytes - 1)
		}
		return fromHuma(status, message, errs...)
	}
	huma.NewError = fromHuma
})

func newServer(c Config) *server {
	problems()
	c.Recheck = cmp.Or(c.Recheck, DefaultRecheck)
	s := &server{
		Config: c, mux: http.NewServeMux(), limits: newLimits(c.Limits), underWay: newUnderWay(c.UnderWay), denials: newDenials(c.Denials),
	}
	hc := huma.DefaultConfig("Berth", c.Version)
	hc.OpenAPIPath, hc.DocsPath, hc.SchemasPath, hc.CreateHooks = "", "", "", nil
	hc.Info.Description = "Berth gives every customer of a SaaS product its own isolated stack of containers. " +
		"Errors are problem details (RFC 9457) with a stable code and a hint."
	hc.Components.SecuritySchemes = securitySchemes()
	s.api = humago.New(s.mux, hc)
	s.tenantRoutes()
	s.readRoutes()
	s.usageRoutes()
	s.metricsRoute()
	s.operatorRoutes()
	s.peopleRoutes()
	s.signInRoutes()
	s.keyRoutes()
	s.blueprintRoutes()
	s.notificationRoutes()
	s.organizationRoutes()
	s.auditRoutes()
	s.openRoutes()
	return s
}

// API is the REST API. Run must go on while it serves.
type API struct {
	http.Handler
	server *server
}

// New returns an API.
func New(c Config) *API {
	s := newServer(c)
	protected := http.NewCrossOriginProtection()
	protected.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := berth.Errorf(berth.CodeForbidden, "Cross-origin requests are not allowed").
			WithHint("call the API from a program, not from another site's page")
		s.denyStranger(r.Context(), s.requestOf(r), action.CrossOrigin, err)
		writeProblem(w, err)
	}))
	return &API{s.outermost(protected.Handler(http.HandlerFunc(s.route))), s}
}

// Run records how many denied attempts were not recorded each, every minute and
// at the end. It returns when ctx ends.
func (a *API) Run(ctx context.Context) error { return a.server.denials.run(ctx, a.server.record) }

// OpenAPI returns the API's description, as /openapi.json serves it.
func OpenAPI(version string) ([]byte, error) {
	return newServer(Config{Version: version}).describe()
}

func (s *server) describe() ([]byte, error) {
	data, err := json.MarshalIndent(s.api.OpenAPI(), "", "  ")
	return append(data, '\n'), err
}

// outermost gives each request an id, bounds its body, and turns a panic into
// a 500 that is logged once.
func (s *server) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := berth.NewID()
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		most := int64(maxBody)
		if r.URL.Path == blueprintPath {
			most = maxBlueprintBody
		}
		r.Body = http.MaxBytesReader(w, unclosed{r.Body}, most+1)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.Log.Error("panic in a request", "request", id, "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				writeProblem(w, berth.Errorf(berth.CodeInternal, "Internal error").WithHint("look for request %s in Berth's log", id))
			}
		}()
		if r.ContentLength != 0 { // net/http reads on for what is left, without a deadline, before it answers
			defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(leftoverTime)) }()
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id)))
	})
}

// unclosed keeps handlers from closing a request's body. net/http does it, and looks
// whether what is left can be read to its end: if not, the connection must not go on,
// since what comes next would be taken for a request. It does not look at a body that
// was closed before and that it does not know, such as MaxBytesReader.
type unclosed struct{ io.Reader }

func (unclosed) Close() error { return nil }

type requestKey struct{} // of the request's id, for the log

// mostParameters bounds the query of a request. huma looks for each parameter by
// itself, in a time that grows with the square of how many a query has.
const mostParameters = 100

// route answers what no route takes with a problem, in place of the mux's
// plain text.
func (s *server) route(w http.ResponseWriter, r *http.Request) {
	if strings.Count(r.URL.RawQuery, "&") >= mostParameters {
		writeProblem(w, malformed("Query has %d parameters", strings.Count(r.URL.RawQuery, "&")+1).WithHint("give at most %d", mostParameters))
		return
	}
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	plain := refusal{header: http.Header{}}
	h.ServeHTTP(&plain, r)
	if plain.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", plain.header.Get("Allow"))
		writeProblem(w, problemOf(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed").
			hinted("this path takes %s", plain.header.Get("Allow")))
		return
	}
	writeProblem(w, berth.Errorf(berth.CodeNotFound, "No such path").WithHint("GET /openapi.json lists all of them"))
}

// refusal takes the mux's plain answer, of which only the head matters.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) WriteHeader(status int)      { r.status = status }
func (r *refusal) Write(p []byte) (int, error) { return len(p), nil }

// knownQuery refuses parameters that the route does not have, that are given
// twice, or without a value where no text is meant: none may be ignored in silence. A
// script whose variable is empty must not deploy by "dryRun=".
func knownQuery(hctx huma.Context) error {
	known := map[string]*huma.Param{}
	for _, p := range hctx.Operation().Parameters {
		if p.In == "query" {
			known[p.Name] = p
		}
	}
	u := hctx.URL()
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		// What can't be read would otherwise count as not given.
		return malformed("Query can't be read: %v", err).WithHint("percent-encode the parameters; & separates them")
	}
	for name, values := range query {
		p := known[name]
		if p == nil {
			return berth.Errorf(berth.CodeInvalidRequest, "Unknown parameter %s", berth.Quote(name)).WithField(short(name)).
				WithHint("GET /openapi.json lists the parameters that this route takes")
		}
		if len(values) > 1 {
			return berth.Errorf(berth.CodeInvalidRequest, "%s is given twice", name).WithField(name).WithHint("give each parameter once")
		}
		if values[0] == "" && p.Schema != nil && p.Schema.Type != huma.TypeString {
			return berth.Errorf(berth.CodeInvalidRequest, "%s was given without a value", name).WithField(name).
				WithHint("give it a %s, or leave the parameter out", p.Schema.Type)
		}
	}
	return nil
}

// problem turns an error into what the client sees. What is Berth's own fault
// is logged, and not shown.
func (s *server) problem(ctx context.Context, err error) *problem {
	p := problemFrom(err)
	if p.Status == http.StatusInternalServerError {
		s.Log.Error("request failed", "request", ctx.Value(requestKey{}), "error", err)
	}
	return p
}

// bearer returns the token of an Authorization header, "" if it has none. The
// scheme's name is not case-sensitive.
func bearer(header string) string {
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return token
}
