package auth

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/unite-hub/berth"
)

// rediscover is how long a provider that did not answer is left alone.
const rediscover = 5 * time.Second

// provider is asked what it is when the first person signs in, so that Berth
// starts without it.
type provider struct {
	config *OIDC // nil: there is none
	client *http.Client
	log    *slog.Logger
	flight singleflight.Group

	mu     sync.Mutex
	known  *oidc.Provider // nil: not yet
	failed time.Time      // when it was asked for last, and did not answer; zero: never
}

func newProvider(c *OIDC, log *slog.Logger) *provider {
	return &provider{config: c, client: providerClient(), log: log}
}

func (p *provider) get(ctx context.Context) (*oidc.Provider, error) {
	if p.config == nil {
		return nil, berth.Errorf(berth.CodeNotFound, "Nobody signs in by OpenID Connect here").
			WithHint("an operator starts Berth with --oidc-issuer; until then use a token")
	}
	if known, err := p.state(); known != nil || err != nil {
		return known, err
	}
	select {
	case <-p.flight.DoChan("", func() (any, error) { p.discover(context.WithoutCancel(ctx)); return nil, nil }):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		return nil, undiscovered()
	}
	return p.known, nil
}

func undiscovered() error { return unavailable("what it is can't be read") }

// state is what is known of the provider; neither, if it may be asked.
func (p *provider) state() (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil && !p.failed.IsZero() && time.Since(p.failed) < rediscover {
		return nil, undiscovered()
	}
	return p.known, nil
}

func (p *provider) discover(ctx context.Context) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), fetchTimeout)
	defer cancel()
	known, err := oidc.NewProvider(ctx, p.config.Issuer)
	if err == nil {
		err = safe(known)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed = time.Now()
		p.log.Warn("the identity provider can't be asked what it is", "issuer", p.config.Issuer, "error", withoutURL(err))
		return
	}
	p.known = known
}

// safe refuses a provider that would have secrets sent in clear.
func safe(known *oidc.Provider) error {
	var c struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := known.Claims(&c); err != nil {
		return err
	}
	for _, text := range []string{known.Endpoint().AuthURL, known.Endpoint().TokenURL, c.JWKS} {
		if !SafeURL(text) {
			return errors.New("an endpoint is neither https nor on this machine")
		}
	}
	if info := known.UserInfoEndpoint(); info != "" && !SafeURL(info) {
		return errors.New("an endpoint is neither https nor on this machine")
	}
	return nil
}

// SafeURL reports whether text is an https URL, or an http one to this machine,
// and holds no password.
func SafeURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func (p *provider) oauth(known *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, RedirectURL: p.config.RedirectURL,
		Endpoint: known.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
}
