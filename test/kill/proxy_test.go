package kill_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// proxy stands between the control plane and the Engine, counts the calls that
// change something, and kills the control plane at the one that is wanted.
type proxy struct {
	path     string
	upstream *httputil.ReverseProxy

	mu     sync.Mutex
	count  int
	target int
	after  bool
	kill   func()
	killed chan struct{}
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	// A socket's path has at most 108 bytes: a test's own directory is too deep.
	dir, err := os.MkdirTemp("", "kill")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{path: filepath.Join(dir, "s")}
	p.upstream = &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", "/var/run/docker.sock")
		}},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: p}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		_ = os.RemoveAll(dir)
	})
	return p
}

func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count, p.target = 0, 0
}

func (p *proxy) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// killAt arranges for a kill at the n-th change from now. The channel is
// closed when it was done.
func (p *proxy) killAt(n int, after bool, kill func()) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count, p.target, p.after, p.kill, p.killed = 0, n, after, kill, make(chan struct{})
	return p.killed
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || strings.HasSuffix(r.URL.Path, "/wait") {
		p.upstream.ServeHTTP(w, r)
		return
	}
	p.mu.Lock()
	p.count++
	now := p.count == p.target
	after, kill, killed := p.after, p.kill, p.killed
	if now {
		p.target = 0
	}
	p.mu.Unlock()
	if !now {
		p.upstream.ServeHTTP(w, r)
		return
	}
	if after {
		// Its effect is had to the end, whoever is there to hear of it.
		p.upstream.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	}
	kill()
	close(killed)
	panic(http.ErrAbortHandler)
}
