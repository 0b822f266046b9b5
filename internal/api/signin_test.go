package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
)

const (
	session = "__Host-berth-session"
	proof   = "__Host-berth-proof"
	under   = "__Host-berth-signin"
)

func TestAPersonSignsInAtARealProvider(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	w.organization(one, 0)
	w.user(ada, "ADA@example.com", false, map[string]berth.Role{one: berth.RoleMember})
	b := w.browser()
	location := b.begin("?next=/tenants%3Fq%3D1")
	query := mustURL(t, location).Query()
	if query.Get("code_challenge_method") != "S256" || query.Get("code_challenge") == "" || query.Get("nonce") == "" || query.Get("state") == "" || query.Get("response_type") != "code" {
		t.Errorf("the provider is asked with %v", query)
	}
	a := b.ask("GET", p.signIn(location, "ada"), "")
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/tenants?q=1" || a.header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("back: %d %v %s", a.status, a.header, a.body)
	}
	if b.kept[session] == "" || b.kept[under] != "" {
		t.Errorf("cookies: %v", b.kept)
	}
	if me := w.want(b.ask("GET", "/api/me", ""), 200, "me"); me["id"] != ada || me["role"] != "member" || me["kind"] != "user" {
		t.Errorf("me: %v", me)
	}
	if a := b.ask("GET", "/api/me", "", "Authorization", "Bearer berth_wrong"); a.status != 401 {
		t.Errorf("a bad token beside a good session: %d", a.status)
	}
	w.want(b.ask("DELETE", "/api/sessions/current", "", "Sec-Fetch-Site", "cross-site"), 403, "from another site's page")
	first := b.kept[session]
	w.want(w.browser().signInOK(p, "ada"), 303, "a second browser")
	list := w.want(b.ask("GET", "/api/sessions", ""), 200, "sessions")["sessions"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["current"] != false || list[1].(map[string]any)["current"] != true {
		t.Errorf("sessions: %v", list)
	}
	// The known subject needs no address any more, and each sign-in has a new secret.
	w.want(b.signIn(p, "ada", ""), 303, "again")
	if b.kept[session] == first {
		t.Error("the session was not rotated")
	}
	w.want(w.ask("GET", "/api/me", "", "Authorization", "", "Cookie", session+"="+first), 401, "the session from before")
	other := list[0].(map[string]any)["id"].(string)
	w.want(b.ask("DELETE", "/api/sessions/"+other, ""), 204, "end the other one")
	w.want(b.ask("DELETE", "/api/sessions/"+other, ""), 404, "which is over")
	w.want(b.ask("DELETE", "/api/sessions/current", ""), 204, "sign out")
	if b.kept[session] != "" {
		t.Error("the cookie is kept")
	}
	w.want(w.ask("GET", "/api/sessions", ""), 403, "a token has no sessions")
}

func (b *browser) signInOK(p *provider, name string) answer {
	b.w.t.Helper()
	return b.signIn(p, name, "")
}

func TestWhoIsNotKnownDoesNotComeIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	w.user(ada, "ada@example.com", true, nil)
	for what, name := range map[string]string{"a stranger": "eve", "who only says to have Ada's address": "mallory"} {
		for _, query := range []string{"", "?invited=true"} {
			b := w.browser()
			a := b.signIn(p, name, query)
			if name == "eve" && query != "" {
				if a.status != http.StatusSeeOther || b.kept[session] != "" || b.kept[proof] == "" {
					t.Errorf("%s, invited: %d %v", what, a.status, b.kept)
				}
				w.want(b.ask("GET", "/api/me", ""), 401, "a proof is no session")
				continue
			}
			w.want(a, 403, what)
			if b.kept[session] != "" || b.kept[proof] != "" {
				t.Errorf("%s has %v", what, b.kept)
			}
		}
	}
	w.want(w.browser().signIn(p, "ada", ""), 303, "Ada")
	w.want(w.ask("PATCH", "/api/users/"+ada, `{"disabled":true}`), 200, "disable")
	w.want(w.browser().signIn(p, "ada", ""), 403, "Ada, disabled")

	open := newWorldWith(t, func(c *auth.Config, a *api.Config) { p.config(c, a); c.OIDC.AllowSignup = true })
	b := open.browser()
	open.want(b.signIn(p, "eve", ""), 303, "a stranger where all may enter")
	open.want(b.ask("GET", "/api/tenants", ""), 403, "who belongs nowhere")
	open.want(open.browser().signIn(p, "mallory", ""), 403, "without an address")
}

