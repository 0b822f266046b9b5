package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// JWT says which JSON Web Tokens stand for people: Supabase's, or those of
// whoever makes them alike.
type JWT struct {
	Issuer   string // iss
	Audience string // one of aud; "": authenticated
	Secret   []byte // of HS256, 32 bytes or more; nil: none
	KeysURL  string // where the public keys of RS256 and ES256 are; "": nowhere

	// EmailConfirmed says that the issuer signs nobody in before they proved
	// their address. Otherwise only a token with email_verified proves one.
	EmailConfirmed bool

	// Refetch is how long the keys are not asked for again, whatever kid comes
	// along; 0: 10 s.
	Refetch time.Duration
}

// leeway is how far clocks may be apart.
const leeway = 30 * time.Second

// longestJWT bounds what is parsed, in bytes.
const longestJWT = 16 << 10

// personRole is the role claim of people. A service_role token is a program's
// that sees all of a database: it is no operator of Berth.
const personRole = "authenticated"

// claims are what is read of a token. Nothing is read of user_metadata, which
// users write themselves, and nothing of it decides what somebody may do.
type claims struct {
	jwt.Claims
	Role          string `json:"role"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	Anonymous     bool   `json:"is_anonymous"`
}

// byJWT returns the person that a token was made out to.
func (a *Auth) byJWT(ctx context.Context, r Request) (c Caller, err error) {
	if a.JWT == nil || len(r.Bearer) > longestJWT {
		return c, a.failed(r)
	}
	p, ok, err := a.readJWT(ctx, r.Bearer)
	if err != nil {
		return c, err
	}
	if !ok {
		return c, a.failed(r)
	}
	known, disabled := false, false
	err = a.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		u, ok, err := p.find(ctx, tx)
		if known, disabled = ok, !u.DisabledAt.IsZero(); err != nil || !ok || disabled {
			return err
		}
		c, err = person(ctx, tx, u, r)
		return err
	})
	switch {
	case err != nil:
		return c, err
	case disabled:
		return c, a.failed(r)
	case !known:
		c.undecided = berth.Errorf(berth.CodeForbidden, "You are not known here").WithHint("ask for an invitation, and accept it")
	}
	c.proof = p
	return c, nil
}

// readJWT checks all of a token. ok is false if anything is wrong with it; err
// is what kept it from being checked.
func (a *Auth) readJWT(ctx context.Context, text string) (p proof, ok bool, err error) {
	var algorithms []jose.SignatureAlgorithm
	if a.JWT.Secret != nil {
		algorithms = append(algorithms, jose.HS256)
	}
	if a.JWT.KeysURL != "" {
		algorithms = append(algorithms, jose.RS256, jose.ES256)
	}
	token, err := jwt.ParseSigned(text, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return p, false, nil
	}
	key, ok, err := a.keyFor(ctx, token.Headers[0])
	if err != nil || !ok {
		return p, false, err
	}
	var c claims
	if token.Claims(key, &c) != nil || !a.JWT.accepts(c, time.Now()) {
		return p, false, nil
	}
	p = proof{Issuer: c.Issuer, Subject: strings.ToLower(c.Subject), bearer: true}
	if (c.EmailVerified || a.JWT.EmailConfirmed) && berth.ValidateEmail(c.Email) == nil {
		p.Email = c.Email
	}
	return p, true, nil
}

func (j *JWT) accepts(c claims, at time.Time) bool {
	audience := j.Audience
	if audience == "" {
		audience = personRole
	}
	expected := jwt.Expected{Issuer: j.Issuer, AnyAudience: jwt.Audience{audience}, Time: at}
	return j.Issuer != "" && c.Expiry != nil && c.ValidateWithLeeway(expected, leeway) == nil &&
		berth.IsUUID(strings.ToLower(c.Subject)) && c.Role == personRole && !c.Anonymous
}

// keyFor returns the one key that may have made a token. The algorithm belongs
// to the key: a public key is never a secret of HS256.
func (a *Auth) keyFor(ctx context.Context, h jose.Header) (key any, ok bool, err error) {
	if h.Algorithm == string(jose.HS256) {
		return a.JWT.Secret, true, nil
	}
	if h.KeyID == "" {
		return nil, false, nil
	}
	found, err := a.keys.find(ctx, h.KeyID)
	if err != nil {
		return nil, false, err
	}
	i := slices.IndexFunc(found, func(k jose.JSONWebKey) bool { return algorithmOf(k) == h.Algorithm })
	if i < 0 {
		return nil, false, nil
	}
	return found[i].Key, true, nil
}

// algorithmOf is the one algorithm that a key is used with, "" for none.
func algorithmOf(k jose.JSONWebKey) string {
	algorithm := ""
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= 2048 {
			algorithm = string(jose.RS256)
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			algorithm = string(jose.ES256)
		}
	}
	if k.Algorithm != "" && k.Algorithm != algorithm || k.Use != "" && k.Use != "sig" {
		return ""
	}
	return algorithm
}
