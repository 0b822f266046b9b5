package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/netguard"
)

// backlog is how long a closing door goes on accepting: closing a listener
// resets what the kernel has accepted and we have not. It goes on for longer,
// up to backlogMost, while the kernel says that something waits.
const (
	backlog     = 20 * time.Millisecond
	backlogMost = 2 * time.Second

	// firstRequest is how long an accepted connection has to bring its first
	// request, once its door is closed.
	firstRequest = 500 * time.Millisecond
)

// door is one open port of one tenant, with the connections that came in by it.
type door struct {
	edge   *Edge
	org    string
	port   int
	raw    *net.TCPListener
	server http.Server
	cut    context.CancelFunc // ends every request, at the drain's deadline
	served chan struct{}      // closed when the accept loop has ended; nil before serve

	closing    atomic.Bool // answers end their connections
	lastAccept time.Time   // set before closing is

	mu       sync.Mutex
	conns    map[*conn]struct{}
	requests int            // handlers that run, upgraded connections included
	sealed   bool           // the accept loop has ended: nothing comes in any more
	quiet    chan struct{}  // closed once sealed, and nothing is left
	flows    map[string]int // requests under way, by upstream
	switched map[string]int // of those, upgraded connections
	spoke    chan struct{}  // closed when a connection brought its first request, or went; nil while nobody waits for that
	moved    chan struct{}  // closed when one of them ends; nil while nobody waits for that

	count counters
}

func newDoor(e *Edge, r berth.Route, l *net.TCPListener) *door {
	d := &door{
		edge:  e,
		org:   r.OrganizationID,
		port:  r.Port,
		raw:   l,
		conns: make(map[*conn]struct{}),
		quiet: make(chan struct{}),
		flows: make(map[string]int), switched: make(map[string]int),
	}
	requests, cut := context.WithCancel(context.Background())
	d.cut = cut
	d.server = http.Server{
		BaseContext:                  func(net.Listener) context.Context { return requests },
		Handler:                      d,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the tenant's to answer
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ReadHeaderTimeout:            e.opts.HeaderTimeout,
		IdleTimeout:                  e.opts.IdleTimeout,
		MaxHeaderBytes:               e.opts.MaxHeaderBytes,
		ErrorLog:                     e.errorLog,
	}
	return d
}

// serve starts the accept loop.
func (d *door) serve() {
	d.served = make(chan struct{})
	guard := &netguard.Listener{
		Listener: d.raw,
		Pool:     d.edge.opts.Pool,
		Inside:   d.edge.Inside,
		Allow:    d.allows,
		Log:      d.edge.opts.Log,
	}
	go func() {
		defer close(d.served)
		// It ends when the listener is closed, or by a backlog's deadline, and
		// in no other way.
		_ = d.server.Serve(&gate{Listener: guard, door: d})
	}()
}

// allows reports whether a source that is a tenant's may come in: only the
// tenant itself may use its own route.
func (d *door) allows(src netip.Addr) bool {
	t := d.target()
	return t != nil && t.route.Subnet.Contains(src)
}

// target is where the door leads now, nil once its route is gone.
func (d *door) target() *target {
	t := d.edge.table.Load().byPort[d.port]
	if t == nil || t.door != d {
		return nil
	}
	return t
}

// close stops listening. The port is free when it returns.
func (d *door) close() {
	d.closing.Store(true)
	_ = d.raw.Close()
}

// closeAfterBacklog stops listening once what waits to be accepted is accepted.
// A client whose connection is half made when new ones are turned away may be
// reset.
func (d *door) closeAfterBacklog() {
	d.lastAccept = time.Now().Add(backlogMost)
	d.closing.Store(true)
	d.control(turnAway)
	_ = d.raw.SetDeadline(time.Now().Add(backlog))
	<-d.served
	_ = d.raw.Close()
}

// waiting is how many connections the kernel has accepted and we have not; 0
// if it does not tell.
func (d *door) waiting() (n int) {
	d.control(func(fd int) { n = acceptQueue(fd) })
	return n
}

