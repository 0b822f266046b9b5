package client_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/unite-hub/berth/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns a Client of it.
func serve(t *testing.T, h http.HandlerFunc, options ...client.Option) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(s.URL, "secret", append([]client.Option{client.WithHTTPClient(&http.Client{Transport: transport})}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnErrorCarriesAllThatTheServerSaid(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("X-Request-Id", "r1")
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"success":false,"error":"The deploy failed: no such image","code":"deployment_failed","hint":"mend it","field":"imageTag","deploymentId":"d1"}`)
	})
	_, err := c.Deploy(t.Context(), "acme", client.Deploy{}, client.Call{})
	var got *client.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %T %v, want a *client.Error", err, err)
	}
	want := &client.Error{
		Status: 409, Code: "deployment_failed", Message: "The deploy failed: no such image", Hint: "mend it",
		Field: "imageTag", DeploymentID: "d1", RequestID: "r1", RetryAfter: 5 * time.Second,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAnAnswerThatIsNotBerthsIsAnErrorToo(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
		"no body":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, answer, client.WithHTTPClient(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}))
			t.Cleanup(http.DefaultClient.CloseIdleConnections)
			_, err := c.Tenant(t.Context(), "acme")
			var got *client.Error
			if !errors.As(err, &got) || got.Code != "unexpected_answer" || got.Hint == "" {
				t.Errorf("got %#v, want a *client.Error with code unexpected_answer and a hint", err)
			}
		})
	}
}

func TestTheTokenNeverFollowsARedirect(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	c, err := client.New(s.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tenant(t.Context(), "acme"); err == nil || asked.Load() != 0 {
		t.Errorf("error %v, %d requests elsewhere; want an error and none", err, asked.Load())
	}
}

// dropping ends the connection of the first n requests without an answer and
// keeps what was asked.
type dropping struct {
	n    int32
	seen atomic.Int32
	keys [4]string
	body [4]string
}

func (d *dropping) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i := d.seen.Add(1) - 1
	d.keys[i], d.body[i] = r.Header.Get("Idempotency-Key"), string(body)
	if i >= d.n {
		_, _ = io.WriteString(w, `{"success":true,"slug":"acme"}`)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // httptest's server can
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, not an end
	}
	_ = conn.Close()
}

func TestAMutationWhoseConnectionIsLostIsSentOnceMoreUnderItsKey(t *testing.T) {
	d := &dropping{n: 1}
	c := serve(t, d.ServeHTTP)
	got, err := c.Deploy(t.Context(), "acme", client.Deploy{ImageTag: new("v2")}, client.Call{IdempotencyKey: "k1"})
	if err != nil || !got.Done || got.Slug != "acme" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if d.seen.Load() != 2 || d.keys[0] != "k1" || d.keys[1] != "k1" || d.body[0] != d.body[1] || d.body[0] != `{"imageTag":"v2"}` {
		t.Errorf("asked %d times with keys %q and bodies %q", d.seen.Load(), d.keys, d.body)
	}
}

func TestAMutationIsSentTwiceAtMost(t *testing.T) {
	d := &dropping{n: 4}
	c := serve(t, d.ServeHTTP)
	if _, err := c.Stop(t.Context(), "acme", client.Call{IdempotencyKey: "k1"}); err == nil || d.seen.Load() != 2 {
		t.Errorf("error %v after %d requests, want one after 2", err, d.seen.Load())
	}
}

func TestAMutationWithoutAKeyIsSentOnce(t *testing.T) {
	d := &dropping{n: 1}
	c := serve(t, d.ServeHTTP)
	if _, err := c.Stop(t.Context(), "acme", client.Call{}); err == nil || d.seen.Load() != 1 {
		t.Errorf("error %v after %d requests, want one after 1", err, d.seen.Load())
	}
}

func TestARefusalIsNotRepeated(t *testing.T) {
	var seen atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, err := c.Stop(t.Context(), "acme", client.Call{IdempotencyKey: "k1"}); err == nil || seen.Load() != 1 {
		t.Errorf("error %v after %d requests, want one after 1", err, seen.Load())
	}
}

func TestAnOrgIsAlwaysOneElementOfThePath(t *testing.T) {
	var path string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		_, _ = io.WriteString(w, `{}`)
	})
	if _, err := c.Tenant(t.Context(), "a/../b?c#d"); err != nil {
		t.Fatal(err)
	}
	if want := "/api/tenants/a%2F..%2Fb%3Fc%23d"; path != want {
		t.Errorf("asked for %s, want %s", path, want)
	}
}

func TestWaitIsSaidInWholeSeconds(t *testing.T) {
	var query string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"deploymentId":"d1"}`)
	})
	for wait, want := range map[time.Duration]string{0: "", -1: "wait=0", time.Millisecond: "wait=1", 90 * time.Second: "wait=90"} {
		got, err := c.Start(t.Context(), "acme", client.Call{Wait: wait})
		if err != nil || query != want || got.Done || got.DeploymentID != "d1" {
			t.Errorf("wait %v: asked %q, got %+v, %v; want %q, not done", wait, query, got, err, want)
		}
	}
}

func TestABackupIsReadWithSizeAndChecksum(t *testing.T) {
	data := bytes.Repeat([]byte("sqlite"), 1000)
	sum := sha256.Sum256(data)
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Digest", "sha-256="+base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = w.Write(data)
	})
	c2 := serve(t, func(w http.ResponseWriter, _ *http.Request) { // ends early
		w.Header().Set("Digest", "sha-256="+base64.StdEncoding.EncodeToString(sum[:]))
		w.Header().Set("Content-Length", "6000")
		_, _ = w.Write(data[:100])
	})
	if _, err := c.Backup(t.Context()); err == nil {
		t.Error("a copy without its length was taken") // 6000 bytes are sent in chunks
	}
	b, err := c2.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if b.Size != 6000 || !bytes.Equal(b.SHA256, sum[:]) {
		t.Errorf("size %d, checksum %x", b.Size, b.SHA256)
	}
	if _, err := io.ReadAll(b); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a copy that ended early: %v", err)
	}
}

func TestAURLIsRefusedUnlessItIsABerths(t *testing.T) {
	for _, u := range []string{"", "localhost:3008", "ftp://x", "http://", "http://user:pass@x", "http://x?token=y", "http://x#y"} {
		if _, err := client.New(u, ""); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("%q: %v", u, err)
		}
	}
}
