package api

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/auth"
)

// asked is one request on a guarded route, as the audit needs it.
type asked struct {
	op      *huma.Operation
	param   func(name string) string
	from    auth.Request
	actor   berth.Actor // zero if nobody is known
	unknown bool        // whether the request could not be told to be the actor's
}

// denied records an attempt if err says that it was one: nobody is known, the
// actor may not, or what was asked for is not theirs and so looks as if it did
// not exist. The last is recorded whether it exists or not, so that the time an
// answer takes tells nothing.
//
// Where an actor may see what it may not change, that is its organization's
// affair and goes into its chain. The rest goes into the installation's: an
// organization must not learn who else tried to reach it.
func (s *server) denied(ctx context.Context, a asked, err error) {
	code := berth.CodeOf(err)
	actor := a.actor
	actor.Address, actor.RequestID = a.from.Address, a.from.ID
	e := action.OfRoute(a.op.OperationID).Denied(actor, a.target(), code)
	switch code.Kind() {
	case berth.KindUnauthenticated, berth.KindForbidden:
		e.OrganizationID = a.actor.OrganizationID
	case berth.KindNotFound:
		if !a.foreign(code) {
			return
		}
	case berth.KindRateLimited: // of failed attempts to be known
		if !a.unknown {
			return
		}
	default:
		return
	}
	if s.denials.take(groupOf(a.actor), e) {
		s.record(ctx, e)
	}
}

// denyStranger records an attempt by nobody known that reached no guarded route.
func (s *server) denyStranger(ctx context.Context, from auth.Request, what action.Action, err error) {
	code := berth.CodeOf(err)
	switch code.Kind() {
	case berth.KindUnauthenticated, berth.KindForbidden, berth.KindRateLimited:
	default:
		return
	}
	e := what.Denied(berth.Actor{Address: from.Address, RequestID: from.ID}, "", code)
	if s.denials.take(strangers, e) {
		s.record(ctx, e)
	}
}

// record stores a denied attempt before it is answered. The answer stays the
// same if it can't be.
func (s *server) record(ctx context.Context, e berth.AuditEntry) {
	if err := s.Service.Deny(context.WithoutCancel(ctx), e); err != nil {
		s.Log.Error("denied attempt could not be recorded", "action", e.Action, "request", e.RequestID, "actor", e.ActorID, "error", err)
	}
}

// foreign reports whether what was not found may be another organization's.
func (a asked) foreign(code berth.Code) bool {
	switch code {
	case berth.CodeBlueprintNotFound:
		return a.actor.OrganizationID != ""
	case berth.CodeContainerNotFound, berth.CodeOrganizationNotFound, berth.CodeDeploymentNotFound, berth.CodeNotFound, berth.CodeUserNotFound:
	default:
		return false
	}
	if a.actor.Everywhere() { // of which a deployer sees every tenant, and no more
		return code == berth.CodeNotFound && !a.actor.Installation()
	}
	path := pathOf(a.op, a.param)
	own := strings.EqualFold(path["organizationId"], a.actor.OrganizationID)
	return !own || len(path) > 1
}

// target is the last thing that the path names.
func (a asked) target() string {
	target := ""
	for _, p := range a.op.Parameters {
		if p.In == "path" {
			target = a.param(p.Name)
		}
	}
	return short(target)
}

// short bounds what a stranger can have recorded, and leaves out what would steer
// a terminal that shows it: JSON escapes only some of it.
func short(s string) string {
	const most = 100
	s = strings.Map(func(r rune) rune { // what is no UTF-8 becomes U+FFFD too
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}
