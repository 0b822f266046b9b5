package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// OIDC says where people sign in by OpenID Connect.
type OIDC struct {
	Issuer       string // https, or http to this machine
	ClientID     string
	ClientSecret string // "": a public client; PKCE is used either way
	RedirectURL  string // of CallbackPath, as browsers reach it
	AllowSignup  bool   // whoever proves an address may enter; otherwise only who is known or invited
}

// CallbackPath is where the provider sends browsers back to.
const CallbackPath = "/auth/oidc/callback"

// SignInLifetime is how long a person may take at the provider.
const SignInLifetime = 10 * time.Minute

// pendingSignIn is a sign-in under way. The browser keeps it, sealed, in a cookie.
type pendingSignIn struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Next     string    `json:"next"`
	Invited  bool      `json:"invited"`
	Until    time.Time `json:"until"`
}

// SignIn is the beginning of a sign-in.
type SignIn struct {
	Location string // where to send the browser
	Cookie   string // what it keeps for SignInLifetime
}

// SignedIn is the end of one.
type SignedIn struct {
	Session string // text of the session; "" if nobody was let in
	Proof   string // cookie with which an invitation can be accepted; "" if no address was proven
	Next    string // local path to send the browser to
}

// BeginSignIn sends a person to the provider. next is where they come back to:
// a path of this site, "" for "/". invited lets somebody come back who is not
// known yet, to accept an invitation.
func (a *Auth) BeginSignIn(ctx context.Context, next string, invited bool) (s SignIn, err error) {
	if next == "" {
		next = "/"
	}
	if !localPath(next) {
		return s, berth.Errorf(berth.CodeInvalidRequest, "next must be a path of this site").WithField("next").
			WithHint("give one such as /tenants; %s was given", berth.Quote(next))
	}
	p, err := a.provider.get(ctx)
	if err != nil {
		return s, err
	}
	u := pendingSignIn{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next, Invited: invited, Until: store.Now().Add(SignInLifetime)}
	if s.Cookie, err = a.sealer.seal(forSignIn, u); err != nil {
		return s, err
	}
	s.Location = a.provider.oauth(p).AuthCodeURL(u.State, oidc.Nonce(u.Nonce), oauth2.S256ChallengeOption(u.Verifier))
	return s, nil
}

// localPath reports whether next leads nowhere but to this site, whatever a
// browser makes of it.
func localPath(next string) bool {
	return len(next) <= 2000 && strings.HasPrefix(next, "/") && !strings.HasPrefix(next, "//") &&
		!strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f })
}

// Return is what a browser brought back from the provider.
type Return struct {
	Cookie string // of BeginSignIn
	State  string
	Code   string
	Error  string // why the provider sent none
}

// FinishSignIn lets in whom the provider vouches for, if they are known, have a
// known address, or anybody may. The session that r came with ends.
func (a *Auth) FinishSignIn(ctx context.Context, r Request, back Return) (s SignedIn, err error) {
	var u pendingSignIn
	if !a.sealer.open(forSignIn, back.Cookie, &u) || !time.Now().Before(u.Until) ||
		subtle.ConstantTimeCompare([]byte(u.State), []byte(back.State)) != 1 {
		return s, a.notSignedIn(r, "The sign-in was not begun in this browser, or long ago")
	}
	if back.Error != "" || back.Code == "" {
		return s, a.notSignedIn(r, "The provider did not let you sign in")
	}
	if a.failures.spent(time.Now(), "exchange "+network(r.Address)) {
		return s, rateLimited() // each would be a request to the provider
	}
	p, err := a.provider.identify(ctx, back.Code, u)
	if errors.Is(err, errNotVouched) {
		return s, a.notSignedIn(r, "The provider does not vouch for this sign-in", "exchange "+network(r.Address))
	}
	if err != nil {
		return s, err
	}
	err = a.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		s.Session, err = a.enter(ctx, tx, p, r)
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	if !p.zero() {
		p.Until = store.Now().Add(ProofLifetime)
		if s.Proof, err = a.sealer.seal(forProof, p); err != nil {
			return SignedIn{}, err
		}
	}
	if s.Session == "" && (!u.Invited || p.zero()) {
		return SignedIn{}, notKnown()
	}
	s.Next = u.Next
	return s, nil
}

