package api_test

import (
	"bytes"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
)

// from asks from an address, through proxies.
func (w *world) from(peer, forwarded, token string) answer {
	w.t.Helper()
	r := httptest.NewRequest("GET", "/api/me", nil)
	r.RemoteAddr = peer
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Header(), rec.Body.String()}
}

func limited(c *auth.Config, a *api.Config) {
	c.Failures = auth.Failures{Burst: 5, Every: time.Hour}
	a.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
}

func TestWhoFailsTooOftenIsToldToWaitAndAGoodTokenStillWorks(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, limited)
	bad := "berth_" + strings.Repeat("x", 49)
	for range 5 {
		w.want(w.from("[2001:db8::1]:1", "", bad), 401, "failed")
	}
	a := w.from("[2001:db8::2]:1", "", bad)
	if w.want(a, 429, "too often")["code"] != "rate_limited" || a.header.Get("Retry-After") == "" {
		t.Errorf("%v %s", a.header, a.body)
	}
	w.want(w.from("[2001:db8::1]:1", "", w.token), 200, "a good token from there")
	w.want(w.from("[2001:db8:0:1::1]:1", "", bad), 401, "from elsewhere")
	for range 20 {
		w.want(w.from("[2001:db8:0:2::1]:1", "", w.token), 200, "what is right is not counted")
		w.want(w.from("[2001:db8:0:2::1]:1", "", ""), 401, "nor what was not tried")
	}
	w.want(w.from("[2001:db8:0:2::1]:1", "", bad), 401, "the first failure")

	// A token that was revoked, tried from everywhere.
	text, tok, err := w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "leaked"})
	w.must(err)
	w.must(w.auth.Revoke(t.Context(), berth.System(), tok.ID))
	for i := range 6 {
		status := 401
		if i == 5 {
			status = 429
		}
		w.want(w.from(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String()+":1", "", text), status, "a leaked token")
	}
}

func TestAnAddressIsBelievedOfATrustedProxyOnly(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, limited)
	bad := "berth_" + strings.Repeat("x", 49)
	spend := func(peer, forwarded string) {
		t.Helper()
		for range 5 {
			w.want(w.from(peer, forwarded, bad), 401, peer+" for "+forwarded)
		}
	}
	spend("10.0.0.1:1", "198.51.100.1")
	w.want(w.from("10.0.0.1:1", "198.51.100.1", bad), 429, "the same")
	w.want(w.from("10.0.0.1:1", "203.0.113.9, 198.51.100.1", bad), 429, "with a made-up hop before it")
	w.want(w.from("10.0.0.1:1", "198.51.100.1, 10.0.0.2", bad), 429, "through two proxies")
	w.want(w.from("10.0.0.1:1", "198.51.100.2", bad), 401, "another behind the proxy")
	spend("198.51.100.3:1", "203.0.113.1")
	w.want(w.from("198.51.100.3:1", "203.0.113.2", bad), 429, "who is no proxy can't change their address")
}

// Everything that is secret is planted, used and looked for.
func TestNoSecretIsInTheLogAnAnswerOrTheDatabase(t *testing.T) {
	t.Parallel()
	p, i := newProvider(t), newIssuer(t)
	w := newWorldWith(t, func(c *auth.Config, a *api.Config) { p.config(c, a); i.config(c, a) })
	w.organization(one, 0)
	made := w.want(w.ask("POST", "/api/tokens", `{"name":"x","role":"admin","organizationId":"`+one+`"}`), 201, "token")
	invited := w.want(w.ask("POST", "/api/organizations/"+one+"/invitations", `{"email":"ada@example.com","role":"member"}`), 201, "invite")
	b := w.browser()
	back := p.signIn(b.begin("?invited=true"), "ada")
	w.want(b.ask("GET", back, ""), 303, "sign in")
	sealed := b.kept[proof]
	w.want(b.ask("POST", "/api/invitations/accept", `{"invitation":"`+invited["invitation"].(string)+`"}`), 200, "accept")
	jwt := sign(t, jose.HS256, i.secret, "", claimsFor(grace, nil))
	secrets := map[string]string{
		"operator's token": w.token, "token": made["token"].(string), "invitation": invited["invitation"].(string), "session": b.kept[session],
		"proof": sealed, "JSON Web Token": jwt, "code": mustURL(t, back).Query().Get("code"), "ID token": p.tokens[0], "client secret": clientSecret, "JWT secret": string(i.secret),
	}
	var answers strings.Builder
	note := func(a answer) { answers.WriteString(a.body) }
	for _, secret := range secrets {
		note(w.as(secret, "GET", "/api/me", ""))
		note(w.as(secret+"x", "GET", "/api/tenants", ""))
		note(w.as(secret+".x.y", "GET", "/api/tenants", ""))
		note(b.ask("POST", "/api/invitations/accept", `{"invitation":"`+secret+`x"}`))
		note(w.ask("GET", auth.CallbackPath+"?code="+url.QueryEscape(secret)+"&state=x", "", "Authorization", "", "Cookie", under+"="+secret))
		note(w.ask("GET", "/api/me", "", "Authorization", "", "Cookie", session+"="+secret+"; "+proof+"="+secret))
	}
	for _, path := range []string{"/api/me", "/api/tokens", "/api/users", "/api/invitations", "/api/organizations/" + one + "/invitations", "/api/organizations/" + one + "/members"} {
		note(w.ask("GET", path, ""))
	}
	note(b.ask("GET", "/api/sessions", ""))
	places := map[string][]byte{"the log": []byte(w.log.String()), "an answer": []byte(answers.String())}
	files, err := filepath.Glob(filepath.Join(w.dir, "berth.db*"))
	w.must(err)
	for _, name := range files {
		if places[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 || !bytes.Contains(places[files[0]], []byte("SQLite format")) || !strings.Contains(answers.String(), "ada@example.com") {
		t.Fatal("nothing was searched")
	}
	for what, secret := range secrets {
		for place, data := range places {
			// A token's beginning is shown on purpose.
			if bytes.Contains(data, []byte(secret)) || bytes.Contains(data, []byte(secret[len(secret)-20:])) {
				t.Errorf("%s holds the %s", place, what)
			}
		}
	}
}
