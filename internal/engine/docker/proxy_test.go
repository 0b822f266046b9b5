package docker_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/client"
)

// proxy stands between an engine under test and the real Engine, and breaks
// what a test asks it to.
type proxy struct {
	host  string // for docker.Options
	calls atomic.Int64
	fault atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler)]
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	must(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 32, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", strings.TrimPrefix(engineHost(), "unix://"))
	}}
	p := &proxy{host: "unix://" + socket}
	through := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // a call that a test cuts off is no news
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		if f := p.fault.Load(); f != nil {
			(*f)(w, r, through)
			return
		}
		through.ServeHTTP(w, r)
	}), ErrorLog: log.New(io.Discard, "", 0)}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		served.Wait()
		transport.CloseIdleConnections()
	})
	return p
}

func engineHost() string {
	if h := os.Getenv(client.EnvOverrideHost); h != "" {
		return h
	}
	return client.DefaultDockerHost
}

// breakWith puts a fault in force; nil ends it.
func (p *proxy) breakWith(f func(w http.ResponseWriter, r *http.Request, through http.Handler)) {
	if f == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&f)
}

// cut makes the n-th call fail before it is passed on, or the n-th that changes
// something after it.
func (p *proxy) cut(n int, after bool) (reached func() bool) {
	var left atomic.Int64
	left.Store(int64(n))
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if after && r.Method == http.MethodGet || left.Add(-1) != 0 {
			through.ServeHTTP(w, r)
			return
		}
		if after {
			// The real Engine must see the call to its end.
			through.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		}
		panic(http.ErrAbortHandler)
	})
	return func() bool {
		p.breakWith(nil)
		return left.Load() <= 0
	}
}

// hang never answers what matches, until the caller gives up.
func (p *proxy) hang(matches func(*http.Request) bool) {
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if !matches(r) {
			through.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // a server sees that its caller has gone only once the body is read
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}