// enter begins a session for whom p is; "" if they may not enter.
func (a *Auth) enter(ctx context.Context, tx store.Tx, p proof, r Request) (session string, err error) {
	u, ok, err := p.find(ctx, tx)
	switch {
	case err == nil && !ok && a.OIDC.AllowSignup && !p.zero():
		u, err = p.join(ctx, tx)
		ok = true
	case err == nil && !ok:
		u, ok, err = p.link(ctx, tx)
	}
	if err != nil || !ok {
		return "", err
	}
	if !u.DisabledAt.IsZero() {
		return "", berth.Errorf(berth.CodeForbidden, "You may not sign in any more").WithHint("ask an operator")
	}
	if wellFormed(sessionPrefix, r.Session) {
		before, ok, err := tx.SessionByHash(ctx, hash(r.Session))
		if err != nil {
			return "", err
		}
		if ok {
			if err := end(ctx, tx, actorOf(u, r), before); err != nil {
				return "", err
			}
		}
	}
	return begin(ctx, tx, u, r)
}

func (a *Auth) notSignedIn(r Request, message string, keys ...string) error {
	if a.failures.note(time.Now(), append(keys, network(r.Address))...) {
		return rateLimited()
	}
	return berth.Errorf(berth.CodeUnauthenticated, "%s", message).WithHint("begin again at /auth/oidc/login")
}

func notKnown() error {
	return berth.Errorf(berth.CodeForbidden, "You are not known here").
		WithHint("ask for an invitation; then sign in at /auth/oidc/login?invited=true and accept it")
}

// errNotVouched is an answer of the provider that names nobody.
var errNotVouched = errors.New("not vouched for")

// identify asks the provider whom a code stands for.
func (p *provider) identify(ctx context.Context, code string, u pendingSignIn) (who proof, err error) {
	known, err := p.get(ctx)
	if err != nil {
		return who, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.oauth(known).Exchange(ctx, code, oauth2.VerifierOption(u.Verifier))
	if err != nil {
		return who, refusedOrDown(err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := known.Verifier(&oidc.Config{ClientID: p.config.ClientID}).Verify(ctx, raw)
	if err != nil || subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(u.Nonce)) != 1 {
		return who, errNotVouched
	}
	var c struct {
		Party    string `json:"azp"`
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
		Name     string `json:"name"`
	}
	if verified.Claims(&c) != nil || verified.Subject == "" || len(verified.Audience) > 1 && c.Party != p.config.ClientID {
		return who, errNotVouched
	}
	if c.Email == "" && known.UserInfoEndpoint() != "" { // many put the address there only
		info, err := known.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			return who, unavailable("it does not say who signed in")
		}
		if info.Subject != verified.Subject || info.Claims(&c) != nil {
			return who, errNotVouched
		}
	}
	who = proof{Issuer: verified.Issuer, Subject: verified.Subject, Name: c.Name}
	if c.Verified && berth.ValidateEmail(c.Email) == nil {
		who.Email = c.Email
	}
	return who, nil
}

// refusedOrDown tells a code that was refused from a provider that does not
// work for Berth. What the provider wrote is not passed on: it may hold what it
// was sent.
func refusedOrDown(err error) error {
	var answer *oauth2.RetrieveError
	switch {
	case !errors.As(err, &answer):
		return unavailable("it did not answer")
	case answer.ErrorCode == "invalid_client" || answer.ErrorCode == "unauthorized_client":
		return unavailable("it does not take Berth's client id and secret")
	case answer.Response != nil && answer.Response.StatusCode >= http.StatusInternalServerError:
		return unavailable(fmt.Sprintf("it answered %d", answer.Response.StatusCode))
	default:
		return errNotVouched
	}
}
