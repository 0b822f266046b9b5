package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// ProofLifetime is how long after a sign-in an invitation can be accepted with it.
const ProofLifetime = 15 * time.Minute

// proof says who a provider knows, and which address they have proven.
type proof struct {
	Issuer  string    `json:"iss"`
	Subject string    `json:"sub"`
	Email   string    `json:"email"` // "": none was proven
	Name    string    `json:"name"`
	Until   time.Time `json:"until"`

	bearer bool // came as a token whose subject is a user's id, not as a cookie
}

func (p proof) zero() bool { return p.Email == "" }

// find returns the user who is known as p.
func (p proof) find(ctx context.Context, tx store.Users) (u berth.User, ok bool, err error) {
	if p.bearer {
		u, err = tx.User(ctx, p.Subject)
		if !berth.Is(err, berth.CodeUserNotFound) {
			return u, err == nil, err
		}
	}
	return tx.UserByIdentity(ctx, p.Issuer, p.Subject)
}

// link returns the user who has the proven address, and remembers them as p.
func (p proof) link(ctx context.Context, tx store.Users) (u berth.User, ok bool, err error) {
	if p.zero() {
		return u, false, nil
	}
	u, ok, err = tx.UserByEmail(ctx, p.Email)
	if err != nil || !ok {
		return u, false, err
	}
	return u, true, tx.PutIdentity(ctx, berth.Identity{Issuer: p.Issuer, Subject: p.Subject, UserID: u.ID})
}

// join returns the user who is p, and makes one if there is none.
func (p proof) join(ctx context.Context, tx store.Users) (u berth.User, err error) {
	u, ok, err := p.find(ctx, tx)
	if err == nil && !ok {
		u, ok, err = p.link(ctx, tx)
	}
	if err != nil || ok {
		return u, err
	}
	u = berth.User{ID: p.Subject, Email: p.Email, Name: p.Name, CreatedAt: store.Now()}
	if berth.ValidateLabel("Name", "name", u.Name) != nil {
		u.Name = p.Email
	}
	if p.bearer {
		return u, tx.PutUser(ctx, u)
	}
	u.ID = berth.NewID()
	if err := tx.PutUser(ctx, u); err != nil {
		return u, err
	}
	return u, tx.PutIdentity(ctx, berth.Identity{Issuer: p.Issuer, Subject: p.Subject, UserID: u.ID})
}

// What a sealed cookie is for: one is never taken for the other.
const (
	forSignIn = "berth sign-in under way"
	forProof  = "berth proof of an address"
)

func (a *Auth) openProof(text string) (p proof, ok bool) {
	ok = text != "" && a.sealer.open(forProof, text, &p) && time.Now().Before(p.Until) && !p.zero()
	if !ok {
		return proof{}, false
	}
	return p, true
}

// sealer closes what a browser keeps for a while, so that it can neither be
// read nor changed there.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) sealer {
	if key == nil {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails: it crashes the program instead
	}
	own, err := hkdf.Key(sha256.New, key, nil, "berth cookies", 32)
	if err != nil {
		panic(err) // the length is in bounds
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has GCM's block size
	}
	return sealer{aead}
}

func (s sealer) seal(purpose string, v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, data, []byte(purpose))), nil
}

func (s sealer) open(purpose, text string, to any) bool {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	data, err = s.aead.Open(nil, nil, data, []byte(purpose))
	return err == nil && json.Unmarshal(data, to) == nil
}
