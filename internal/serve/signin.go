package serve

import (
	"log/slog"
	"net/netip"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
)

// SignIn says who may ask besides those with a token of Berth's.
type SignIn struct {
	PublicURL      string // of the API, as browsers reach it; needed for OpenID Connect
	OIDCIssuer     string // "": nobody signs in by OpenID Connect
	OIDCClientID   string
	OIDCSecret     string // this, OIDCSecretFile, or none for a public client
	OIDCSecretFile string
	OIDCSignup     bool // whoever proves an address may enter

	JWTIssuer     string // of JSON Web Tokens, such as Supabase's; "": none are taken
	JWTSecret     string // of HS256: this or JWTSecretFile, or none
	JWTSecretFile string
	JWKSURL       string // of the keys of RS256 and ES256; "": none
	JWTConfirmed  bool   // the issuer lets nobody in who has not proven their address

	TrustedProxies string // prefixes, separated by commas
}

// signIn is a SignIn that was checked.
type signIn struct {
	oidc    *auth.OIDC // nil: not by OpenID Connect
	jwt     *auth.JWT  // nil: no JSON Web Tokens
	proxies []netip.Prefix
}

func (p signIn) config(s store.Store, key []byte, log *slog.Logger) auth.Config {
	return auth.Config{Store: s, CookieKey: key, OIDC: p.oidc, JWT: p.jwt, Log: log}
}

// leastSecret is the size of the smallest key that RFC 7518 allows HS256, in
// bytes.
const leastSecret = 32

// parse checks c. Neither what it returns as an error nor a hint holds a secret.
func (c SignIn) parse() (p signIn, err error) {
	if p.proxies, err = parsePrefixes("trusted-proxies", c.TrustedProxies); err != nil {
		return p, err
	}
	if p.oidc, err = c.parseOIDC(); err != nil {
		return p, err
	}
	p.jwt, err = c.parseJWT()
	return p, err
}

func (c SignIn) parseOIDC() (*auth.OIDC, error) {
	const safe = "must be an https URL, or http on this machine"
	secret, err := readSecret("BERTH_OIDC_CLIENT_SECRET", c.OIDCSecret, c.OIDCSecretFile)
	switch {
	case err != nil:
		return nil, err
	case c.OIDCIssuer == "" && (c.OIDCClientID != "" || secret != "" || c.OIDCSignup):
		return nil, berth.Errorf(berth.CodeInvalidRequest, "--oidc-issuer is missing").WithField("oidc-issuer").
			WithHint("give the provider's URL, or leave out all that is about OpenID Connect")
	case c.OIDCIssuer == "":
		return nil, nil
	case !auth.SafeURL(c.OIDCIssuer):
		return nil, invalid("oidc-issuer", c.OIDCIssuer, safe, "give the provider's issuer as its discovery document has it")
	case c.OIDCClientID == "":
		return nil, invalid("oidc-client-id", c.OIDCClientID, "is missing", "give the id that the provider gave to Berth")
	case !auth.SafeURL(c.PublicURL) || strings.ContainsAny(c.PublicURL, "?#"):
		return nil, invalid("public-url", c.PublicURL, safe, "give the URL under which browsers reach the API, such as https://berth.example.com")
	}
	return &auth.OIDC{
		Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: secret, AllowSignup: c.OIDCSignup,
		RedirectURL: strings.TrimSuffix(c.PublicURL, "/") + auth.CallbackPath,
	}, nil
}

func (c SignIn) parseJWT() (*auth.JWT, error) {
	secret, err := readSecret("BERTH_SUPABASE_JWT_SECRET", c.JWTSecret, c.JWTSecretFile)
	switch {
	case err != nil:
		return nil, err
	case secret == "" && c.JWKSURL == "" && c.JWTIssuer == "" && !c.JWTConfirmed:
		return nil, nil
	case c.JWTIssuer == "":
		return nil, invalid("jwt-issuer", c.JWTIssuer, "is missing", "give what the tokens have as iss, such as https://PROJECT.supabase.co/auth/v1")
	case secret == "" && c.JWKSURL == "":
		return nil, invalid("jwks-url", c.JWKSURL, "is missing", "give the URL of the issuer's keys, or set BERTH_SUPABASE_JWT_SECRET")
	case c.JWKSURL != "" && !auth.SafeURL(c.JWKSURL):
		return nil, invalid("jwks-url", c.JWKSURL, "must be an https URL, or http on this machine", "give such as https://PROJECT.supabase.co/auth/v1/.well-known/jwks.json")
	case secret != "" && len(secret) < leastSecret:
		return nil, berth.Errorf(berth.CodeInvalidRequest, "BERTH_SUPABASE_JWT_SECRET is too short").WithField("BERTH_SUPABASE_JWT_SECRET").
			WithHint("use %d characters or more: a short one can be guessed from any token", leastSecret)
	}
	j := &auth.JWT{Issuer: c.JWTIssuer, KeysURL: c.JWKSURL, EmailConfirmed: c.JWTConfirmed}
	if secret != "" {
		j.Secret = []byte(secret)
	}
	return j, nil
}

// readSecret returns what an environment variable holds, or the file that the
// one with _FILE behind it names.
func readSecret(env, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	bad := func(problem, way string) error {
		return berth.Errorf(berth.CodeInvalidRequest, "%s_FILE %s", env, problem).WithField(env+"_FILE").WithHint("%s", way)
	}
	if value != "" {
		return "", bad("and "+env+" are both set", "unset one of them")
	}
	text, err := readPassword(file)
	if err != nil {
		return "", berth.Errorf(berth.CodeInvalidRequest, "%s_FILE can't be read: %w", env, err).WithField(env + "_FILE").
			WithHint("name a file that the user running Berth can read")
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", bad("names an empty file", "write the secret into it")
	}
	return text, nil
}
