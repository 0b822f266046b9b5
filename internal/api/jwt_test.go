package api_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
)

const supabase = "https://project.supabase.test/auth/v1"

// issuer makes tokens as Supabase does, and serves its keys.
type issuer struct {
	t      *testing.T
	secret []byte
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	asked int
	down  bool
	url   string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, secret: []byte("a secret of Supabase's with forty characters")}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.keys = []jose.JSONWebKey{{Key: i.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"}, {Key: i.ec.Public(), KeyID: "ec", Use: "sig"}}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	if i.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
}

func (i *issuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *issuer) config(c *auth.Config, _ *api.Config) {
	c.JWT = &auth.JWT{Issuer: supabase, Secret: i.secret, KeysURL: i.url, Refetch: time.Nanosecond}
}

// claimsFor are those of a person, with changes; nil removes one.
func claimsFor(sub string, change map[string]any) map[string]any {
	c := map[string]any{
		"iss": supabase, "aud": "authenticated", "role": "authenticated", "sub": sub, "exp": time.Now().Add(time.Hour).Unix(),
		"user_metadata": map[string]any{"role": "admin", "email_verified": true}, "app_metadata": map[string]any{"role": "operator"},
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign makes a token. kid may be "".
func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestASupabaseUserActsByMembershipWhateverTheirMetadataSays(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, i.config)
	w.organization(one, 0)
	w.user(ada, "ada@example.com", false, map[string]berth.Role{one: berth.RoleMember})
	for what, token := range map[string]string{
		"HS256": sign(t, jose.HS256, i.secret, "", claimsFor(ada, nil)),
		"RS256": sign(t, jose.RS256, i.rsa, "rsa", claimsFor(ada, nil)),
		"ES256": sign(t, jose.ES256, i.ec, "ec", claimsFor(strings.ToUpper(ada), map[string]any{"aud": []string{"x", "authenticated"}})),
	} {
		me := w.want(w.as(token, "GET", "/api/me", ""), 200, what)
		if me["role"] != "member" || me["organizationId"] != one || me["id"] != ada || me["kind"] != "user" {
			t.Errorf("%s: %v", what, me)
		}
		w.want(w.as(token, "GET", "/api/users", ""), 403, what)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.asked != 1 {
		t.Errorf("the keys were asked for %d times", i.asked)
	}
}

func TestATokenThatIsNotTheIssuersIsRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, i.config)
	w.organization(one, 0)
	w.user(ada, "ada@example.com", true, nil)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	w.must(err)
	i.keys = append(i.keys, jose.JSONWebKey{Key: i.rsa.Public(), KeyID: "rs512", Algorithm: "RS512"},
		jose.JSONWebKey{Key: i.rsa.Public(), KeyID: "enc", Use: "enc"}, jose.JSONWebKey{Key: weak.Public(), KeyID: "weak"})
	good := sign(t, jose.RS256, i.rsa, "rsa", claimsFor(ada, nil))
	w.want(w.as(good, "GET", "/api/me", ""), 200, "good")
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	der, err := x509.MarshalPKIXPublicKey(i.rsa.Public())
	w.must(err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs := func(change map[string]any) string { return sign(t, jose.HS256, i.secret, "", claimsFor(ada, change)) }
	bad := map[string]string{
		"alg none":                          none,
		"alg none with the old signature":   none + parts[2],
		"no signature":                      parts[0] + "." + parts[1] + ".",
		"another payload":                   parts[0] + "." + strings.Split(hs(map[string]any{"x": 1}), ".")[1] + "." + parts[2],
		"HS256 with the public key as PEM":  sign(t, jose.HS256, public, "rsa", claimsFor(ada, nil)),
		"HS256 with the public key as DER":  sign(t, jose.HS256, der, "rsa", claimsFor(ada, nil)),
		"HS256 with the modulus":            sign(t, jose.HS256, i.rsa.N.Bytes(), "rsa", claimsFor(ada, nil)),
		"RS512":                             sign(t, jose.RS512, i.rsa, "rsa", claimsFor(ada, nil)),
		"HS512":                             sign(t, jose.HS512, append(i.secret, i.secret...), "", claimsFor(ada, nil)),
		"RS256 under the other key's kid":   sign(t, jose.RS256, i.rsa, "ec", claimsFor(ada, nil)),
		"ES256 under the other key's kid":   sign(t, jose.ES256, i.ec, "rsa", claimsFor(ada, nil)),
		"another RSA key under a known kid": sign(t, jose.RS256, other, "rsa", claimsFor(ada, nil)),
		"an unknown kid":                    sign(t, jose.RS256, i.rsa, "unknown", claimsFor(ada, nil)),
		"RS256 with a key for RS512":        sign(t, jose.RS256, i.rsa, "rs512", claimsFor(ada, nil)),
		"a key for encryption":              sign(t, jose.RS256, i.rsa, "enc", claimsFor(ada, nil)),
		"a key of 1024 bits":                sign(t, jose.RS256, weak, "weak", claimsFor(ada, nil)),
		"no kid":                            sign(t, jose.RS256, i.rsa, "", claimsFor(ada, nil)),
		"another secret":                    sign(t, jose.HS256, []byte(strings.Repeat("x", 40)), "", claimsFor(ada, nil)),
		"expired":                           hs(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}),
		"no end":                            hs(map[string]any{"exp": nil}),
		"not yet":                           hs(map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}),
		"issued in the future":              hs(map[string]any{"iat": time.Now().Add(time.Minute).Unix()}),
		"another audience":                  hs(map[string]any{"aud": "anon"}),
		"no audience":                       hs(map[string]any{"aud": nil}),
		"another issuer":                    hs(map[string]any{"iss": supabase + "/"}),
		"no issuer":                         hs(map[string]any{"iss": nil}),
		"role service_role":                 hs(map[string]any{"role": "service_role"}),
		"role anon":                         hs(map[string]any{"role": "anon"}),
		"no role":                           hs(map[string]any{"role": nil}),
		"anonymous":                         hs(map[string]any{"is_anonymous": true}),
		"no subject":                        hs(map[string]any{"sub": nil}),
		"a subject that is no id":           hs(map[string]any{"sub": "system"}),
		"very long":                         hs(map[string]any{"x": strings.Repeat("x", 16<<10)}),
	}
	for what, token := range bad {
		w.want(w.as(token, "GET", "/api/me", ""), 401, what)
	}
	w.want(w.as(hs(map[string]any{"exp": time.Now().Add(-10 * time.Second).Unix()}), "GET", "/api/me", ""), 200, "clocks 10 s apart")
	w.want(w.as(sign(t, jose.HS256, i.secret, "", claimsFor(grace, nil)), "GET", "/api/users", ""), 403, "who is not known")
	w.want(w.ask("PATCH", "/api/users/"+ada, `{"disabled":true}`), 200, "disable")
	w.want(w.as(good, "GET", "/api/me", ""), 401, "disabled")
	for what, token := range bad {
		for _, part := range strings.Split(token, ".") {
			if len(part) > 40 && strings.Contains(w.log.String(), part) {
				t.Errorf("the log holds a part of a token: %s", what)
			}
		}
	}
}

