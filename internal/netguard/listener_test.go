package netguard_test

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/unite-hub/berth/internal/netguard"
)

// from is a connection that claims to come from an address.
type from struct {
	net.Conn
	addr   net.Addr
	closed bool
}

func (c *from) RemoteAddr() net.Addr { return c.addr }
func (c *from) Close() error         { c.closed = true; return nil }

type queue []*from

func (q *queue) Accept() (net.Conn, error) {
	if len(*q) == 0 {
		return nil, net.ErrClosed
	}
	c := (*q)[0]
	*q = (*q)[1:]
	return c, nil
}
func (q *queue) Close() error   { return nil }
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

type text string

func (t text) Network() string { return "test" }
func (t text) String() string  { return string(t) }

func TestOnlySourcesThatMayPassAreAccepted(t *testing.T) {
	allow := func(src netip.Addr) bool { return src == netip.MustParseAddr("10.64.0.5") }
	for _, c := range []struct {
		name   string
		addr   net.Addr
		allow  func(netip.Addr) bool
		passes bool
	}{
		{"outside the pool", &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 5}, nil, true},
		{"inside the pool", &net.TCPAddr{IP: net.ParseIP("10.64.0.9"), Port: 5}, nil, false},
		{"inside, four bytes", &net.TCPAddr{IP: net.IP{10, 79, 255, 255}, Port: 5}, nil, false},
		{"inside, not the allowed one", &net.TCPAddr{IP: net.ParseIP("10.64.0.9"), Port: 5}, allow, false},
		{"inside, allowed", &net.TCPAddr{IP: net.ParseIP("10.64.0.5"), Port: 5}, allow, true},
		{"inside, written as IPv6", text("[::ffff:10.64.0.9]:5"), nil, false},
		{"allowed, written as IPv6", text("[::ffff:10.64.0.5]:5"), allow, true},
		{"IPv6", text("[2001:db8::1]:5"), nil, true},
		{"IPv6 with a zone", text("[fe80::1%eth0]:5"), nil, true},
		{"a socket file", &net.UnixAddr{Name: "@"}, nil, true},
		{"no address at all", text("who knows"), nil, false},
		{"a nil address", &net.TCPAddr{}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := &from{addr: c.addr}
			l := &netguard.Listener{Listener: &queue{conn}, Pool: netip.MustParsePrefix("10.64.0.0/12"),
				Allow: c.allow, Log: slog.New(slog.DiscardHandler)}
			got, err := l.Accept()
			if c.passes != (got == net.Conn(conn) && err == nil) || c.passes == conn.closed {
				t.Errorf("passes: want %v, got %v, %v, closed %v", c.passes, got, err, conn.closed)
			}
			if !c.passes && !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener's own error is lost: %v", err)
			}
		})
	}
}

func TestASubscriberIsAnIPv4AddressOrAWholeIPv6Network(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8:0:1:ffff::2": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := netguard.Subscriber(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s counts as %s", address, got)
		}
	}
	if got := netguard.Subscriber(netip.Addr{}); got.IsValid() {
		t.Errorf("no address counts as %s", got)
	}
}
