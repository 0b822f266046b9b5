package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/auth"
)

func securitySchemes() map[string]*huma.SecurityScheme {
	const which = " A person of several organizations names one in the header Berth-Organization, by its id."
	return map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "A token of Berth's, or a JSON Web Token of the issuer that Berth was told to take." + which},
		"session": {Type: "apiKey", In: "cookie", Name: berth.SessionCookie, Description: "A sign-in at /auth/oidc/login begins one." + which},
	}
}

// request is what a request brought that tells who is asking.
func (s *server) request(hctx huma.Context) auth.Request {
	r, _ := humago.Unwrap(hctx)
	id, _ := r.Context().Value(requestKey{}).(string)
	again, _ := hctx.Context().Value(againKey{}).(bool)
	return auth.Request{
		Bearer: bearer(r.Header.Get("Authorization")), Session: cookie(r, berth.SessionCookie), Proof: cookie(r, berth.ProofCookie),
		Organization: r.Header.Get("Berth-Organization"), Path: hctx.Param("organizationId"),
		Address: s.address(r), ID: id, Again: again,
	}
}

func (s *server) actor(hctx huma.Context) (berth.Actor, error) {
	return s.Auth.Authenticate(hctx.Context(), s.request(hctx))
}

// asking is who makes a request, and with what.
type asking struct {
	auth.Caller
	request auth.Request
}

func (s *server) caller(hctx huma.Context) (a asking, err error) {
	a.request = s.request(hctx)
	a.Caller, err = s.Auth.Identify(hctx.Context(), a.request)
	return a, err
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// address is where a request came from: the peer, or what a trusted proxy says
// of it. Of what was handed on, the last that is no trusted proxy counts: all
// before it may be made up.
func (s *server) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr := peer.Addr().Unmap().WithZone("")
	for hops := strings.Join(r.Header.Values("X-Forwarded-For"), ","); s.trusted(addr); {
		comma := strings.LastIndexByte(hops, ',') // -1 before the first
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[comma+1:]))
		if err != nil {
			break
		}
		addr, hops = hop.Unmap().WithZone(""), hops[:max(comma, 0)]
	}
	return addr.String()
}

func (s *server) trusted(addr netip.Addr) bool {
	for _, p := range s.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// kept is a cookie that no script sees and no other site's form sends. maxAge 0
// keeps it as long as the browser runs; below, it goes.
func kept(name, value string, maxAge time.Duration) http.Cookie {
	return http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(maxAge / time.Second)}
}

func gone(name string) http.Cookie { return kept(name, "", -time.Second) }

type loginInput struct {
	Next    string `query:"next" maxLength:"2000" doc:"path of this site to come back to; / if left out"`
	Invited bool   `query:"invited" doc:"come back even if you are not known yet, to accept an invitation"`
}

type callbackInput struct {
	State string `query:"state" maxLength:"200"`
	Code  string `query:"code" maxLength:"4000"`
	Error string `query:"error" maxLength:"200" doc:"why the provider let nobody in"`
}

type redirect struct {
	Status    int
	Location  string        `header:"Location"`
	Referrer  string        `header:"Referrer-Policy"`
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

// signInRoutes are for browsers: they lead to the provider and back.
func (s *server) signInRoutes() {
	op := func(path, id, summary string) huma.Operation {
		return huma.Operation{
			Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Tags: []string{"open"}, DefaultStatus: http.StatusSeeOther,
			Middlewares: huma.Middlewares{func(hctx huma.Context, next func(huma.Context)) {
				r, _ := humago.Unwrap(hctx)
				next(huma.WithValue(hctx, actorKey{}, browser{s.request(hctx), cookie(r, berth.SignInCookie)}))
			}},
		}
	}
	huma.Register(s.api, op("/auth/oidc/login", "sign-in", "Sign in at the provider"), func(ctx context.Context, in *loginInput) (*redirect, error) {
		b, err := s.Auth.BeginSignIn(ctx, in.Next, in.Invited)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &redirect{http.StatusSeeOther, b.Location, "no-referrer", []http.Cookie{kept(berth.SignInCookie, b.Cookie, auth.SignInLifetime)}}, nil
	})
	huma.Register(s.api, op(auth.CallbackPath, "signed-in", "Come back from the provider; begins a session"), func(ctx context.Context, in *callbackInput) (*redirect, error) {
		from, _ := ctx.Value(actorKey{}).(browser)
		done, err := s.Auth.FinishSignIn(ctx, from.request, auth.Return{Cookie: from.signIn, State: in.State, Code: in.Code, Error: in.Error})
		if err != nil {
			s.denyStranger(ctx, from.request, action.BeginSession, err)
			return nil, s.problem(ctx, err)
		}
		cookies := []http.Cookie{gone(berth.SignInCookie)}
		if done.Session != "" {
			cookies = append(cookies, kept(berth.SessionCookie, done.Session, auth.SessionLifetime))
		}
		if done.Proof != "" {
			cookies = append(cookies, kept(berth.ProofCookie, done.Proof, auth.ProofLifetime))
		}
		return &redirect{http.StatusSeeOther, done.Next, "no-referrer", cookies}, nil
	})
	s.sessionRoutes()
}

// browser is what came with a request of a sign-in.
type browser struct {
	request auth.Request
	signIn  string // cookie
}

type sessionWire struct {
	ID         string    `json:"id"`
	Address    *string   `json:"address" doc:"where it was begun"`
	CreatedAt  time.Time `json:"createdAt"`
	LastSeenAt time.Time `json:"lastSeenAt" doc:"to the minute"`
	ExpiresAt  time.Time `json:"expiresAt" doc:"at the latest; earlier if it is not used for 12 hours"`
	Current    bool      `json:"current" doc:"the one of this request"`
}

type sessionList struct {
	Sessions []sessionWire `json:"sessions"`
}

type sessionInput struct {
	ID string `path:"sessionId" doc:"current for the one of this request: signs out"`
}

type cookies struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

func (s *server) sessionRoutes() {
	guarded(s, person(http.MethodGet, "/api/sessions", "sessions", "Your own sessions, newest first; at most 1,000"), s.caller, func(ctx context.Context, c asking, _ *none) (*body[sessionList], error) {
		open, err := s.Auth.Sessions(ctx, c.Caller)
		out := sessionList{Sessions: []sessionWire{}}
		for _, o := range open {
			out.Sessions = append(out.Sessions, sessionWire{o.ID, orNull(o.Address), o.CreatedAt, o.LastSeenAt, o.ExpiresAt, o.ID == c.Session.ID})
		}
		return &body[sessionList]{out}, err
	})
	guarded(s, person(http.MethodDelete, "/api/sessions/{sessionId}", "end-session", "End one of your sessions"), s.caller, func(ctx context.Context, c asking, in *sessionInput) (*cookies, error) {
		id, out := in.ID, &cookies{}
		if id == "current" {
			id = c.Session.ID
		}
		if err := s.Auth.EndSession(ctx, c.Caller, id); err != nil {
			return nil, err
		}
		if id == c.Session.ID {
			out.SetCookie = []http.Cookie{gone(berth.SessionCookie), gone(berth.ProofCookie)}
		}
		return out, nil
	})
}
