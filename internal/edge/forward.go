package edge

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

const (
	bufferSize = 32 << 10

	// upstreamIdle is how long a connection to an instance is kept for another
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

// ServeHTTP takes one request that came in by the listener.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, open := l.begin(r)
	if !open {
		panic(http.ErrAbortHandler) // net/http closes without a log line
	}
	defer l.end()
	f := &flow{ResponseWriter: w, listener: l, conn: c, began: time.Now()}
	c.flow = f
	defer f.end(r)
	answered := false // where it panics, nobody waits
	if r.ContentLength != 0 {
		// Else the first byte of the answer would end the upload, and one of
		// ours would wait for it. An error means that there is no such thing.
		_ = http.NewResponseController(w).EnableFullDuplex()
		paced := &pacedBody{ReadCloser: r.Body, flow: f}
		r = r.WithContext(r.Context()) // net/http looks at its own
		r.Body, f.paced = paced, true
		defer func() { paced.leave(answered) }()
	}
	l.serveFlow(f, r)
	answered = true
}

func (l *listener) serveFlow(f *flow, r *http.Request) {
	w := f.ResponseWriter
	if refused := f.enter(r); refused != nil {
		l.answer(w, r, *refused)
		return
	}
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
		t.forward(f, r)
	}
}

func (t *target) forward(f *flow, r *http.Request) {
	t.proxy.ServeHTTP(f, r)
	// What is left in the header is the trailer.
	f.dropReaching(f.Header(), "")
	f.dropReaching(f.Header(), http.TrailerPrefix)
}

// answerHead looks at the head of an answer: it takes out cookies that are not
// the tenant's, makes sure of what passing it on takes, and tells the client of
// a closing listener that this answer is the last on its connection, however
// long ago the request came in.
func (l *listener) answerHead(res *http.Response) error {
	f := flowOf(res.Request.Context())
	f.dropReaching(res.Header, "")
	if res.StatusCode == http.StatusSwitchingProtocols {
		if err := f.upgrade(); err != nil {
			return err
		}
		if !f.hold(2 * copyMemory) {
			return errMemory
		}
		f.answered(res.StatusCode)
		return nil
	}
	if res.StatusCode < http.StatusOK { // net/http reads "099" as a status, and can't write it
		return errStatus
	}
	if !f.hold(copyMemory) {
		return errMemory
	}
	f.answered(res.StatusCode)
	if l.closing.Load() {
		res.Header.Set("Connection", "close")
	}
	return nil
}

// rewrite makes the request that a tenant gets. The Host stays the client's.
// roundRobin sets the address.
func (t *target) rewrite(pr *httputil.ProxyRequest) {
	e := t.listener.edge
	e.headers.setForwarding(pr, flowOf(pr.In.Context()).way)
	dropOwnCookies(pr.Out.Header)
	e.headers.passTrailers(pr.In, pr.Out)
	if ofHTTP(pr.Out.Header.Get("Upgrade")) {
		pr.Out.Header.Del("Upgrade")
		pr.Out.Header.Del("Connection")
	}
	pr.Out.Header.Del("HTTP2-Settings")
	pr.Out.URL.Scheme = "http"
	pr.Out.URL.Host = "tenant"
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // as it was sent, also where it can't be parsed
}

// ofHTTP reports whether an upgrade leads to HTTP again: its requests would pass
// with whatever headers a client makes up.
func ofHTTP(upgrade string) bool {
	for token := range strings.SplitSeq(upgrade, ",") {
		token = strings.ToLower(strings.TrimSpace(token))
		if token == "h2c" || token == "h2" || strings.HasPrefix(token, "http/") || strings.HasPrefix(token, "tls/") {
			return true
		}
	}
	return false
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
	f := flowOf(req.Context())
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
		if cause := f.headDone(); cause != nil {
			if err == nil {
				_ = res.Body.Close()
			}
			return nil, cause
		}
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
