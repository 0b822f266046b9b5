package netguard_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/netguard"
)

func TestADialerKnowsWhatLiesInside(t *testing.T) {
	open := netguard.NewDialer(berth.DefaultPool(), nil, time.Second)
	lan := netguard.NewDialer(berth.DefaultPool(), []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, time.Second)
	for _, c := range []struct {
		addr      string
		open, lan bool
	}{
		{"8.8.8.8", true, true}, {"2606:4700::1111", true, true}, {"172.32.0.1", true, true}, {"100.128.0.1", true, true},
		{"127.0.0.1", false, false}, {"127.9.9.9", false, false}, {"0.0.0.0", false, false}, {"10.1.2.3", false, true},
		{"10.64.0.5", false, false}, {"::ffff:10.64.0.5", false, false}, // tenants', allowed or not
		{"172.16.0.1", false, false}, {"192.168.7.9", false, true}, {"192.168.8.9", false, false}, {"169.254.169.254", false, false},
		{"100.64.0.1", false, false}, {"224.0.0.1", false, false}, {"255.255.255.255", false, false}, {"240.0.0.1", false, false},
		{"198.18.0.1", false, false}, {"192.0.0.192", false, false},
		{"::", false, false}, {"::1", false, false}, {"fe80::1", false, false}, {"fe80::1%eth0", false, false}, {"fd00:ec2::254", false, true},
		{"fec0::1", false, false}, {"ff02::1", false, false}, {"::ffff:127.0.0.1", false, false}, {"::ffff:8.8.8.8", true, true}, {"::127.0.0.1", false, false},
		{"64:ff9b::7f00:1", false, false}, {"64:ff9b:1::a00:1", false, false}, {"2002:7f00:1::1", false, false}, {"2001::1", false, false}, {"2001:db8::1", false, false},
	} {
		a := netip.MustParseAddr(c.addr)
		if got := open.Allowed(a); got != c.open {
			t.Errorf("%s allowed: %v, want %v", a, got, c.open)
		}
		if got := lan.Allowed(a); got != c.lan {
			t.Errorf("%s allowed with allowances: %v, want %v", a, got, c.lan)
		}
	}
	if open.Allowed(netip.Addr{}) {
		t.Error("no address is allowed")
	}
}

func TestADialerConnectsToNothingInsideByAddressOrName(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 8)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		_, err := netguard.NewDialer(berth.DefaultPool(), nil, time.Second).DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if !berth.Is(err, berth.CodeForbidden) {
			t.Errorf("dial %s: %v", host, err)
		}
	}
	c, err := netguard.NewDialer(berth.DefaultPool(), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, time.Second).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("an allowed address: %v", err)
	}
	_ = c.Close()
	got := <-accepted
	_ = got.Close()
	_ = l.Close()
	for c := range accepted {
		t.Errorf("a connection from %s came through", c.RemoteAddr())
	}
}
