package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
)

const (
	password     = "a password of the provider's"
	clientSecret = "a secret that the provider gave to Berth"
)

// provider is zitadel's OpenID provider, over HTTP on the loopback. Between it
// and Berth stands what can answer in its place.
type provider struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client // a browser's that follows nothing by itself

	mu       sync.Mutex
	tokens   []string       // id tokens that it gave
	instead  string         // an id token to give in place of the next; "" for none
	status   int            // of all answers; 0: its own
	requests map[string]int // by path
}

// people are who the provider knows, by user name.
type people map[string]*storage.User

func (p people) GetUserByUsername(name string) *storage.User { return p[name] }
func (p people) ExampleClientID() string                     { return "service" }
func (p people) GetUserByID(id string) *storage.User {
	for _, u := range p {
		if u.ID == id {
			return u
		}
	}
	return nil
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	known := people{}
	for name, verified := range map[string]bool{"ada": true, "grace": true, "eve": true, "mallory": false} {
		known[name] = &storage.User{ID: "id-" + name, Username: name, Password: password, FirstName: name, LastName: "X", Email: name + "@example.com", EmailVerified: verified}
	}
	known["mallory"].Email = "ada@example.com" // says so, and has not proven it
	p := &provider{t: t, server: httptest.NewUnstartedServer(nil), requests: map[string]int{}, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	clients := map[string]*storage.Client{"berth": storage.WebClient("berth", clientSecret, "https://berth.test"+auth.CallbackPath)}
	real := exampleop.SetupServer(p.issuer(), storage.NewStorageWithClients(known, clients), nil, false)
	p.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.between(real, w, r) })
	p.server.Start()
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) issuer() string { return "http://" + p.server.Listener.Addr().String() }

func (p *provider) config(c *auth.Config, _ *api.Config) {
	c.OIDC = &auth.OIDC{Issuer: p.issuer(), ClientID: "berth", ClientSecret: clientSecret, RedirectURL: "https://berth.test" + auth.CallbackPath}
}

func (p *provider) between(real http.Handler, w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[r.URL.Path]++
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	rec := httptest.NewRecorder()
	real.ServeHTTP(rec, r)
	data := rec.Body.Bytes()
	if r.URL.Path == "/oauth/token" && rec.Code == http.StatusOK {
		var answer map[string]any
		if err := json.Unmarshal(data, &answer); err != nil {
			p.t.Error(err)
		}
		p.tokens = append(p.tokens, answer["id_token"].(string))
		if p.instead != "" {
			answer["id_token"] = p.instead
			data, _ = json.Marshal(answer)
		}
		p.instead = ""
	}
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(data)
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// signIn lets somebody sign in at the provider, and returns where that leads
// the browser back to, as path and query.
func (p *provider) signIn(location, name string) string {
	p.t.Helper()
	to := func(resp *http.Response, err error) string {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		next, err := resp.Location()
		if err != nil {
			p.t.Fatalf("the provider answered %d %s", resp.StatusCode, bytes.TrimSpace(body))
		}
		return next.String()
	}
	form := to(p.client.Get(location))
	u, err := url.Parse(form)
	if err != nil {
		p.t.Fatal(err)
	}
	back := to(p.client.PostForm(p.issuer()+"/login/username", url.Values{
		"id": {u.Query().Get("authRequestID")}, "username": {name}, "password": {password},
	}))
	home := to(p.client.Get(back))
	rest, ok := strings.CutPrefix(home, "https://berth.test")
	if !ok {
		p.t.Fatalf("the provider leads to %s", home)
	}
	return rest
}

// browser keeps cookies as a person's does.
type browser struct {
	w    *world
	kept map[string]string
}

func (w *world) browser() *browser { return &browser{w, map[string]string{}} }

func (b *browser) ask(method, path, body string, headers ...string) answer {
	b.w.t.Helper()
	var list []string
	for name, value := range b.kept {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	a := b.w.ask(method, path, body, append([]string{"Authorization", "", "Cookie", strings.Join(list, "; ")}, headers...)...)
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.w.t.Fatal(err)
		}
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-") {
			b.w.t.Errorf("cookie %s", line)
		}
		b.kept[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(b.kept, c.Name)
		}
	}
	return a
}

// begin asks to sign in and returns where the provider is.
func (b *browser) begin(query string) string {
	b.w.t.Helper()
	a := b.ask("GET", "/auth/oidc/login"+query, "")
	if a.status != http.StatusSeeOther {
		b.w.t.Fatalf("login: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

// signIn does a whole sign-in.
func (b *browser) signIn(p *provider, name, query string) answer {
	b.w.t.Helper()
	return b.ask("GET", p.signIn(b.begin(query), name), "")
}
