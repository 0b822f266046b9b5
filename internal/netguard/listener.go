// Package netguard keeps tenants' instances away from listeners on the host
// that are not theirs, and notifications away from addresses inside.
package netguard

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Listener closes, at accept, every connection whose source lies in Pool, unless
// Allow says yes. Nothing is read from or written to such a connection.
type Listener struct {
	net.Listener

	Pool   netip.Prefix              // Berth's own address pool
	Inside func(src netip.Addr) bool // whether a source counts as in Pool though it is not; nil: none does
	Allow  func(src netip.Addr) bool // nil: never. Called from the accepting goroutine
	Log    *slog.Logger              // nil: discards

	mu         sync.Mutex
	reported   time.Time // the last refusal that was logged
	suppressed int       // refusals since then
}

// Accept returns the next connection that may pass.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.passes(c.RemoteAddr()) {
			return c, nil
		}
		l.report(c.RemoteAddr())
		_ = c.Close()
	}
}

// report logs a refusal, at most one a second: an instance can cause as many
// as it likes.
func (l *Listener) report(from net.Addr) {
	if l.Log == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.reported.IsZero() && now.Sub(l.reported) < time.Second {
		l.suppressed++
		return
	}
	l.Log.Debug("connection from a tenant's network refused",
		"source", from.String(), "listener", l.Addr().String(), "suppressed", l.suppressed)
	l.reported, l.suppressed = now, 0
}

func (l *Listener) passes(from net.Addr) bool {
	if _, ok := from.(*net.UnixAddr); ok {
		return true
	}
	src, ok := Source(from)
	if !ok {
		return false
	}
	inside := l.Pool.Contains(src) || l.Inside != nil && l.Inside(src)
	return !inside || l.Allow != nil && l.Allow(src)
}

// Source returns the IP address in a, in its shortest form: an IPv4 address
// that is written as IPv6 would lie in no IPv4 prefix.
func Source(a net.Addr) (netip.Addr, bool) {
	if tcp, ok := a.(*net.TCPAddr); ok {
		src, ok := netip.AddrFromSlice(tcp.IP)
		return src.Unmap(), ok
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}

// Subscriber is what counts as one source: an IPv4 address, and of an IPv6
// address its whole /64, for whoever has one address of it has them all. It is
// zero if a is.
func Subscriber(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
