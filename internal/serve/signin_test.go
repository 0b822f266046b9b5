package serve

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

func TestSignInIsRefusedWhereItWouldNotBeSafe(t *testing.T) {
	const secret = "a secret of thirty-two characters or more"
	oidc := SignIn{OIDCIssuer: "https://id.example.com", OIDCClientID: "berth", PublicURL: "https://berth.example.com", OIDCSecret: secret}
	jwt := SignIn{JWTIssuer: "https://p.supabase.co/auth/v1", JWTSecret: secret}
	for _, c := range []struct {
		what, field string
		base        SignIn
		change      func(*SignIn)
	}{
		{"the issuer over http", "oidc-issuer", oidc, func(c *SignIn) { c.OIDCIssuer = "http://id.example.com" }},
		{"an issuer with a password", "oidc-issuer", oidc, func(c *SignIn) { c.OIDCIssuer = "https://u:p@id.example.com" }},
		{"an issuer that only looks local", "oidc-issuer", oidc, func(c *SignIn) { c.OIDCIssuer = "http://localhost.example.com" }},
		{"no client id", "oidc-client-id", oidc, func(c *SignIn) { c.OIDCClientID = "" }},
		{"no public URL", "public-url", oidc, func(c *SignIn) { c.PublicURL = "" }},
		{"a public URL over http", "public-url", oidc, func(c *SignIn) { c.PublicURL = "http://berth.example.com" }},
		{"a client without an issuer", "oidc-issuer", oidc, func(c *SignIn) { c.OIDCIssuer = "" }},
		{"both secrets", "BERTH_OIDC_CLIENT_SECRET_FILE", oidc, func(c *SignIn) { c.OIDCSecretFile = "x" }},
		{"no file", "BERTH_OIDC_CLIENT_SECRET_FILE", oidc, func(c *SignIn) { c.OIDCSecret, c.OIDCSecretFile = "", "/nowhere" }},
		{"no issuer of tokens", "jwt-issuer", jwt, func(c *SignIn) { c.JWTIssuer = "" }},
		{"no key", "jwks-url", jwt, func(c *SignIn) { c.JWTSecret = "" }},
		{"keys over http", "jwks-url", jwt, func(c *SignIn) { c.JWKSURL = "http://p.supabase.co/keys" }},
		{"a short secret", "BERTH_SUPABASE_JWT_SECRET", jwt, func(c *SignIn) { c.JWTSecret = secret[:31] }},
		{"a proxy that is no prefix", "trusted-proxies", SignIn{}, func(c *SignIn) { c.TrustedProxies = "proxy" }},
	} {
		c.change(&c.base)
		_, err := c.base.parse()
		var e *berth.Error
		if !errors.As(err, &e) || e.Field != c.field || e.Hint == "" || strings.Contains(e.Error()+e.Hint, secret[:31]) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestSignInIsOffUnlessItIsAskedFor(t *testing.T) {
	p, err := SignIn{}.parse()
	if err != nil || p.oidc != nil || p.jwt != nil || p.proxies != nil {
		t.Errorf("%+v, %v", p, err)
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("a secret of thirty-two characters or more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err = SignIn{
		OIDCIssuer: "http://127.0.0.1:9998", OIDCClientID: "berth", OIDCSecretFile: file, PublicURL: "http://localhost:3008/",
		JWTIssuer: "https://p.supabase.co/auth/v1", JWTSecretFile: file, TrustedProxies: "10.0.0.0/8,::1/128",
	}.parse()
	if err != nil || p.oidc.RedirectURL != "http://localhost:3008/auth/oidc/callback" || p.oidc.ClientSecret != string(p.jwt.Secret) || len(p.jwt.Secret) != 41 || len(p.proxies) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}
