package edge

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth/internal/netguard"
)

// conn is a client's connection, counted until it is closed.
type conn struct {
	net.Conn
	listener *listener
	source   *source // nil: the peer is a trusted proxy
	trace    httptrace.ClientTrace
	flow     *flow // of the request under way; its own goroutine sets it

	reading atomic.Bool  // the head of a request is awaited: what comes is charged
	held    atomic.Int64 // of memory, for that head
	lasts   atomic.Int64 // until when the deadline of writes does, counted from edge.started
	closed  atomic.Bool
	over    atomic.Bool // nothing is read any more, once the answer is written
	ended   atomic.Bool // and nothing that the client sends is taken
	paced   atomic.Bool // somebody waits for a body, until a deadline
	slow    atomic.Bool // which passed
	once    sync.Once

	asked bool          // it brought a request; listener.mu guards it and what follows
	idle  *list.Element // in listener.idle, while it has no request under way
	own   *list.Element // in source.idle, likewise
}

// source is where a tenant's clients come from: an address, or a network that
// one subscriber has. It is kept as long as something of it is under way.
type source struct {
	listener    *listener
	key         netip.Addr
	client      *client // the same at all tenants
	connections budget  // a share of the tenant's
	requests    budget  // likewise, of those that trusted proxies bring
	upgraded    budget  // likewise
	memory      budget  // likewise
	idle        list.List
	refs        int
}

// sourceOf returns the source that an address belongs to, with one reference
// more. l.mu is held.
func (l *listener) sourceOf(a netip.Addr) *source {
	a = netguard.Subscriber(a).Addr()
	s := l.sources[a]
	if s == nil {
		most := int64(l.edge.opts.MaxPerClient)
		s = &source{listener: l, key: a}
		s.client = l.edge.join(s)
		s.connections = budget{of: &l.connections, also: &s.client.places, within: &l.descriptors, each: placeDescriptors, most: most}
		s.requests = budget{of: &l.requests, also: &s.client.places, within: &l.descriptors, each: placeDescriptors, most: most}
		s.upgraded = budget{of: &l.upgraded, most: most}
		s.memory = budget{of: &l.memory, also: &s.client.memory, most: l.memory.most}
		l.sources[a] = s
	}
	s.refs++
	return s
}

// leave gives a reference back. l.mu is held.
func (l *listener) leave(s *source) {
	if s.refs--; s.refs == 0 {
		delete(l.sources, s.key)
		l.edge.clients.part(s)
	}
}

func (c *conn) peer() netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// connectionBudget is what the connection is counted in.
func (c *conn) connectionBudget() *budget {
	if c.source == nil {
		return &c.listener.connections
	}
	return &c.source.connections
}

// account is what the memory that the connection causes is charged to.
func (c *conn) account() *budget {
	if c.source == nil {
		return &c.listener.memory
	}
	return &c.source.memory
}

// take takes what the connection needs, or nothing.
func (c *conn) take() bool {
	if !c.connectionBudget().take(1) {
		return false
	}
	if !c.listener.descriptors.take(1) {
		c.connectionBudget().give(1)
		return false
	}
	if !c.account().take(clientMemory) {
		c.connectionBudget().give(1)
		c.listener.descriptors.give(1)
		return false
	}
	return true
}

// victimsMost bounds how many idle connections are closed for one that comes.
const victimsMost = 8

// admit registers a connection. Where there is no room for it, idle ones make
// room: those of its own source, if that has more than its share, or else of
// whoever has the most; at this tenant first.
func (l *listener) admit(raw net.Conn) (*conn, bool) {
	c := &conn{Conn: raw, listener: l}
	c.trace.GotConn = c.gotUpstream
	c.reading.Store(true)
	for range victimsMost + 1 {
		if l.register(c) {
			return c, true
		}
		if !l.makeRoom(c.source, c.source.size()) {
			break
		}
	}
	return nil, false
}

// register counts a connection, if there is room for it.
func (l *listener) register(c *conn) bool {
	peer := c.peer()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.edge.opts.trusts(peer) {
		c.source = l.sourceOf(peer)
	}
	if !c.take() {
		if c.source != nil {
			l.leave(c.source)
		}
		return false
	}
	l.conns[c] = struct{}{}
	c.markIdle()
	return true
}

// makeRoom closes an idle connection for something that a source needs at this
// tenant, beside the so many places of its client that it is not for. It reports
// whether there was one. l.mu is not held.
func (l *listener) makeRoom(s *source, has int64) bool {
	l.mu.Lock()
	v := l.victim(s, has)
	if v != nil {
		l.evict(v)
	}
	full := l.full(s)
	l.mu.Unlock()
	if v == nil && !full {
		v = l.edge.clients.victim(s, has)
	}
	if v == nil {
		return false
	}
	_ = v.Conn.Close()
	return true
}

// full reports whether a source may have no more of the tenant's own connections:
// what others give up elsewhere would not help it. l.mu is held.
func (l *listener) full(s *source) bool {
	has := int64(0)
	if s != nil {
		has = s.connections.used.Load()
	}
	return has >= l.connections.left()
}

// evict takes an idle connection out of everything that counts it. l.mu is held;
// whoever calls closes it afterwards.
func (l *listener) evict(v *conn) {
	v.closed.Store(true)
	l.forget(v)
}

// victimsLooked bounds the search for one.
const victimsLooked = 64

