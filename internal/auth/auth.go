// Package auth tells who is asking: it turns what a request brought into an
// actor. It keeps tokens, people, invitations and sessions.
package auth

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// usePrecision is how exactly the last use is recorded: more would cost a
// write for each request.
const usePrecision = time.Minute

// Config is what an Auth works with.
type Config struct {
	Store    store.Store
	Failures Failures

	// CookieKey closes the cookies of a sign-in under way: 32 bytes that every
	// control plane of the installation has. nil: random ones, and a sign-in
	// that a restart interrupts begins again.
	CookieKey []byte
	JWT       *JWT         // nil: no JSON Web Token is taken
	OIDC      *OIDC        // nil: nobody signs in by OpenID Connect
	Log       *slog.Logger // why a provider can't be asked; nil: nowhere
}

// Auth checks and keeps who may ask.
type Auth struct {
	Config
	failures *failures
	sealer   sealer
	provider *provider
	keys     *keys // of JWT; nil without it
}

// New returns an Auth.
func New(c Config) *Auth {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Auth{
		Config: c, failures: newFailures(c.Failures), sealer: newSealer(c.CookieKey),
		provider: newProvider(c.OIDC, c.Log), keys: newKeys(c.JWT, c.Log),
	}
}

// Request is what a request brought that tells who is asking.
type Request struct {
	Bearer       string // of the Authorization header
	Session      string // of the session's cookie; a bearer comes before it
	Proof        string // of the cookie that a sign-in leaves
	Organization string // that a person chose by header; "" if none
	Path         string // organization id in the path; "" if there is none
	Address      string // where it came from
	ID           string // for the audit
	Again        bool   // it was let in before, and is looked at once more: neither a use nor a failure
}

// Caller is who asks. A person has an Actor once it is clear for which of their
// organizations.
type Caller struct {
	actor       berth.Actor
	undecided   error              // why there is no actor
	User        berth.User         // zero for a token, and for a person who is not known yet
	Memberships []berth.Membership // of the user
	Session     berth.Session      // zero unless it came with one
	proof       proof              // zero unless an address was proven
}

// Actor is who the caller acts as, or why they can't.
func (c Caller) Actor() (berth.Actor, error) {
	if c.undecided != nil {
		return berth.Actor{}, c.undecided
	}
	return c.actor, nil
}

// Authenticate returns the actor that a request is made by. What is unknown,
// revoked, expired or malformed gives the same error.
func (a *Auth) Authenticate(ctx context.Context, r Request) (berth.Actor, error) {
	c, err := a.Identify(ctx, r)
	if err != nil {
		return berth.Actor{}, err
	}
	return c.Actor()
}

// Identify returns who makes a request. A person who belongs nowhere is known
// too: they may accept an invitation.
func (a *Auth) Identify(ctx context.Context, r Request) (c Caller, err error) {
	if r.Organization != "" {
		if r.Organization, err = berth.ParseOrganizationID(r.Organization); err != nil {
			return c, err
		}
	}
	p, proven := a.openProof(r.Proof)
	switch {
	case strings.Count(r.Bearer, ".") == 2:
		c, err = a.byJWT(ctx, r)
	case r.Bearer != "":
		c, err = a.byToken(ctx, r)
	case r.Session != "":
		c, err = a.bySession(ctx, r)
	case proven:
		c = Caller{undecided: unauthenticated()}
	default:
		return c, unauthenticated() // nothing was tried
	}
	if err != nil {
		return Caller{}, err
	}
	if proven && c.proof.zero() {
		c.proof = p
	}
	c.actor.Address, c.actor.RequestID = r.Address, r.ID
	return c, nil
}

// failed counts a failed attempt and returns what the caller is told.
func (a *Auth) failed(r Request, keys ...string) error {
	if !r.Again && a.failures.note(time.Now(), append(keys, network(r.Address))...) {
		return rateLimited()
	}
	return unauthenticated()
}

func (a *Auth) byToken(ctx context.Context, r Request) (c Caller, err error) {
	if !wellFormed(tokenPrefix, r.Bearer) {
		return c, a.failed(r)
	}
	at := store.Now()
	t, ok, err := a.tokenOf(ctx, r.Bearer)
	if err != nil {
		return c, err
	}
	if !ok || !t.Valid(at) {
		return c, a.failed(r, "token "+r.Bearer[:shownLen])
	}
	if at.Sub(t.LastUsedAt) >= usePrecision && !r.Again {
		t.LastUsedAt = at
		// A request does not fail because its token's last use can't be noted.
		_ = a.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.UpdateToken(ctx, t) })
	}
	c.actor = t.Actor()
	if r.Organization != "" {
		if !c.actor.MaySee(r.Organization) {
			return c, notMember()
		}
		c.actor.OrganizationID = r.Organization
	}
	return c, nil
}

func (a *Auth) tokenOf(ctx context.Context, text string) (t berth.Token, ok bool, err error) {
	err = a.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		t, ok, err = tx.TokenByHash(ctx, hash(text))
		return err
	})
	return t, ok, err
}

// person is the caller that a user is, in the organization they chose.
func person(ctx context.Context, tx store.Memberships, u berth.User, r Request) (c Caller, err error) {
	c.User = u
	if c.Memberships, err = tx.MembershipsOf(ctx, u.ID); err != nil {
		return c, err
	}
	c.actor, c.undecided = choose(u, c.Memberships, r)
	return c, nil
}

// choose decides for which organization a person acts: the one they name, else
// the one in the path, else the only one there is. An operator acts for all,
// unless they name one.
func choose(u berth.User, memberships []berth.Membership, r Request) (berth.Actor, error) {
	actor := berth.Actor{ID: u.ID, Name: u.Name}
	if u.Operator {
		actor.Role, actor.OrganizationID = berth.RoleOperator, r.Organization
		return actor, nil
	}
	wanted := r.Organization
	if wanted == "" {
		wanted = strings.ToLower(r.Path)
	}
	for _, m := range memberships {
		if m.OrganizationID == wanted {
			actor.Role, actor.OrganizationID = m.Role, m.OrganizationID
			return actor, nil
		}
	}
	switch {
	case r.Organization != "":
		return actor, notMember()
	case len(memberships) == 1:
		actor.Role, actor.OrganizationID = memberships[0].Role, memberships[0].OrganizationID
		return actor, nil
	case len(memberships) == 0:
		return actor, berth.Errorf(berth.CodeForbidden, "You belong to no organization").WithHint("ask for an invitation, and accept it")
	default:
		return actor, berth.Errorf(berth.CodeForbidden, "You belong to several organizations").
			WithHint("name one in the header Berth-Organization; GET /api/me lists yours")
	}
}

// notMember is the same for an organization that does not exist.
func notMember() error {
	return berth.Errorf(berth.CodeForbidden, "You do not belong to that organization").
		WithHint("name another in the header Berth-Organization, or leave it out; GET /api/me lists yours")
}

func unauthenticated() error {
	return berth.Errorf(berth.CodeUnauthenticated, "Not authenticated").
		WithHint("give a valid token in the Authorization header: Bearer berth_…; an operator makes them")
}
