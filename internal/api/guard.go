package api

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
)

type (
	actorKey struct{} // of who asks
	askedKey struct{} // of the request, for the audit
)

// secured registers a route that needs an actor, who is known before anything
// else of the request is looked at. It and guarded are the only ways to register
// one that is not open.
func secured[I, O any](s *server, op huma.Operation, h func(ctx context.Context, actor berth.Actor, in *I) (*O, error)) {
	if takesKey(op) {
		op.Parameters = append(slices.Clone(op.Parameters), keyParameter())
		op.Middlewares = append(op.Middlewares, s.once(isOrder(any(new(I)))))
	}
	guarded(s, op, s.actor, h)
}

// guarded registers a route that needs to know who asks.
func guarded[W, I, O any](s *server, op huma.Operation, who func(huma.Context) (W, error), h func(ctx context.Context, who W, in *I) (*O, error)) {
	op.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	op.Middlewares = append(huma.Middlewares{guard(s, who)}, op.Middlewares...)
	op.SkipValidateBody = true
	// huma takes a body that the handler reads for required and shapeless; it
	// is neither.
	if op.RequestBody != nil {
		described := huma.RequestBody{Content: maps.Clone(op.RequestBody.Content)}
		defer func() { *op.RequestBody = described }()
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		// Without the middleware there is no actor, and the zero one may do nothing.
		actor, _ := ctx.Value(actorKey{}).(W)
		out, err := h(ctx, actor, in)
		if no := withdrawnFrom(ctx); no != nil && (isOrder(any(in)) || !takesKey(op)) {
			out, err = nil, no // an order that was recorded stands, but its answer is not theirs any more
		}
		if err != nil {
			if a, ok := ctx.Value(askedKey{}).(asked); ok {
				s.denied(ctx, a, err)
			}
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// guard lets a request pass if its caller is known, keeps within the rate limits and
// within what may be under way at once, and sends no parameter that the route does
// not have. The request goes on only as long as its caller may make it.
func guard[W any](s *server, who func(huma.Context) (W, error)) func(huma.Context, func(huma.Context)) {
	return func(hctx huma.Context, next func(huma.Context)) {
		actor, err := who(hctx)
		a := asked{op: hctx.Operation(), param: hctx.Param, from: s.request(hctx)}
		if err != nil {
			a.actor, a.unknown = s.Auth.Known(hctx.Context(), a.from, err), true
			if a.actor.ID != "" && berth.CodeOf(err).Kind() == berth.KindForbidden { // a known caller counts against their own rate limit
				if often := s.limits.take(hctx, a.actor); often != nil {
					writeHuma(hctx, problemFrom(often))
					return
				}
			}
			s.denied(hctx.Context(), a, err)
			writeHuma(hctx, s.problem(hctx.Context(), err))
			return
		}
		a.actor = actorOf(actor)
		for _, check := range []func() error{
			func() error { return s.limits.take(hctx, a.actor) },
			func() error { return knownQuery(hctx) },
			func() error { return knownKey(hctx) },
		} {
			if err := check(); err != nil {
				writeHuma(hctx, problemFrom(err))
				return
			}
		}
		done, err := s.underWay.take(hctx.Operation(), a.actor)
		if err != nil {
			writeHuma(hctx, problemFrom(err))
			return
		}
		defer done()
		hctx, stop := whileAllowed(s, hctx, who, a.actor)
		defer stop()
		next(huma.WithValue(huma.WithValue(hctx, actorKey{}, actor), askedKey{}, a))
	}
}

// actorOf is the actor that a route was told of; of a person who acts for no
// organization yet, who they are.
func actorOf(who any) berth.Actor {
	switch w := who.(type) {
	case berth.Actor:
		return w
	case asking:
		actor, err := w.Actor()
		if err != nil {
			actor = berth.Actor{ID: w.User.ID, Name: w.User.Name, Address: w.request.Address, RequestID: w.request.ID}
		}
		return actor
	}
	return berth.Actor{}
}

// changes reports whether a request may change something.
func changes(method string) bool { return method != http.MethodGet }

// knownKey refuses an idempotency key where nothing would be repeated for it:
// who sends one counts on it. A GET repeats nothing by its nature.
func knownKey(hctx huma.Context) error {
	op := hctx.Operation()
	if !changes(op.Method) || hctx.Header(keyHeader) == "" ||
		slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "header" && p.Name == keyHeader }) {
		return nil
	}
	return berth.Errorf(berth.CodeInvalidRequest, "%s %s takes no %s", op.Method, op.Path, keyHeader).WithField(keyHeader).
		WithHint("leave the header out; this request can be repeated without one")
}

// pathOf is the request's path parameters by name.
func pathOf(op *huma.Operation, param func(string) string) map[string]string {
	values := map[string]string{}
	for _, p := range op.Parameters {
		if p.In == "path" {
			values[p.Name] = param(p.Name)
		}
	}
	return values
}

// requestOf is where a request came from, for one that reaches no route.
func (s *server) requestOf(r *http.Request) auth.Request {
	id, _ := r.Context().Value(requestKey{}).(string)
	return auth.Request{Address: s.address(r), ID: id}
}
