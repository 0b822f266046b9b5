package netguard_test

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/unite-hub/berth/internal/netguard"
)

// come are connections that come from these addresses, one after the other.
func come(addrs ...string) *queue {
	var q queue
	for _, a := range addrs {
		q = append(q, &from{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(a), 5))})
	}
	return &q
}

func accept(t *testing.T, b *netguard.Bounded, addr string) (c net.Conn, raw *from) {
	t.Helper()
	q := come(addr)
	raw = (*q)[0]
	b.Listener = q
	c, err := b.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if (c == nil) != raw.closed {
		t.Errorf("accepted: %v, closed: %v", c != nil, raw.closed)
	}
	return c, raw
}

func TestConnectionsAreBoundedBySourceAndInAll(t *testing.T) {
	b := &netguard.Bounded{All: 4, Source: 2, Exempt: func(a netip.Addr) bool { return a.IsLoopback() }}
	busy := func(addr string) net.Conn {
		c, _ := accept(t, b, addr)
		if c != nil {
			b.State(c, http.StateActive)
		}
		return c
	}
	first := busy("192.0.2.1")
	busy("192.0.2.1")
	if busy("192.0.2.1") != nil || busy("::ffff:192.0.2.1") != nil {
		t.Error("a third of one source was taken")
	}
	if busy("2001:db8::1") == nil {
		t.Error("one of another source was refused")
	}
	if busy("127.0.0.1") == nil {
		t.Error("one of an exempt source was refused")
	}
	if busy("127.0.0.1") != nil || busy("192.0.2.9") != nil {
		t.Error("a fifth was taken")
	}
	_ = first.Close()
	_ = first.Close() // as often as the server likes
	if busy("192.0.2.1") == nil {
		t.Error("a place that was left is not free")
	}
	if busy("192.0.2.9") != nil {
		t.Error("a place was free twice")
	}
}

func TestAnIPv6NetworkIsOneSource(t *testing.T) {
	b := &netguard.Bounded{All: 9, Source: 1}
	c, _ := accept(t, b, "2001:db8:0:1::1")
	b.State(c, http.StateActive)
	if c, _ := accept(t, b, "2001:db8:0:1:ffff::2"); c != nil {
		t.Error("another address of the same /64 was taken")
	}
	if c, _ := accept(t, b, "2001:db8:0:2::1"); c == nil {
		t.Error("another network was refused")
	}
}

func TestWhoAsksForNothingMakesRoomTheQuietestFirst(t *testing.T) {
	b := &netguard.Bounded{All: 3, Source: 2}
	working, rawWorking := accept(t, b, "192.0.2.1")
	b.State(working, http.StateActive)
	idle, rawIdle := accept(t, b, "192.0.2.2")
	b.State(idle, http.StateActive)
	_, rawSilent := accept(t, b, "192.0.2.3")
	b.State(idle, http.StateIdle)
	if c, _ := accept(t, b, "192.0.2.4"); c == nil || !rawSilent.closed || rawIdle.closed || rawWorking.closed {
		t.Errorf("closed: silent %v, idle %v, working %v", rawSilent.closed, rawIdle.closed, rawWorking.closed)
	}
	if c, _ := accept(t, b, "192.0.2.5"); c == nil || !rawIdle.closed || rawWorking.closed {
		t.Errorf("closed: idle %v, working %v", rawIdle.closed, rawWorking.closed)
	}
	// Of a source that has its share, only its own make room.
	b = &netguard.Bounded{All: 9, Source: 1}
	_, other := accept(t, b, "192.0.2.1")
	_, own := accept(t, b, "192.0.2.2")
	if c, _ := accept(t, b, "192.0.2.2"); c == nil || !own.closed || other.closed {
		t.Errorf("closed: own %v, another's %v", own.closed, other.closed)
	}
}
