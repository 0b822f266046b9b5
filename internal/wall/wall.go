// Package wall keeps tenants' containers away from listeners on the host that
// are not theirs.
package wall

import (
	"log/slog"
	"net"
	"net/netip"
)

// Guard is a listener that closes, at accept, every connection whose source
// lies in Pool, unless Allow says yes. Nothing is read from or written to such
// a connection.
type Guard struct {
	net.Listener

	Pool  netip.Prefix              // Berth's own address pool
	Allow func(src netip.Addr) bool // nil: never. Called from the accepting goroutine
	Log   *slog.Logger
}

// Accept returns the next connection that may pass.
func (g *Guard) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g.passes(c.RemoteAddr()) {
			return c, nil
		}
		if g.Log == nil {
			_ = c.Close()
			continue
		}
		g.Log.Debug("connection from a tenant's network refused",
			"source", c.RemoteAddr().String(), "listener", g.Addr().String())
		_ = c.Close()
	}
}

func (g *Guard) passes(from net.Addr) bool {
	if _, ok := from.(*net.UnixAddr); ok {
		return true
	}
	src, ok := Source(from)
	if !ok {
		return false
	}
	return !g.Pool.Contains(src) || g.Allow != nil && g.Allow(src)
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