func TestDisablingAUserEndsTheirSessionsAtOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	w.user(ada, "ada@example.com", true, nil)
	b := w.browser()
	w.want(b.signIn(p, "ada", ""), 303, "sign in")
	w.want(b.ask("GET", "/api/users", ""), 200, "an operator")
	w.want(w.ask("PATCH", "/api/users/"+ada, `{"disabled":true}`), 200, "disable")
	w.want(b.ask("GET", "/api/users", ""), 401, "disabled")
	w.want(w.ask("PATCH", "/api/users/"+ada, `{"disabled":false}`), 200, "enable")
	w.want(b.ask("GET", "/api/users", ""), 401, "the session stays over")
}

func TestASignInWorksInTheBrowserThatBeganItAndOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	w.user(ada, "ada@example.com", true, nil)
	b, other := w.browser(), w.browser()
	back := p.signIn(b.begin(""), "ada")
	other.begin("")
	w.want(other.ask("GET", back, ""), 401, "another browser's")
	w.want(w.browser().ask("GET", back, ""), 401, "without a cookie")
	u := mustURL(t, back)
	q := u.Query()
	q.Set("state", q.Get("state")+"x")
	w.want(b.ask("GET", u.Path+"?"+q.Encode(), ""), 401, "another state")
	q = u.Query()
	q.Del("state")
	w.want(b.ask("GET", u.Path+"?"+q.Encode(), ""), 401, "no state")
	w.want(b.ask("GET", u.Path+"?state="+url.QueryEscape(u.Query().Get("state"))+"&error=access_denied", ""), 401, "the person declined")
	kept := maps.Clone(b.kept)
	w.want(b.ask("GET", back, ""), 303, "the first time")
	again := &browser{w, maps.Clone(kept)}
	w.want(again.ask("GET", back, ""), 401, "the same code once more")
	if again.kept[session] != "" {
		t.Error("a used code began a session")
	}
	// A cookie of another kind, or a changed one.
	swapped := &browser{w, map[string]string{under: b.kept[proof]}}
	w.want(swapped.ask("GET", back, ""), 401, "a proof in place of a sign-in")
	kept[under] = kept[under][:len(kept[under])-2] + "AA"
	w.want((&browser{w, kept}).ask("GET", back, ""), 401, "a changed cookie")
}

func TestAnIDTokenOfAnotherSignInIsRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	w.user(ada, "ada@example.com", true, nil)
	w.want(w.browser().signIn(p, "ada", ""), 303, "Ada")
	p.set(func() { p.instead = p.tokens[0] })
	w.want(w.browser().signIn(p, "ada", ""), 401, "her own from before")
	for what, token := range map[string]string{
		"another person's": p.tokens[0], "unsigned": unsigned(p.tokens[0]), "none": " ",
		"HS256 with the client's secret": sign(t, jose.HS256, []byte(clientSecret), "", map[string]any{"iss": p.issuer(), "aud": "berth", "sub": "id-ada", "exp": 1 << 40}),
	} {
		b := w.browser()
		p.set(func() { p.instead = token })
		w.want(b.signIn(p, "eve", ""), 401, what)
		if b.kept[session] != "" {
			t.Errorf("%s: %v", what, b.kept)
		}
	}
}

func TestASignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	for _, next := range []string{"https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "/a\\..\\b", "evil", "javascript:alert(1)", "/\t/evil.test", "/\n/evil", "/%0a\x00", "///evil.test", " /x"} {
		a := w.browser().ask("GET", "/auth/oidc/login?next="+url.QueryEscape(next), "")
		if a.status != 422 {
			t.Errorf("next %q: %d %s", next, a.status, a.header.Get("Location"))
		}
	}
}

