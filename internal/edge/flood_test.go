package edge_test

import (
	"io"
	"net"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

func TestIdleConnectionsOnOneTenantLeaveTheOthersAlone(t *testing.T) {
	const flood = 1100 // more than the default cap
	up := backend(t, says("ok"))
	flooded, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{HeaderTimeout: patience})
	apply(t, e, route(flooded, up), route(other, up))
	answers := func(port int) bool {
		c := dial(t, port)
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		_, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200")))
		return err == nil
	}
	idle := make([]net.Conn, flood)
	for i := range idle {
		idle[i] = dial(t, flooded)
	}
	until(t, "the flooded tenant is at its cap", func() bool { return !answers(flooded) })
	for range 20 {
		if !answers(other) {
			t.Fatal("the other tenant does not answer")
		}
	}
	for _, c := range idle {
		c.Close()
	}
	until(t, "the flooded tenant answers again", func() bool { return answers(flooded) })
}
