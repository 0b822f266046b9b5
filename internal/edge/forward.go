package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

const (
	bufferSize = 32 << 10

	// upstreamIdle is how long a connection to a container is kept for another
	// request. It is below the 5 s after which Node.js closes its side: a
	// request that meets that close fails, and may not be sent again.
	upstreamIdle = 4 * time.Second
)

// target is a route in force. All but the turn is immutable.
type target struct {
	route    berth.Route
	listener *listener
	proxy    *httputil.ReverseProxy
	hosts    []string // of route.Upstreams, as "address:port"
	turn     atomic.Uint64

	replaced chan struct{} // closed when another target, or none, is in force
}

func newTarget(l *listener, r berth.Route) *target {
	t := &target{route: r, listener: l, hosts: make([]string, 0, len(r.Upstreams)), replaced: make(chan struct{})}
	for _, u := range r.Upstreams {
		t.hosts = append(t.hosts, u.String())
	}
	t.proxy = &httputil.ReverseProxy{
		Rewrite:        t.rewrite,
		ModifyResponse: l.answerHead,
		Transport:      &roundRobin{target: t, next: l.transport},
		FlushInterval:  -1, // whatever the tenant writes is on its way at once
		ErrorLog:       l.edge.errorLog,
		BufferPool:     l.edge.buffers,
		ErrorHandler:   t.answerError,
	}
	return t
}

func (t *target) forwards() bool {
	return t.route.State == berth.RouteServing || t.route.State == berth.RouteStarting
}

// leadsTo reports whether host is one of t's upstreams.
func (t *target) leadsTo(host string) bool { return t.forwards() && slices.Contains(t.hosts, host) }

func newTransport(opts Options) *http.Transport {
	dialer := &net.Dialer{Timeout: opts.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		// A failed dial is marked: it is the one failure of which nothing
		// reached the tenant.
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, &dialError{err}
			}
			return c, nil
		},
		DisableCompression:    true, // bodies pass as they are
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       upstreamIdle,
		ExpectContinueTimeout: time.Second,
	}
}

type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// ServeHTTP takes one request that came in by the listener.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !l.begin(r) {
		panic(http.ErrAbortHandler) // net/http closes without a log line
	}
	defer l.end()
	f := &flow{ResponseWriter: w, listener: l, began: time.Now()}
	defer f.end(r)
	r = r.WithContext(context.WithValue(r.Context(), flowKey{}, f))
	t, late := l.awaitRoute(r.Context(), f)
	switch {
	case t == nil:
		l.answer(w, r, noRoute(l.port))
	case r.Method == http.MethodConnect:
		l.answer(w, r, noTunnel())
	case late:
		l.answer(w, r, t.heldTooLong())
	case t.route.State == berth.RouteUnready:
		l.answer(w, r, t.unready())
	case t.route.State == berth.RouteStopped:
		l.answer(w, r, t.stopped())
	default:
		if r.ContentLength != 0 {
			// Else the first byte of the answer would end the upload. An error
			// means HTTP/1.0 or the like, which has no such thing.
			_ = http.NewResponseController(w).EnableFullDuplex()
		}
		t.proxy.ServeHTTP(f, r)
		// What is left in the header is the trailer.
		dropSetCookies(w.Header(), "")
		dropSetCookies(w.Header(), http.TrailerPrefix)
	}
}

// answerHead looks at the head of an answer: it takes out cookies that are not
// the tenant's, and tells the client of a closing listener that this answer is the last on
// its connection, however long ago the request came in.
func (l *listener) answerHead(res *http.Response) error {
	dropSetCookies(res.Header, "")
	if f, ok := res.Request.Context().Value(flowKey{}).(*flow); ok {
		f.answered(res.StatusCode)
	}
	if l.closing.Load() && res.StatusCode != http.StatusSwitchingProtocols {
		res.Header.Set("Connection", "close")
	}
	return nil
}

// rewrite makes the request that a tenant gets. The Host stays the client's.
// roundRobin sets the address.
func (t *target) rewrite(pr *httputil.ProxyRequest) {
	e := t.listener.edge
	peer, _ := netip.ParseAddrPort(pr.In.RemoteAddr)
	e.headers.setForwarding(pr, e.opts.way(pr.In, peer.Addr().Unmap().WithZone("")))
	dropOwnCookies(pr.Out.Header)
	e.headers.passTrailers(pr.In, pr.Out)
	pr.Out.URL.Scheme = "http"
	pr.Out.URL.Host = "tenant"
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // as it was sent, also where it can't be parsed
}

// roundRobin sends each request to the next upstream. One that can't be dialled
// passes the request on to the one behind it, once around; a request of which
// anything may have been sent is never sent to another.
type roundRobin struct {
	target *target
	next   http.RoundTripper
}

var (
	errNoUpstream = errors.New("the route has no upstream")
	errMoved      = errors.New("another route is in force")
	errHeld       = errors.New("held until the deadline")
)

func (rt *roundRobin) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &unreadBody{ReadCloser: req.Body}
	}
	f := req.Context().Value(flowKey{}).(*flow)
	for t := rt.target; ; {
		res, err := rt.once(req, t, f)
		_, undialled := errors.AsType[*dialError](err)
		if !undialled && !errors.Is(err, errMoved) || req.Context().Err() != nil {
			return res, err
		}
		// The upstreams may have moved since the request came in, or be about
		// to. Each time around takes another route in force.
		now, late := t.listener.awaitRoute(req.Context(), f)
		if now == nil || now == t || late || !now.forwards() {
			switch {
			case late:
				err = errHeld
			case err == errMoved:
				err = &dialError{errNoUpstream}
			}
			return nil, err
		}
		t = now
	}
}

// once goes once around t's upstreams.
func (rt *roundRobin) once(req *http.Request, t *target, f *flow) (*http.Response, error) {
	if len(t.hosts) == 0 {
		return nil, &dialError{errNoUpstream}
	}
	first := t.turn.Add(1) - 1
	var err error
	for i := range uint64(len(t.hosts)) {
		host := t.hosts[(first+i)%uint64(len(t.hosts))]
		if !f.take(t, host) {
			return nil, errMoved
		}
		attempt := req.WithContext(req.Context())
		attempt.URL = new(url.URL)
		*attempt.URL = *req.URL
		attempt.URL.Host = host
		var res *http.Response
		res, err = rt.next.RoundTrip(attempt)
		if err == nil {
			return res, nil
		}
		if _, ok := errors.AsType[*dialError](err); !ok || req.Context().Err() != nil {
			return nil, err
		}
		f.release()
	}
	return nil, err
}

// unreadBody stays open as long as nothing was read from it: the transport
// closes the body after a failed dial, and the next upstream needs it.
// ReverseProxy closes the body in the end.
type unreadBody struct {
	io.ReadCloser
	read atomic.Bool
}

func (b *unreadBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.ReadCloser.Read(p)
}

func (b *unreadBody) Close() error {
	if !b.read.Load() {
		return nil
	}
	return b.ReadCloser.Close()
}

// bufferPool lends copy buffers to the proxy.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{pool: sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

func (b *bufferPool) Get() []byte { return b.pool.Get().(*[bufferSize]byte)[:] }

func (b *bufferPool) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
