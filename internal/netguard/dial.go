package netguard

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/unite-hub/berth"
)

// outside are no prefixes of the Internet: what one reaches through them is
// this machine, its network, or nobody.
func outside() []string {
	return []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/3",
	}
}

// global is where all addresses of the IPv6 Internet lie; translated are the
// prefixes in it, and beside it, that carry an IPv4 address or lead nowhere.
const global = "2000::/3"

func translated() []string {
	return []string{"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"}
}

// Dialer connects to addresses outside of this machine and its networks. What
// is checked is the address that a connection is about to be made to, so a name
// that resolves differently the second time gains nothing.
type Dialer struct {
	Pool  netip.Prefix   // of tenants: refused, whatever Allow says
	Allow []netip.Prefix // receivers inside that the operator allows

	Resolver *net.Resolver // nil for the system's; not to be changed while in use

	refused []netip.Prefix
	dialer  net.Dialer
}

// NewDialer returns a Dialer. timeout is for one connection.
func NewDialer(pool netip.Prefix, allow []netip.Prefix, timeout time.Duration) *Dialer {
	d := &Dialer{Pool: pool, Allow: allow}
	for _, p := range append(outside(), translated()...) {
		d.refused = append(d.refused, netip.MustParsePrefix(p))
	}
	d.dialer = net.Dialer{Timeout: timeout, ControlContext: d.control}
	return d
}

// DialContext is for an http.Transport.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := d.dialer
	dialer.Resolver = d.Resolver
	return dialer.DialContext(ctx, network, address)
}

func (d *Dialer) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err == nil && (network == "tcp4" || network == "tcp6") && d.Allowed(ap.Addr()) {
		return nil
	}
	return berth.Errorf(berth.CodeForbidden, "The receiver has an address inside: %s", address).
		WithHint("give a receiver on the Internet, or have the operator allow its network with --notify-allow")
}

// Allowed reports whether a connection to the address may be made.
func (d *Dialer) Allowed(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	if d.Pool.IsValid() && contains(d.Pool) {
		return false
	}
	if slices.ContainsFunc(d.Allow, contains) {
		return true
	}
	if !a.Is4() && !netip.MustParsePrefix(global).Contains(a) {
		return false
	}
	return a.IsValid() && !slices.ContainsFunc(d.refused, contains)
}