// victim is an idle connection that makes room for one of a source, nil if
// there is none. Of those that have been idle for longest, it is one of the
// client that has the most, at all tenants together; nobody's makes room for a
// client that has more, unless that is little. l.mu is held.
func (l *listener) victim(s *source, has int64) *conn {
	own := func() *conn {
		if s == nil || s.idle.Len() == 0 {
			return nil
		}
		return s.idle.Front().Value.(*conn)
	}
	if s != nil && (s.connections.used.Load() >= s.connections.most || s.client.full()) {
		return own() // nobody else's would help
	}
	size := s.scale()
	var best *conn
	most := has
	for at, n := l.idle.Front(), 0; at != nil && n < victimsLooked; at, n = at.Next(), n+1 {
		c := at.Value.(*conn)
		if n := size(c.source.of()); n > most {
			best, most = c, n
		}
	}
	if best == nil {
		best = own()
	}
	if best == nil && has < fewPlaces && l.idle.Len() > 0 {
		best = l.idle.Front().Value.(*conn)
	}
	return best
}

// markIdle marks the connection idle. listener.mu is held.
func (c *conn) markIdle() {
	if c.idle != nil {
		return
	}
	c.idle = c.listener.idle.PushBack(c)
	if c.source != nil {
		c.own = c.source.idle.PushBack(c)
	}
}

// work is the opposite of markIdle: a request is under way. listener.mu is held.
func (c *conn) work() {
	if c.idle == nil {
		return
	}
	c.listener.idle.Remove(c.idle)
	if c.own != nil {
		c.source.idle.Remove(c.own)
	}
	c.idle, c.own = nil, nil
}

// forget takes a connection out of everything that counts it. l.mu is held.
func (l *listener) forget(c *conn) {
	if _, open := l.conns[c]; !open {
		return
	}
	delete(l.conns, c)
	c.work()
	c.connectionBudget().give(1)
	l.descriptors.give(1)
	c.account().give(clientMemory)
	if c.source != nil {
		l.leave(c.source)
	}
	l.announce()
	l.checkQuiet()
}

// changed follows what net/http does with a connection.
func changed(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*conn)
	if !ok || state != http.StateIdle {
		return
	}
	c.account().give(c.held.Swap(0))
	c.reading.Store(true)
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if _, open := c.listener.conns[c]; open {
		c.markIdle()
	}
}

// contextOf is the context of a connection's requests.
func contextOf(ctx context.Context, nc net.Conn) context.Context {
	c, ok := nc.(*conn)
	if !ok {
		return ctx
	}
	return httptrace.WithClientTrace(context.WithValue(ctx, connKey{}, c), &c.trace)
}

// Read charges what comes as the head of a request.
func (c *conn) Read(p []byte) (int, error) {
	if c.over.Load() {
		c.end()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if err != nil && c.paced.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		c.slow.Store(true) // net/http, which sees the error next, ends the request's context as if the client had gone
	}
	if n == 0 || !c.reading.Load() {
		return n, err
	}
	need := headMemory(p[:n])
	if !c.account().take(need) {
		if len(p) == 1 { // net/http listens while a handler runs: that one answers
			return 0, errMemory
		}
		return 0, c.refuseHead(need)
	}
	c.held.Add(need)
	if c.closed.Load() {
		c.account().give(c.held.Swap(0))
	}
	return n, err
}

// refuseHead answers a request whose head there is no memory for. net/http would
// call it a bad request; at io.EOF it answers nothing, lets go of what it has read,
// and closes the connection, which is over.
func (c *conn) refuseHead(need int64) error {
	p := *tenantBusy()
	if c.held.Load()+need > c.account().whole() {
		p = headTooLarge()
	}
	c.listener.edge.opts.Log.Debug("request's head refused", "tenant", c.listener.org, "port", c.listener.port, "code", p.Code)
	body := append(p.json(), '\n')
	h := http.Header{"Cache-Control": {"no-store"}, "Connection": {"close"}, "Content-Type": {"application/problem+json"}, "Content-Length": {strconv.Itoa(len(body))}}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	var out bytes.Buffer
	_, _ = fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", p.Status, http.StatusText(p.Status)) // a buffer takes everything
	_ = h.Write(&out)
	out.WriteString("\r\n")
	out.Write(body)
	_, _ = c.Write(out.Bytes()) // the client's connection; nobody else to tell
	c.over.Store(true)
	return io.EOF
}

// Write gives up on a client that takes nothing for a while. A deadline serves
// the writes of a quarter of that time: setting one costs more than most of them.
func (c *conn) Write(p []byte) (int, error) {
	stall := c.listener.edge.opts.StallTimeout
	if now := int64(time.Since(c.listener.edge.started)); c.lasts.Load() < now+int64(stall)*3/4 {
		c.lasts.Store(now + int64(stall))
		if err := c.Conn.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// SetDeadline is called where a connection changes hands: the next write sets its
// own.
func (c *conn) SetDeadline(t time.Time) error {
	c.lasts.Store(0)
	return c.Conn.SetDeadline(t)
}

func (c *conn) Close() error {
	if c.over.Load() {
		c.account().give(c.held.Swap(0)) // nothing of a request is left; what lingers holds one buffer
		c.end()
	}
	return c.cutOff()
}

// cutOff closes the connection whatever is under way.
func (c *conn) cutOff() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.closed.Store(true)
		c.account().give(c.held.Swap(0))
		c.listener.mu.Lock()
		defer c.listener.mu.Unlock()
		c.listener.forget(c)
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
