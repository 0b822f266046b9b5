package edge

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

// firstRequest is how long an accepted connection has to bring its first
// request, once its listener is closed.
const firstRequest = 500 * time.Millisecond

// listener is one open port of one tenant, with the connections that came in by it.
type listener struct {
	edge      *Edge
	org       string
	port      int
	raw       *net.TCPListener
	poller    *poller                // nil: it waits by itself
	transport *http.Transport        // to the tenant's upstreams
	route     atomic.Pointer[target] // in force; nil: none
	server    http.Server
	cut       context.CancelFunc // ends every request, at the drain's deadline
	closing   atomic.Bool        // answers end their connections
	accepting accepting

	mu        sync.Mutex
	conns     map[*conn]struct{}
	idle      list.List // of them, those without a request, the longest idle first
	sources   map[netip.Addr]*source
	underWay  int            // handlers that run, upgraded connections included
	sealed    bool           // the accept loop has ended: nothing comes in any more
	quiet     chan struct{}  // closed once sealed, and nothing is left
	flows     map[string]int // requests under way, by upstream
	switched  map[string]int // of those, upgraded connections
	spoke     chan struct{}  // closed when a connection brought its first request, or went; nil while nobody waits for that
	flowEnded chan struct{}  // closed when one of them ends; nil while nobody waits for that

	connections, requests, upgraded, memory, descriptors budget

	count counters
}

func newListener(e *Edge, r berth.Route, raw *net.TCPListener, p *poller) *listener {
	l := &listener{
		edge:      e,
		org:       r.OrganizationID,
		port:      r.Port,
		raw:       raw,
		poller:    p,
		conns:     make(map[*conn]struct{}),
		sources:   make(map[netip.Addr]*source),
		quiet:     make(chan struct{}),
		accepting: accepting{ended: make(chan struct{})},
		flows:     make(map[string]int), switched: make(map[string]int),
	}
	l.transport = l.newTransport()
	most := int64(e.opts.MaxConnections)
	l.connections.most, l.requests.most, l.upgraded.most = most, most, int64(e.opts.MaxUpgraded)
	l.memory.of, l.memory.most = &e.memory, e.opts.TenantMemory
	l.descriptors.of, l.descriptors.most = &e.descriptors, 2*most
	requests, cut := context.WithCancel(context.Background())
	l.cut = cut
	var http1 http.Protocols // without TLS no other is spoken, and each server would hold what HTTP/2 needs
	http1.SetHTTP1(true)
	l.server = http.Server{
		Protocols:                    &http1,
		BaseContext:                  func(net.Listener) context.Context { return requests },
		Handler:                      l,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the tenant's to answer
		ConnContext:                  contextOf,
		ConnState:                    changed,
		ReadHeaderTimeout:            e.opts.HeaderTimeout,
		IdleTimeout:                  e.opts.IdleTimeout,
		MaxHeaderBytes:               e.opts.MaxHeaderBytes,
		ErrorLog:                     e.errorLog,
	}
	return l
}

// allows reports whether a source that is a tenant's may come in: only the
// tenant itself may use its own route.
func (l *listener) allows(src netip.Addr) bool {
	t := l.target()
	return t != nil && t.route.Subnet.Contains(src)
}

// target is where the listener leads now, nil once its route is gone.
func (l *listener) target() *target { return l.route.Load() }

// lead puts a target in force, nil for none, and wakes whoever waits for that.
func (l *listener) lead(t *target) {
	if old := l.route.Swap(t); old != nil {
		close(old.replaced)
	}
}

// drain waits for accepted requests until ctx ends, then cuts off what is
// left. It is closed before. When it returns, nothing of it runs.
func (l *listener) drain(ctx context.Context) {
	defer l.transport.CloseIdleConnections()
	defer l.cut()
	<-l.accepting.ended
	l.mu.Lock()
	l.sealed = true
	l.checkQuiet()
	l.mu.Unlock()
	l.awaitFirstRequests(ctx)
	l.closeMute()
	_ = l.server.Shutdown(ctx) // ends by ctx; what it leaves open is closed below
	select {
	case <-l.quiet:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	left := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		left = append(left, c)
	}
	l.mu.Unlock()
	if len(left) > 0 {
		l.edge.opts.Log.Warn("connections cut off at the drain deadline", "tenant", l.org, "port", l.port, "connections", len(left))
	}
	for _, c := range left {
		_ = c.cutOff()
	}
	l.cut() // a handler that writes to an upstream does not see its client go
	<-l.quiet
}

// awaitFirstRequests waits, for a moment, until every connection that was
// accepted has brought its first request: net/http drops what it reads once it
// shuts down.
func (l *listener) awaitFirstRequests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstRequest)
	defer cancel()
	for {
		l.mu.Lock()
		mute := 0
		for c := range l.conns {
			if !c.asked {
				mute++
			}
		}
		if mute > 0 && l.spoke == nil {
			l.spoke = make(chan struct{})
		}
		spoke := l.spoke
		l.mu.Unlock()
		if mute == 0 {
			return
		}
		select {
		case <-spoke:
		case <-ctx.Done():
			return
		}
	}
}

// closeMute closes the connections that have brought no request. net/http would wait
// 5 s for a first request, and then drop it.
func (l *listener) closeMute() {
	var mute []*conn
	l.mu.Lock()
	for c := range l.conns {
		if !c.asked {
			mute = append(mute, c)
			l.evict(c)
		}
	}
	l.mu.Unlock()
	for _, c := range mute {
		_ = c.Conn.Close()
	}
}

type connKey struct{} // of a request's context: the *conn it came in by

// begin counts a request in. It says no where the connection has been closed
// since the request was read: net/http closes what it takes for idle, and a
// tenant must not act on a request that nobody can answer any more.
func (l *listener) begin(r *http.Request) (c *conn, open bool) {
	c, _ = r.Context().Value(connKey{}).(*conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open = l.conns[c]; !open || c.over.Load() { // what net/http still has of a connection that is over is no request
		return nil, false
	}
	c.reading.Store(false)
	c.work()
	if !c.asked {
		c.asked = true
		l.announce()
	}
	l.underWay++
	return c, true
}

func (l *listener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay--
	l.checkQuiet()
}

// checkQuiet is called with l.mu held.
func (l *listener) checkQuiet() {
	if !l.sealed || l.underWay > 0 || len(l.conns) > 0 {
		return
	}
	select {
	case <-l.quiet: // closed already, by the last connection or the last request
	default:
		close(l.quiet)
	}
}

// announce tells who waits that a connection brought its first request, or was
// closed. l.mu is held.
func (l *listener) announce() {
	if l.spoke != nil {
		close(l.spoke)
		l.spoke = nil
	}
}
