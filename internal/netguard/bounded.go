package netguard

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounded is a listener that keeps so many connections open at most: of one
// source, and in all. Where there is one too many, one that asks for nothing is
// closed in its place: the one that is quiet for longest. If there is none, the
// new one is closed. State must be the http.Server's ConnState.
type Bounded struct {
	net.Listener

	All    int                       // connections; 0: no bound
	Source int                       // of one IPv4 address, or of one IPv6 /64; 0: no bound
	Exempt func(src netip.Addr) bool // sources that fall under All only, such as a proxy; nil: none
	Stall  time.Duration             // for which a client may take nothing of what is sent to it; 0: no bound
	Log    *slog.Logger              // nil: discards

	mu       sync.Mutex
	open     int
	bySource map[netip.Prefix]int
	quiet    *list.List // of *bounded that have not begun a request, the longest first
	reported time.Time
}

// bounded is one connection.
type bounded struct {
	net.Conn
	from  *Bounded
	key   netip.Prefix  // zero: of no bounded source
	quiet *list.Element // nil while a request is under way, or once it is closed
	over  bool
	until atomic.Bool // the server has set a deadline for writes itself
}

// Accept returns the next connection that there is room for.
func (b *Bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		held, victim := b.admit(c)
		if victim != nil {
			_ = victim.Close()
		}
		if held != nil {
			return held, nil
		}
		b.report(c.RemoteAddr())
		_ = c.Close()
	}
}

// admit counts a connection, if there is room or if victim makes room.
func (b *Bounded) admit(c net.Conn) (held *bounded, victim *bounded) {
	key := b.keyOf(c.RemoteAddr())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.quiet == nil {
		b.quiet, b.bySource = list.New(), map[netip.Prefix]int{}
	}
	full := b.All > 0 && b.open >= b.All
	fullOfSource := key.IsValid() && b.Source > 0 && b.bySource[key] >= b.Source
	if full || fullOfSource {
		for e := b.quiet.Front(); e != nil && victim == nil; e = e.Next() {
			if v := e.Value.(*bounded); !fullOfSource || v.key == key {
				victim = v
			}
		}
		if victim == nil {
			return nil, nil
		}
		b.forget(victim)
	}
	held = &bounded{Conn: c, from: b, key: key}
	held.quiet = b.quiet.PushBack(held)
	b.open++
	if key.IsValid() {
		b.bySource[key]++
	}
	return held, victim
}

// keyOf is what a connection counts under; zero if nothing bounds its source.
func (b *Bounded) keyOf(a net.Addr) netip.Prefix {
	src, ok := Source(a)
	if !ok || b.Exempt != nil && b.Exempt(src) {
		return netip.Prefix{}
	}
	return Subscriber(src)
}

// State hears what the server does with a connection.
func (b *Bounded) State(c net.Conn, state http.ConnState) {
	held, ok := c.(*bounded)
	if !ok || held.from != b {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if held.over {
		return
	}
	switch state {
	case http.StateActive:
		if held.quiet != nil {
			b.quiet.Remove(held.quiet)
			held.quiet = nil
		}
	case http.StateIdle:
		if held.quiet == nil {
			held.quiet = b.quiet.PushBack(held)
		}
	}
}

// forget frees a connection's place, once. It is under the lock.
func (b *Bounded) forget(c *bounded) {
	if c.over {
		return
	}
	c.over = true
	if c.quiet != nil {
		b.quiet.Remove(c.quiet)
		c.quiet = nil
	}
	b.open--
	if c.key.IsValid() {
		if b.bySource[c.key]--; b.bySource[c.key] == 0 {
			delete(b.bySource, c.key)
		}
	}
}

// Write gives up on a client that takes nothing for Stall.
func (c *bounded) Write(p []byte) (int, error) {
	if c.from.Stall > 0 && !c.until.Load() {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.from.Stall)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline sets one that Write leaves alone.
func (c *bounded) SetWriteDeadline(t time.Time) error {
	c.until.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// Close frees the connection's place.
func (c *bounded) Close() error {
	c.from.mu.Lock()
	c.from.forget(c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the answer, so that a client that still sends reads it before
// the connection is gone: the server looks for this method.
func (c *bounded) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// report logs a refusal, at most one a minute.
func (b *Bounded) report(from net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.Log != nil && now.Sub(b.reported) >= time.Minute {
		b.reported = now
		b.Log.Warn("too many connections at once: one was closed", "source", from.String(), "listener", b.Addr().String(), "open", b.open)
	}
}
