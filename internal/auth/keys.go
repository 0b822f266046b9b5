package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/unite-hub/berth"
)

const (
	fetchTimeout   = 5 * time.Second
	mostAnswer     = 1 << 20 // bytes of an answer of a provider
	mostKeys       = 64
	freshKeys      = 10 * time.Minute // then they are asked for anew
	staleKeys      = time.Hour        // then they count no more, should nobody answer
	defaultRefetch = 10 * time.Second
)

// keys are an issuer's public keys, as its URL has them. One that it takes away
// counts for freshKeys more, for staleKeys while the URL does not answer.
type keys struct {
	url     string
	refetch time.Duration
	client  *http.Client
	log     *slog.Logger
	flight  singleflight.Group

	mu      sync.Mutex
	known   []jose.JSONWebKey
	fetched time.Time // when known was
	tried   time.Time // when it was asked for last
}

func newKeys(j *JWT, log *slog.Logger) *keys {
	if j == nil {
		return nil
	}
	k := &keys{url: j.KeysURL, refetch: j.Refetch, client: providerClient(), log: log}
	if k.refetch == 0 {
		k.refetch = defaultRefetch
	}
	return k
}

// find returns the keys with an id. It asks for them again when they are old,
// and for an id that is not known, but not more often than each refetch.
func (k *keys) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	found, fresh := k.look(id)
	if len(found) > 0 && fresh {
		return found, nil
	}
	select {
	case <-k.flight.DoChan("", func() (any, error) { k.fetch(context.WithoutCancel(ctx)); return nil, nil }):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found, _ = k.look(id)
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.fetched) > staleKeys {
		return nil, unavailable("its keys can't be read")
	}
	return found, nil
}

func (k *keys) look(id string) (found []jose.JSONWebKey, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.known {
		if key.KeyID == id {
			found = append(found, key)
		}
	}
	return found, time.Since(k.fetched) < freshKeys
}

func (k *keys) fetch(ctx context.Context) {
	k.mu.Lock()
	wait := !k.tried.IsZero() && time.Since(k.tried) < k.refetch
	if !wait {
		k.tried = time.Now()
	}
	k.mu.Unlock()
	if wait {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	set, err := k.get(ctx)
	if err != nil {
		k.log.Warn("the keys of JSON Web Tokens can't be read", "error", withoutURL(err))
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known, k.fetched = set, time.Now()
}

func (k *keys) get(ctx context.Context) (list []jose.JSONWebKey, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the URL of the keys answered %d", resp.StatusCode)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("the URL of the keys did not answer with a set of keys")
	}
	for _, one := range raw.Keys[:min(len(raw.Keys), mostKeys)] {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil && key.IsPublic() && algorithmOf(key) != "" {
			list = append(list, key)
		}
	}
	return list, nil
}

// unavailable says that a provider can't be asked now. Whoever asks is told no
// more than that: the cause is for the log.
func unavailable(why string) error {
	return berth.Errorf(berth.CodeProviderUnavailable, "The identity provider can't be asked now: %s", why).
		WithHint("try again soon; if it stays so, an operator looks into Berth's log")
}

// withoutURL is a cause without the URL that was asked for, which may hold a
// key in its query.
func withoutURL(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		return asked.Err
	}
	return err
}

// providerClient asks identity providers: it follows no redirect, waits for
// none for long, reads no more than mostAnswer, and keeps no connection: they
// are asked rarely.
func providerClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &http.Client{
		Timeout: fetchTimeout, Transport: bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, mostAnswer)
	}
	return resp, err
}