func TestAProviderThatIsDownHinders503AndNothingElse(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.set(func() { p.status = http.StatusBadGateway })
	w := newWorldWith(t, p.config)
	a := w.browser().ask("GET", "/auth/oidc/login", "")
	w.want(a, 503, "login")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(a.body, p.issuer()) || !strings.Contains(w.log.String(), p.issuer()) {
		t.Errorf("the cause belongs into the log: %s %s", a.body, w.log)
	}
	w.want(w.browser().ask("GET", "/auth/oidc/login", ""), 503, "login again")
	if n := p.requests["/.well-known/openid-configuration"]; n != 1 {
		t.Errorf("a provider that is down was asked %d times", n)
	}
	w.want(w.ask("GET", "/api/me", ""), 200, "a token")
	w.want(newWorld(t).browser().ask("GET", "/auth/oidc/login", ""), 404, "where there is none")

	p.set(func() { p.status = 0 })
	w = newWorldWith(t, p.config)
	b := w.browser()
	back := p.signIn(b.begin(""), "ada")
	p.set(func() { p.status = http.StatusBadGateway })
	w.want(b.ask("GET", back, ""), 503, "down at the end")

	wrong := newWorldWith(t, func(c *auth.Config, a *api.Config) { p.config(c, a); c.OIDC.Issuer += "/other" })
	p.set(func() { p.status = 0 })
	wrong.want(wrong.browser().ask("GET", "/auth/oidc/login", ""), 503, "another issuer")
	secret := newWorldWith(t, func(c *auth.Config, a *api.Config) { p.config(c, a); c.OIDC.ClientSecret = "wrong" })
	b = secret.browser()
	secret.want(b.ask("GET", p.signIn(b.begin(""), "ada"), ""), 503, "a wrong client secret")
}

func TestAnInvitationLetsItsAddressInOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	i := newIssuer(t)
	w := newWorldWith(t, func(c *auth.Config, a *api.Config) { p.config(c, a); i.config(c, a) })
	w.organization(one, 0)
	w.organization(two, 0)
	admin := w.tokenFor(berth.RoleAdmin, one)
	path := "/api/organizations/" + one + "/invitations"
	invite := func(email string) string {
		t.Helper()
		return w.want(w.as(admin, "POST", path, `{"email":"`+email+`","role":"member"}`), 201, "invite")["invitation"].(string)
	}
	accept := func(text string) string { return `{"invitation":"` + text + `"}` }
	text := invite("GRACE@example.com")
	eve, g := w.browser(), w.browser()
	eve.signIn(p, "eve", "?invited=true")
	g.signIn(p, "grace", "?invited=true")
	wrong := eve.ask("POST", "/api/invitations/accept", accept(text))
	w.want(wrong, 403, "another address")
	for what, body := range map[string]string{"unknown": accept("berth_inv_" + strings.Repeat("x", 49)), "of another checksum": accept(text[:len(text)-1] + "!"), "none": "{}"} {
		if a := g.ask("POST", "/api/invitations/accept", body); a.status != 403 || a.body != wrong.body {
			t.Errorf("%s: %d %s, want as for another address", what, a.status, a.body)
		}
	}
	w.want(w.ask("POST", "/api/invitations/accept", accept(text)), 403, "a token")
	w.want(w.browser().ask("POST", "/api/invitations/accept", accept(text)), 401, "nobody")
	done := w.want(g.ask("POST", "/api/invitations/accept", accept(text)), 200, "Grace")
	if done["organizationId"] != one || done["role"] != "member" || g.kept[session] == "" {
		t.Errorf("accepted: %v, cookies %v", done, g.kept)
	}
	if me := w.want(g.ask("GET", "/api/me", ""), 200, "me"); me["organizationId"] != one || me["email"] != "grace@example.com" {
		t.Errorf("me: %v", me)
	}
	g.signIn(p, "grace", "")
	if a := g.ask("POST", "/api/invitations/accept", accept(text)); a.status != 403 || a.body != wrong.body {
		t.Errorf("used: %d %s", a.status, a.body)
	}
	revoked := w.want(w.as(admin, "POST", path, `{"email":"grace@example.com","role":"admin"}`), 201, "invite")
	w.want(w.as(admin, "DELETE", path+"/"+revoked["id"].(string), ""), 204, "revoke")
	w.want(g.ask("POST", "/api/invitations/accept", accept(revoked["invitation"].(string))), 403, "revoked")
	used := w.want(w.as(admin, "GET", path+"?limit=1", ""), 200, "list")
	if list := used["invitations"].([]any); len(list) != 1 || used["nextCursor"] == nil || strings.Contains(fmt.Sprint(list), "berth_inv_") {
		t.Errorf("listed: %v", used)
	}
	w.want(w.as(w.tokenFor(berth.RoleAdmin, two), "GET", path, ""), 404, "another organization's admin lists")
	w.want(w.as(w.tokenFor(berth.RoleAdmin, two), "POST", path, `{"email":"x@example.com","role":"member"}`), 404, "and invites")
	w.want(w.as(w.tokenFor(berth.RoleAdmin, two), "DELETE", path+"/"+revoked["id"].(string), ""), 404, "and revokes")
	w.want(w.as(w.tokenFor(berth.RoleMember, one), "POST", path, `{"email":"x@example.com","role":"member"}`), 403, "a member invites")
	w.want(w.as(admin, "POST", path, `{"email":"x@example.com","role":"operator"}`), 422, "an admin invites an operator")
	w.want(w.as(admin, "POST", path, `{"email":"not one","role":"member"}`), 422, "no address")

	// By a JSON Web Token: only an address that the issuer vouches for counts.
	byToken := invite("lin@example.com")
	lin := func(change map[string]any) string {
		return sign(t, jose.HS256, i.secret, "", claimsFor(grace, change))
	}
	w.want(w.as(lin(map[string]any{"email": "lin@example.com"}), "POST", "/api/invitations/accept", accept(byToken)), 403, "an address that is not verified")
	w.want(w.as(lin(map[string]any{"email": "x@example.com", "email_verified": true}), "POST", "/api/invitations/accept", accept(byToken)), 403, "another address")
	good := lin(map[string]any{"email": "lin@example.com", "email_verified": true})
	w.want(w.as(good, "GET", "/api/tenants", ""), 403, "not known yet")
	w.want(w.as(good, "POST", "/api/invitations/accept", accept(byToken)), 200, "verified")
	if me := w.want(w.as(good, "GET", "/api/me", ""), 200, "me"); me["id"] != grace || me["role"] != "member" {
		t.Errorf("me: %v", me)
	}
	operator := w.want(w.ask("POST", "/api/invitations", `{"email":"ada@example.com"}`), 201, "invite an operator")
	a := w.browser()
	a.signIn(p, "ada", "?invited=true")
	w.want(a.ask("POST", "/api/invitations/accept", accept(operator["invitation"].(string))), 200, "accept")
	w.want(a.ask("GET", "/api/users", ""), 200, "an operator")
}

func TestOfTwoWhoAcceptAtOnceOneWins(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := newWorldWith(t, p.config)
	w.organization(one, 0)
	made := w.want(w.ask("POST", "/api/organizations/"+one+"/invitations", `{"email":"ada@example.com","role":"member"}`), 201, "invite")
	b := w.browser()
	b.signIn(p, "ada", "?invited=true")
	const n = 8
	got := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			mine := &browser{w, maps.Clone(b.kept)}
			got[i] = mine.ask("POST", "/api/invitations/accept", `{"invitation":"`+made["invitation"].(string)+`"}`).status
		})
	}
	wg.Wait()
	won := 0
	for _, status := range got {
		if status == 200 {
			won++
		} else if status != 403 {
			t.Errorf("a loser is told %d", status)
		}
	}
	if won != 1 {
		t.Errorf("%d won: %v", won, got)
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// unsigned is a token without its signature, for who takes alg none.
func unsigned(token string) string {
	parts := strings.Split(token, ".")
	return "eyJhbGciOiJub25lIn0." + parts[1] + "."
}
