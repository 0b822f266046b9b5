package edge_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/edge"
)

// deaf is an upstream that accepts, reads a little, greets, and then reads nothing more.
func deaf(t testing.TB, greeting string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			// An answer before the request is none: the proxy would hang up.
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, greeting)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// push writes until the connection takes no more, and says how it ended.
func push(c net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		block := make([]byte, 1<<20)
		for {
			if _, err := c.Write(block); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// ends fails the test when what does not come to an end.
func ends(t *testing.T, what string, end func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() { defer close(ended); end() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

const (
	bigPost  = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n"
	upgrade  = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
	switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
)

func TestAnUpstreamThatReadsNothingDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, request, greeting string }{
		{"an upload", bigPost, ""},
		{"an upgraded connection", upgrade, switches},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := freePort(t)
			e, stop := running(t, edge.Options{DrainDeadline: 50 * time.Millisecond})
			apply(t, e, route(port, deaf(t, c.greeting)))
			conn := dial(t, port)
			io.WriteString(conn, c.request)
			if c.greeting != "" {
				if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 101 {
					t.Fatalf("%v %v", res, err)
				}
			}
			full(t, conn)
			ends(t, "Run", stop)
		})
	}
}

func TestAnUpstreamThatReadsNothingDoesNotHoldUpARemovedRoute(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, stop := running(t, edge.Options{DrainDeadline: 50 * time.Millisecond})
	apply(t, e, route(port, deaf(t, "")))
	conn := dial(t, port)
	io.WriteString(conn, bigPost)
	full(t, conn)
	ended := push(conn)
	apply(t, e)
	ends(t, "the removed route", func() { <-ended })
	ends(t, "Run", stop)
}

// full writes until every buffer on the way to a deaf upstream is full.
func full(t *testing.T, c net.Conn) {
	t.Helper()
	block := make([]byte, 1<<20)
	for {
		c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := c.Write(block)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.SetDeadline(time.Now().Add(patience))
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoSpellingOfAForwardingHeaderGetsThrough(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	addr := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		all := r.Header.Clone()
		for name, values := range r.Trailer {
			all["Trailer "+name] = values
		}
		seen <- all
	})
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, addr))
	req, err := http.NewRequest(http.MethodPost, url(port, "/"), io.MultiReader(strings.NewReader("a body of unknown length")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Forwarded-For", "X_Forwarded_For", "x-forwarded_host", "X-Real-IP", "X_REAL_IP", "Forwarded"} {
		req.Header[name] = []string{"evil"}
	}
	req.Trailer = http.Header{"X-Forwarded-For": {"evil"}}
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	for name, values := range <-seen {
		if len(values) > 0 && values[0] == "evil" {
			t.Errorf("%s got through", name)
		}
	}
}
