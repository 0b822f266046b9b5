package edge_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

// from connects from an address of 127.0.0.0/8.
func from(t testing.TB, source string, port int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// answered asks on a connection of its own.
func answered(t testing.TB, source string, port int) bool {
	t.Helper()
	c := from(t, source, port)
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 200"))
	_, err := io.ReadFull(c, head)
	return err == nil && string(head) == "HTTP/1.1 200"
}

func TestIdleConnectionsOnOneTenantLeaveTheOthersAlone(t *testing.T) {
	t.Parallel()
	const flood = 1100 // more than one client may have
	up := backend(t, says("ok"))
	flooded, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{HeaderTimeout: patience})
	apply(t, e, route(flooded, up), route(other, up))
	for range flood {
		dial(t, flooded)
	}
	for range 20 {
		if !answered(t, "127.0.0.1", other) {
			t.Fatal("the other tenant does not answer")
		}
		// Nor are the flooded tenant's own clients, at whatever address.
		if !answered(t, "127.0.0.1", flooded) || !answered(t, "127.0.0.2", flooded) {
			t.Fatal("the flooded tenant does not answer")
		}
	}
}

// A client whose connections all have requests under way, which never end, has
// its share of the places and leaves the rest.
func TestOneClientCanNotCloseATenantsPort(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]string{
		"nothing":         "",
		"half a header":   "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
		"a waiting one":   "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
		"half a body":     "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
		"half a chunk":    "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
		"lines of header": "GET /wait HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a:\r\n", 10000) + "\r\n",
		"an upgrade":      "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			up := backend(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/wait":
					<-release
				case "/read":
					_, _ = io.Copy(io.Discard, r.Body)
				case "/switch":
					c, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					io.WriteString(c, switches)
					<-release
				}
			})
			port := freePort(t)
			e, _ := running(t, edge.Options{MaxConnections: 64, Memory: 32 << 20, HeaderTimeout: patience, BodyGrace: patience})
			apply(t, e, route(port, up))
			t.Cleanup(func() { close(release) }) // first of all
			for range 200 {
				c := from(t, "127.0.0.66", port)
				go io.WriteString(c, ask)
			}
			for n := range 20 {
				if !answered(t, fmt.Sprintf("127.0.1.%d", n+1), port) {
					t.Fatalf("client %d is not answered", n)
				}
			}
		})
	}
}

// Whoever has the most makes room, so that a flood from many addresses does not
// close the port either.
func TestIdleConnectionsOfManyAddressesMakeRoom(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{MaxConnections: 64, HeaderTimeout: patience})
	apply(t, e, route(port, backend(t, says("ok"))))
	for n := range 240 {
		io.WriteString(from(t, fmt.Sprintf("127.0.2.%d", n+1), port), "GET / HTTP/1.1\r\nX-Slow:")
	}
	for n := range 20 {
		if !answered(t, fmt.Sprintf("127.0.1.%d", n+1), port) {
			t.Fatalf("client %d is not answered", n)
		}
	}
}

func TestAnOfficeBehindOneAddressIsServed(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-release
	})))
	const people = 500 // each of them with an event stream
	for range people {
		io.WriteString(dial(t, port), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	org := route(port).OrganizationID
	until(t, "all of them are served", func() bool { return e.Traffic()[org].UnderWay == people })
	close(release)
}

// A trusted proxy brings many clients: the bound of one client holds for each of
// these, and not for the proxy.
func TestAClientBehindATrustedProxyHasItsShareOfTheRequests(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	port := freePort(t)
	e, _ := running(t, edge.Options{MaxConnections: 64, MaxPerClient: 4, TrustedProxies: loopback()})
	r := route(port, backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-release
		}
	}))
	apply(t, e, r)
	ask := func(path, client string) net.Conn {
		c := dial(t, port)
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "+client+"\r\n\r\n")
		return c
	}
	for range 4 {
		ask("/wait", "8.8.8.8")
	}
	until(t, "they are under way", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 4 })
	res, body := read(t, ask("/wait", "6.6.6.6, 8.8.8.8"))
	if res.StatusCode != 429 || !strings.Contains(body, "client_busy") || res.Header.Get("Retry-After") == "" {
		t.Errorf("a fifth request: %d %s", res.StatusCode, body)
	}
	for _, client := range []string{"8.8.4.4", "2001:db8::1"} {
		if res, _ := read(t, ask("/", client)); res.StatusCode != 200 {
			t.Errorf("client %s: %d", client, res.StatusCode)
		}
	}
	for range 8 { // the proxy's own, as a probe makes them
		ask("/wait", "")
	}
	until(t, "a proxy has as many as the tenant", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 12 })
	close(release)
	until(t, "the client's requests are counted out", func() bool {
		res, _ := read(t, ask("/", "8.8.8.8"))
		return res.StatusCode == 200
	})
}

func TestABodyThatComesTooSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{BodyGrace: 50 * time.Millisecond})
	apply(t, e, route(port, backend(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })))
	c := dial(t, port)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
	if res, body := read(t, c); res.StatusCode != 408 || !strings.Contains(body, "request_too_slow") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("the connection goes on: %q %v", rest, err)
	}
}

// A tenant that takes its time is no reproach to the client, and once it answers
// the body may come when it likes.
func TestABodyMayRestWhileTheTenantDoesOrOnceItAnswers(t *testing.T) {
	t.Parallel()
	const grace, rest = 2 * time.Second, 3 * time.Second
	port := freePort(t)
	e, _ := running(t, edge.Options{BodyGrace: grace, MinBodyRate: 1 << 30})
	apply(t, e, route(port, backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			<-time.After(rest) // it reads nothing meanwhile
		} else {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.(http.Flusher).Flush()
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})))
	res, err := client(t).Post(url(port, "/late"), "text/plain", strings.NewReader(strings.Repeat("x", 8<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "8388608 <nil>" {
		t.Errorf("late: %d %s", res.StatusCode, body)
	}
	c := dial(t, port)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf")
	head := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	<-time.After(rest)
	io.WriteString(c, "half")
	if rest, err := io.ReadAll(c); err != nil || !strings.Contains(string(rest), "8 <nil>") {
		t.Errorf("%q %v", rest, err)
	}
}

// net/http reads what is left of a body that the tenant did not want.
func TestABodyThatNobodyWantsHoldsNothing(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	r := route(port, hostile(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") }))
	apply(t, e, r)
	c := dial(t, port)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
	if rest, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 404") {
		t.Errorf("%q %v", rest, err)
	}
}

// Many clients read nothing before they have sent everything.
func TestAnAnswerInTheMiddleOfAnUploadArrivesWhole(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, hostile(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 7\r\n\r\ntoo big")
		_, _ = io.Copy(io.Discard, c) // or the system would take the answer back
	})))
	const size = 16 << 20
	c := dial(t, port)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Errorf("the upload: %v", err)
	}
	if res, body := read(t, c); res.StatusCode != 413 || body != "too big" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{StallTimeout: 100 * time.Millisecond})
	r := route(port, backend(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 12 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	apply(t, e, r)
	io.WriteString(dial(t, port), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	until(t, "the request is under way", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 1 })
	until(t, "it is given up", func() bool { return e.Traffic()[r.OrganizationID].UnderWay == 0 })
}

// One tenant's flood leaves descriptors and memory to the others.
func TestATenantTakesNoMoreThanIsLeftToOthers(t *testing.T) {
	up := backend(t, says("ok"))
	flooded, other := freePort(t), freePort(t)
	for name, opts := range map[string]edge.Options{
		"descriptors": {Descriptors: 40, HeaderTimeout: patience, TrustedProxies: loopback()},
		"memory":      {Memory: 1 << 20, TenantMemory: 1 << 20, HeaderTimeout: patience, TrustedProxies: loopback()},
	} {
		t.Run(name, func(t *testing.T) {
			e, stop := running(t, opts)
			defer stop()
			apply(t, e, route(flooded, up), route(other, up))
			for range 200 {
				io.WriteString(dial(t, flooded), "GET / HTTP/1.1\r\nX-Slow:")
			}
			for range 10 {
				if !answered(t, "127.0.0.1", other) {
					t.Fatal("the other tenant does not answer")
				}
			}
		})
	}
}

func stateOf(port int, up netip.AddrPort, state berth.RouteState) berth.Route {
	r := route(port, up)
	r.State = state
	return r
}

func TestWhatIsHeldIsGivenBack(t *testing.T) {
	t.Parallel()
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 20<<10))
		_, _ = io.Copy(w, r.Body)
	})
	port := freePort(t)
	// Room for a few requests at a time, and none for a leak.
	e, _ := running(t, edge.Options{Memory: 4 << 20, TenantMemory: 1 << 20, Descriptors: 64})
	c := client(t)
	for n := range 400 {
		switch n % 100 {
		case 0:
			apply(t, e, stateOf(port, up, berth.RouteServing))
		case 50:
			apply(t, e, stateOf(port, up, berth.RouteStopped))
		}
		want := map[bool]int{true: 200, false: 503}[n%100 < 50]
		res, err := c.Post(url(port, "/"), "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || strings.Contains(string(body), "busy") {
			t.Fatalf("request %d: %d %s", n, res.StatusCode, body)
		}
	}
}