// control calls f with the listener's descriptor; not at all once it is closed.
func (d *door) control(f func(fd int)) {
	if raw, err := d.raw.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// drain waits for accepted requests until ctx ends, then cuts off what is
// left. The door is closed before. When it returns, nothing of it runs.
func (d *door) drain(ctx context.Context) {
	defer d.cut()
	<-d.served
	d.mu.Lock()
	d.sealed = true
	d.checkQuiet()
	d.mu.Unlock()
	d.awaitFirstRequests(ctx)
	_ = d.server.Shutdown(ctx) // ends by ctx; what it leaves open is closed below
	select {
	case <-d.quiet:
		return
	case <-ctx.Done():
	}
	d.mu.Lock()
	left := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		left = append(left, c)
	}
	d.mu.Unlock()
	if len(left) > 0 {
		d.edge.opts.Log.Warn("connections cut off at the drain deadline", "tenant", d.org, "port", d.port, "connections", len(left))
	}
	for _, c := range left {
		_ = c.Close()
	}
	d.cut() // a handler that writes to an upstream does not see its client go
	<-d.quiet
}

// awaitFirstRequests waits, for a moment, until every connection that was
// accepted has brought its first request: net/http drops what it reads once it
// shuts down.
func (d *door) awaitFirstRequests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstRequest)
	defer cancel()
	for {
		d.mu.Lock()
		mute := 0
		for c := range d.conns {
			if !c.asked {
				mute++
			}
		}
		if mute > 0 && d.spoke == nil {
			d.spoke = make(chan struct{})
		}
		spoke := d.spoke
		d.mu.Unlock()
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

type connKey struct{} // of a request's context: the *conn it came in by

// begin counts a request in. It says no where the connection has been closed
// since the request was read: net/http closes what it takes for idle, and a
// tenant must not act on a request that nobody can answer any more.
func (d *door) begin(r *http.Request) bool {
	c, _ := r.Context().Value(connKey{}).(*conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, open := d.conns[c]; !open {
		return false
	}
	if !c.asked {
		c.asked = true
		d.announce()
	}
	d.requests++
	return true
}

func (d *door) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests--
	d.checkQuiet()
}

// checkQuiet is called with d.mu held.
func (d *door) checkQuiet() {
	if !d.sealed || d.requests > 0 || len(d.conns) > 0 {
		return
	}
	select {
	case <-d.quiet: // closed already, by the last connection or the last request
	default:
		close(d.quiet)
	}
}

// admit registers a connection, unless the tenant has too many.
func (d *door) admit(raw net.Conn) (*conn, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.conns) >= d.edge.opts.MaxConnections {
		return nil, false
	}
	c := &conn{Conn: raw, door: d}
	d.conns[c] = struct{}{}
	return c, true
}

// gate is the listener a door's server sees: it counts connections.
type gate struct {
	net.Listener
	door *door
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		raw, err := g.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if g.door.waiting() > 0 && time.Now().Before(g.door.lastAccept) {
				_ = g.door.raw.SetDeadline(time.Now().Add(backlog))
				continue
			}
			_ = g.door.raw.Close()    // at once: what comes from here on is reset
			return nil, net.ErrClosed // a time-out would be tried again
		}
		if err != nil {
			return nil, err
		}
		if c, ok := g.door.admit(raw); ok {
			return c, nil
		}
		g.door.edge.opts.Log.Debug("connection over the tenant's limit closed", "tenant", g.door.org, "port", g.door.port)
		_ = raw.Close()
	}
}

// conn is a client's connection, counted until it is closed.
type conn struct {
	net.Conn
	door  *door
	once  sync.Once
	asked bool // it brought a request; door.mu guards it
}

// announce tells who waits that a connection brought its first request, or was
// closed. d.mu is held.
func (d *door) announce() {
	if d.spoke != nil {
		close(d.spoke)
		d.spoke = nil
	}
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.door.mu.Lock()
		defer c.door.mu.Unlock()
		delete(c.door.conns, c)
		c.door.announce()
		c.door.checkQuiet()
	})
	return err
}

// CloseWrite lets an upgraded connection be closed one way.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
