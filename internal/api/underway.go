package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/unite-hub/berth"
)

// UnderWay bounds how many requests are under way at the same time: each holds a
// connection, however long its answer takes. Those that stream or verify are among all
// of them, and have bounds of their own besides.
type UnderWay struct {
	Requests      Share
	Streams       Share // logs, the audit as lines, backups
	Verifications Share // of a whole chain of the audit
}

// Share is a bound, and what of it one may have. 0: the default.
type Share struct {
	Actor        int // of one token or one person; of an operator's, half of All
	Organization int // of all tokens and people of one organization, and never more than are left to others
	All          int // of which a quarter is kept for operators
}

// DefaultUnderWay is what a Berth takes that has a few thousand descriptors.
func DefaultUnderWay() UnderWay {
	return UnderWay{
		Requests: Share{Actor: 100, Organization: 200, All: 2000}, Streams: Share{Actor: 20, Organization: 50, All: 400},
		Verifications: Share{Actor: 1, Organization: 1, All: 4},
	}
}

// streams are the routes whose answers go on for as long as their readers like.
var streams = map[string]bool{"logs": true, "audit": true, "organization-audit": true, "backup": true}

// verifications are the routes that read a whole chain of the audit for one answer:
// 15 s of processor time for a million entries, and a chain is never trimmed.
var verifications = map[string]bool{"verify-audit": true, "verify-organization-audit": true}

// underWay counts what is under way.
type underWay struct {
	requests, streams, verifications *tallied
}

func newUnderWay(u UnderWay) *underWay {
	d := DefaultUnderWay()
	return &underWay{
		newTallied("requests", u.Requests, d.Requests), newTallied("streams", u.Streams, d.Streams),
		newTallied("verifications", u.Verifications, d.Verifications),
	}
}

// take counts a request until done is called. It refuses one too many.
func (u *underWay) take(op *huma.Operation, actor berth.Actor) (done func(), err error) {
	kinds := []*tallied{u.requests}
	switch {
	case streams[op.OperationID]:
		kinds = append(kinds, u.streams)
	case verifications[op.OperationID]:
		kinds = append(kinds, u.verifications)
	}
	var taken []func()
	done = func() {
		for _, give := range taken {
			give()
		}
	}
	for _, kind := range kinds {
		give, err := kind.take(actor)
		if err != nil {
			done()
			return nil, err
		}
		taken = append(taken, give)
	}
	return done, nil
}

// tallied counts what is under way of one kind, by actor, by organization and
// in all.
type tallied struct {
	Share
	what string

	mu      sync.Mutex
	by      map[string]int // actors and organizations that have any
	all     int
	bounded int // of all, those of organizations' own
}

func newTallied(what string, s, d Share) *tallied {
	s.Actor = cmp.Or(s.Actor, d.Actor)
	s.Organization = cmp.Or(s.Organization, d.Organization)
	s.All = cmp.Or(s.All, d.All)
	return &tallied{Share: s, what: what, by: map[string]int{}}
}

func (t *tallied) take(actor berth.Actor) (done func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := actor.OrganizationID != "" || actor.Role != berth.RoleOperator
	id, organization := "actor "+actor.ID, "organization "+actor.OrganizationID
	most := t.Actor
	if !own {
		most = max(most, t.All/2)
	}
	switch {
	case t.by[id] >= most:
		return nil, tooMany(http.StatusTooManyRequests, fmt.Sprintf("You have %d %s under way already", t.by[id], t.what))
	case actor.OrganizationID != "" && t.by[organization] >= t.Organization:
		return nil, tooMany(http.StatusTooManyRequests, fmt.Sprintf("Your organization has %d %s under way already", t.by[organization], t.what))
	case actor.OrganizationID != "" && t.by[organization] > 0 && t.by[organization] >= t.All-t.All/4-t.bounded:
		return nil, tooMany(http.StatusTooManyRequests, fmt.Sprintf("Your organization has %d %s under way already, and the rest is for others", t.by[organization], t.what))
	case t.all >= t.All || own && t.bounded >= t.All-t.All/4:
		return nil, tooMany(http.StatusServiceUnavailable, fmt.Sprintf("Berth has too many %s under way (%d)", t.what, t.all))
	}
	add := func(n int) {
		t.all += n
		if own {
			t.bounded += n
		}
		keys := []string{id}
		if actor.OrganizationID != "" {
			keys = append(keys, organization)
		}
		for _, key := range keys {
			if t.by[key] += n; t.by[key] == 0 {
				delete(t.by, key)
			}
		}
	}
	add(1)
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		add(-1)
	}), nil
}

func tooMany(status int, message string) error {
	p := problemOf(status, string(berth.CodeRateLimited), message).
		hinted("end one of them, or come back in 10 s, as Retry-After says")
	p.retryAfter = "10"
	return p
}

// DefaultRecheck is how often the caller of a request under way is authenticated
// again.
const DefaultRecheck = 4 * time.Second

// lastWords is how long the answer to a request that was ended by whileAllowed may
// still take to write.
const lastWords = 2 * time.Second

// withdrawn is the cause of a request's cancellation: its caller lost the right to
// make it while it ran.
type withdrawn struct{ error }

// whileAllowed ends a request's context once its caller is no longer the actor that
// it was at the beginning: the token was revoked or expired, the user was disabled,
// the role was taken away. A database that does not answer ends nothing: the next
// recheck decides.
func whileAllowed[W any](s *server, hctx huma.Context, who func(huma.Context) (W, error), was berth.Actor) (allowed huma.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(hctx.Context())
	again := huma.WithValue(huma.WithContext(hctx, ctx), againKey{}, true)
	_, w := humago.Unwrap(hctx)
	var timer *time.Timer
	var mu sync.Mutex
	over := false
	next := func() { // after stop, there is no next recheck
		mu.Lock()
		defer mu.Unlock()
		if !over {
			timer.Reset(s.Recheck)
		}
	}
	timer = time.AfterFunc(s.Recheck, func() {
		is, err := who(again)
		kind := berth.CodeOf(err).Kind()
		switch {
		case err == nil && sameActor(actorOf(is), was):
			next()
			return
		case err == nil:
			err = berth.Errorf(berth.CodeForbidden, "Your role was changed").WithHint("ask again; GET /api/me tells what you may do now")
		case kind != berth.KindUnauthenticated && kind != berth.KindForbidden:
			next()
			return
		}
		cancel(withdrawn{err})
		mu.Lock()
		defer mu.Unlock()
		if !over { // a client that does not read must not hold it up
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(lastWords))
		}
	})
	return huma.WithContext(hctx, ctx), func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
		cancel(nil)
	}
}

// againKey marks the context of a recheck, which counts neither as a use of the
// token nor as a failed attempt.
type againKey struct{}

func sameActor(a, b berth.Actor) bool {
	return a.ID == b.ID && a.Role == b.Role && a.OrganizationID == b.OrganizationID && a.Scopes == b.Scopes
}

// withdrawnFrom is why a request's caller may not make it any more; nil as long as
// they may.
func withdrawnFrom(ctx context.Context) error {
	if w, ok := context.Cause(ctx).(withdrawn); ok {
		return w.error
	}
	return nil
}
