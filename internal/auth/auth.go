// Package auth tells who is asking: it turns the text of a token into an actor.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// A token's text is its prefix, 256 random bits and a checksum: scanners find
// leaked ones, and a mistyped one is refused without asking the database.
const (
	textPrefix = "berth_"
	randomLen  = 43 // base64url characters of 32 bytes
	checkLen   = 6  // base64url characters of 4 bytes
	shownLen   = len(textPrefix) + 8
)

// usePrecision is how exactly the last use is recorded: more would cost a
// write for each request.
const usePrecision = time.Minute

// Auth checks and keeps tokens.
type Auth struct {
	store store.Store
}

// New returns an Auth on a store.
func New(s store.Store) *Auth { return &Auth{store: s} }

// Authenticate returns the actor that a token stands for.
func (a *Auth) Authenticate(ctx context.Context, text string) (berth.Actor, error) {
	if !wellFormed(text) {
		return berth.Actor{}, unauthenticated("give a token in the Authorization header: Bearer berth_…")
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	t, ok, err := a.find(ctx, text)
	if err != nil {
		return berth.Actor{}, err
	}
	if !ok || !t.Valid(now) {
		return berth.Actor{}, unauthenticated("the token is unknown, revoked or expired: ask an operator for another")
	}
	if now.Sub(t.LastUsedAt) >= usePrecision {
		t.LastUsedAt = now
		// A request does not fail because its token's last use can't be noted.
		_ = a.store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.UpdateToken(ctx, t) })
	}
	return t.Actor(), nil
}

func (a *Auth) find(ctx context.Context, text string) (t berth.Token, ok bool, err error) {
	err = a.store.View(ctx, berth.System(), func(tx store.Tx) error {
		t, ok, err = tx.TokenByHash(ctx, hash(text))
		return err
	})
	return t, ok, err
}

// Create makes a token and returns its text, which is never shown again.
// expires may be zero: never.
func (a *Auth) Create(ctx context.Context, actor berth.Actor, name string, expires time.Time) (text string, t berth.Token, err error) {
	if err := operatorOnly(actor); err != nil {
		return "", t, err
	}
	if err := berth.ValidateName(name); err != nil {
		return "", t, berth.Errorf(berth.CodeInvalidRequest, "Token name must be 1-100 characters").WithField("name").
			WithHint("name what the token is for; %s was given", berth.Quote(name))
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if !expires.IsZero() && !expires.After(now) {
		return "", t, berth.Errorf(berth.CodeInvalidRequest, "A token must expire in the future").WithField("expiresAt").
			WithHint("leave it out for a token that does not expire; %s was given", expires.Format(time.RFC3339))
	}
	text = newText()
	t = berth.Token{
		ID: berth.NewID(), Name: name, Prefix: text[:shownLen], Hash: hash(text), Role: berth.RoleOperator,
		CreatedAt: now, ExpiresAt: expires,
	}
	err = a.store.InTx(ctx, actor, func(tx store.Tx) error { return tx.InsertToken(ctx, t) })
	return text, t, err
}

// List returns all tokens, oldest first.
func (a *Auth) List(ctx context.Context, actor berth.Actor) (list []berth.Token, err error) {
	if err := operatorOnly(actor); err != nil {
		return nil, err
	}
	err = a.store.View(ctx, actor, func(tx store.Tx) error {
		list, _, err = tx.ListTokens(ctx, "", store.Page{Limit: store.Unbounded})
		return err
	})
	return list, err
}

// Revoke ends a token. Revoking twice is no error.
func (a *Auth) Revoke(ctx context.Context, actor berth.Actor, id string) error {
	if err := operatorOnly(actor); err != nil {
		return err
	}
	return a.store.InTx(ctx, actor, func(tx store.Tx) error {
		t, err := tx.Token(ctx, id)
		if berth.Is(err, berth.CodeNotFound) {
			return berth.Errorf(berth.CodeNotFound, "Token not found").WithHint("list the tokens; %s was given", berth.Quote(id))
		}
		if err != nil {
			return err
		}
		if t.RevokedAt.IsZero() {
			t.RevokedAt = time.Now().UTC().Truncate(time.Microsecond)
		}
		return tx.UpdateToken(ctx, t)
	})
}

func operatorOnly(actor berth.Actor) error {
	if actor.Installation() {
		return nil
	}
	return berth.Errorf(berth.CodeForbidden, "Only an operator may manage tokens").WithHint("use an operator's token")
}

func unauthenticated(hint string) error {
	return berth.Errorf(berth.CodeUnauthenticated, "Not authenticated").WithHint("%s", hint)
}

func newText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	body := base64.RawURLEncoding.EncodeToString(b[:])
	return textPrefix + body + checksum(body)
}

func checksum(body string) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
}

func wellFormed(text string) bool {
	rest, ok := strings.CutPrefix(text, textPrefix)
	return ok && len(rest) == randomLen+checkLen && checksum(rest[:randomLen]) == rest[randomLen:]
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