func TestKeysAreAskedForAgainWhenOneIsNewButNotForEveryToken(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, func(c *auth.Config, a *api.Config) {
		i.config(c, a)
		c.JWT.Refetch = time.Hour
	})
	w.user(ada, "ada@example.com", true, nil)
	good := sign(t, jose.ES256, i.ec, "ec", claimsFor(ada, nil))
	w.want(w.as(good, "GET", "/api/me", ""), 200, "good")
	for range 20 {
		w.want(w.as(sign(t, jose.ES256, i.ec, "made up", claimsFor(ada, nil)), "GET", "/api/me", ""), 401, "unknown kid")
	}
	if i.asked != 1 {
		t.Errorf("asked %d times within the shortest interval", i.asked)
	}

	w = newWorldWith(t, i.config)
	w.user(ada, "ada@example.com", true, nil)
	w.want(w.as(good, "GET", "/api/me", ""), 200, "good")
	i.set(func() {
		i.keys = []jose.JSONWebKey{{Key: crypto.PublicKey(i.ec.Public()), KeyID: "next"}, {Key: i.secret, KeyID: "oct"}, {Key: i.rsa, KeyID: "private"}}
	})
	w.want(w.as(sign(t, jose.ES256, i.ec, "next", claimsFor(ada, nil)), "GET", "/api/me", ""), 200, "the new key")
	w.want(w.as(good, "GET", "/api/me", ""), 401, "the key that was taken away")
	w.want(w.as(sign(t, jose.RS256, i.rsa, "private", claimsFor(ada, nil)), "GET", "/api/me", ""), 401, "a key that is no secret any more")
	i.set(func() { i.down = true })
	w.want(w.as(sign(t, jose.ES256, i.ec, "next", claimsFor(ada, nil)), "GET", "/api/me", ""), 200, "a known key while the issuer is down")

	w = newWorldWith(t, i.config)
	a := w.as(good, "GET", "/api/me", "")
	w.want(a, 503, "no key, and the issuer is down")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.want(w.as(sign(t, jose.HS256, i.secret, "", claimsFor(ada, nil)), "GET", "/api/users", ""), 403, "the secret needs no issuer")
}

func TestAPersonOfSeveralOrganizationsChooses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, i.config)
	w.organization(one, 0)
	w.organization(two, 0)
	w.user(ada, "ada@example.com", false, map[string]berth.Role{one: berth.RoleAdmin, two: berth.RoleMember})
	w.user(grace, "grace@example.com", true, map[string]berth.Role{two: berth.RoleMember})
	token := sign(t, jose.HS256, i.secret, "", claimsFor(ada, nil))
	p := w.want(w.as(token, "GET", "/api/tenants", ""), 403, "undecided")
	if !strings.Contains(p["hint"].(string), "Berth-Organization") {
		t.Errorf("no way out in %v", p)
	}
	if me := w.want(w.as(token, "GET", "/api/me", ""), 200, "me"); me["role"] != nil || len(me["memberships"].([]any)) != 2 || me["email"] != "ada@example.com" {
		t.Errorf("undecided: %v", me)
	}
	for org, role := range map[string]string{one: "admin", two: "member"} {
		if me := w.want(w.as(token, "GET", "/api/me", "", "Berth-Organization", strings.ToUpper(org)), 200, org); me["role"] != role || me["organizationId"] != org {
			t.Errorf("in %s: %v", org, me)
		}
	}
	w.want(w.as(token, "GET", "/api/organizations/"+one+"/members", ""), 200, "by the path, as admin")
	w.want(w.as(token, "GET", "/api/organizations/"+two+"/members", ""), 403, "by the path, as member")
	w.want(w.as(token, "GET", "/api/organizations/"+two+"/members", "", "Berth-Organization", one), 404, "the header comes first")
	w.want(w.as(token, "GET", "/api/tenants", "", "Berth-Organization", grace), 403, "not theirs")
	w.want(w.as(token, "GET", "/api/tenants", "", "Berth-Organization", "x"), 422, "no id")

	operator := sign(t, jose.HS256, i.secret, "", claimsFor(grace, nil))
	if me := w.want(w.as(operator, "GET", "/api/me", ""), 200, "operator"); me["role"] != "operator" || me["organizationId"] != nil {
		t.Errorf("operator: %v", me)
	}
	w.want(w.as(operator, "GET", "/api/organizations/"+one+"/members", ""), 200, "an operator sees all")
	w.want(w.as(operator, "GET", "/api/organizations/"+one+"/members", "", "Berth-Organization", two), 404, "unless they narrow it")
	w.want(w.as(operator, "GET", "/api/users", "", "Berth-Organization", two), 403, "unless they narrow it")
	w.want(w.as(w.token, "GET", "/api/organizations/"+one+"/members", "", "Berth-Organization", two), 404, "a token narrows too")
	w.want(w.as(w.tokenFor(berth.RoleAdmin, one), "GET", "/api/me", "", "Berth-Organization", two), 403, "a token does not widen")
}
