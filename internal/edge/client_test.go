package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

// tenantsOf starts so many tenants with one program. What it waits for is closed
// with the test, before anything else ends.
func tenantsOf(t *testing.T, n int, opts edge.Options, program func(w http.ResponseWriter, r *http.Request, end <-chan struct{})) (*edge.Edge, []berth.Route) {
	t.Helper()
	end := make(chan struct{})
	up := backend(t, func(w http.ResponseWriter, r *http.Request) { program(w, r, end) })
	e, _ := running(t, opts)
	t.Cleanup(func() { close(end) })
	var routes []berth.Route
	for range n {
		routes = append(routes, route(freePort(t), up))
	}
	apply(t, e, routes...)
	return e, routes
}

// waits answers at once; the answer to "/wait" begins, and ends with the test.
func waits(w http.ResponseWriter, r *http.Request, end <-chan struct{}) {
	w.(http.Flusher).Flush()
	if r.URL.Path == "/wait" {
		<-end
	}
}

// One address that goes from tenant to tenant must not shut any of them to the
// others.
func TestOneClientOnManyTenantsLeavesThemToOthers(t *testing.T) {
	t.Parallel()
	half := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a:\r\n", 1000) // 4 KB, and no end
	wait := "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		ask  string
		each int
		opts edge.Options
	}{
		"memory":                {half, 80, edge.Options{Memory: 64 << 20}},
		"memory of requests":    {wait, 80, edge.Options{Memory: 32 << 20}},
		"descriptors":           {"G", 80, edge.Options{Descriptors: 200}},
		"descriptors, nothing":  {"", 80, edge.Options{Descriptors: 200}},
		"descriptors, requests": {wait, 80, edge.Options{Descriptors: 200}},
		"its own bound":         {wait, 20, edge.Options{MaxPerClientInAll: 30}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.HeaderTimeout = patience
			_, routes := tenantsOf(t, 10, c.opts, waits)
			for _, r := range routes {
				for range c.each {
					io.WriteString(from(t, "127.0.0.66", r.Port), c.ask)
				}
			}
			for _, r := range routes {
				if !answered(t, "127.0.1.1", r.Port) {
					t.Errorf("port %d is shut to another", r.Port)
				}
			}
		})
	}
}

// Its own idle connections make room, at whatever tenant.
func TestAClientThatHasAllItMayHaveGetsInByItsIdleConnections(t *testing.T) {
	t.Parallel()
	_, routes := tenantsOf(t, 10, edge.Options{MaxPerClientInAll: 8, HeaderTimeout: patience}, waits)
	for range 3 {
		for _, r := range routes {
			for range 2 {
				from(t, "127.0.0.66", r.Port)
			}
			if !answered(t, "127.0.0.66", r.Port) {
				t.Errorf("port %d is shut", r.Port)
			}
		}
	}
}

// Idle connections of others make room too, whichever tenant they are at.
func TestIdleConnectionsOfManyClientsAtAllTenantsMakeRoom(t *testing.T) {
	t.Parallel()
	_, routes := tenantsOf(t, 10, edge.Options{Descriptors: 100, HeaderTimeout: patience}, waits)
	for n := range 200 {
		for range 2 {
			from(t, fmt.Sprintf("127.0.2.%d", n+1), routes[n%len(routes)].Port)
		}
	}
	for _, r := range routes {
		if !answered(t, "127.0.1.1", r.Port) {
			t.Errorf("port %d is shut", r.Port)
		}
	}
}

// Where all are alike, who asks for something goes before who only keeps a
// connection, at the same tenant and at another one.
func TestAClientWithARequestUnderWayGetsInByTheIdleConnectionsOfOthersWhoHaveAsMuch(t *testing.T) {
	t.Parallel()
	_, routes := tenantsOf(t, 10, edge.Options{Descriptors: 100, HeaderTimeout: patience}, waits)
	for n := range 200 {
		from(t, fmt.Sprintf("127.0.2.%d", n+1), routes[n%len(routes)].Port)
	}
	for range 3 { // a page and what is in it
		begun(t, "127.0.1.1", routes[0].Port)
	}
	begun(t, "127.0.1.1", routes[1].Port)
}

// The client that has the most may have nothing idle.
func TestIdleConnectionsMakeRoomBesideAClientThatWorksWithAllItHas(t *testing.T) {
	t.Parallel()
	_, routes := tenantsOf(t, 10, edge.Options{Descriptors: 100, HeaderTimeout: patience}, waits)
	for range 2 {
		begun(t, "127.0.0.66", routes[0].Port)
	}
	for n := range 200 {
		from(t, fmt.Sprintf("127.0.2.%d", n+1), routes[1+n%9].Port)
	}
	for n := range 6 {
		begun(t, fmt.Sprintf("127.0.1.%d", n+1), routes[0].Port)
	}
}

// Nothing that clients of others keep makes room at a tenant that has all it may have.
func TestNoConnectionMakesRoomAtATenantThatHasAllItMayHave(t *testing.T) {
	t.Parallel()
	_, routes := tenantsOf(t, 2, edge.Options{MaxConnections: 4, HeaderTimeout: patience}, waits)
	kept := from(t, "127.0.0.9", routes[1].Port)
	refused := 0
	for n := range 12 {
		for range 3 {
			if !answers(t, fmt.Sprintf("127.0.1.%d", n+1), routes[0].Port, "/wait") {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("the tenant has no bound")
	}
	io.WriteString(kept, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := read(t, kept); res.StatusCode != 200 {
		t.Errorf("a connection at another tenant: %d", res.StatusCode)
	}
}

// begun has a request begin that ends with the test.
func begun(t *testing.T, source string, port int) {
	t.Helper()
	if !answers(t, source, port, "/wait") {
		t.Errorf("port %d is shut to %s", port, source)
	}
}

// answers reports whether a request on a new connection, which is kept, is
// answered.
func answers(t *testing.T, source string, port int, path string) bool {
	t.Helper()
	c := from(t, source, port)
	io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 200"))
	_, err := io.ReadFull(c, head)
	return err == nil && string(head) == "HTTP/1.1 200"
}

func TestAClientBehindATrustedProxyHasOneShareAtAllTenants(t *testing.T) {
	t.Parallel()
	opts := edge.Options{MaxPerClientInAll: 6, TrustedProxies: loopback()}
	e, routes := tenantsOf(t, 3, opts, waits)
	ask := func(port int, path, client string) net.Conn {
		c := dial(t, port)
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: "+client+"\r\n\r\n")
		return c
	}
	for n := range 6 {
		r := routes[n%2]
		ask(r.Port, "/wait", "8.8.8.8")
		until(t, "it is under way", func() bool {
			return e.Traffic()[routes[0].OrganizationID].UnderWay+e.Traffic()[routes[1].OrganizationID].UnderWay == int64(n+1)
		})
	}
	if res, body := read(t, ask(routes[2].Port, "/", "8.8.8.8")); res.StatusCode != 429 || !strings.Contains(body, "client_busy") {
		t.Errorf("a seventh request, at a third tenant: %d %s", res.StatusCode, body)
	}
	if res, body := read(t, ask(routes[2].Port, "/", "8.8.4.4")); res.StatusCode != 200 {
		t.Errorf("another client: %d %s", res.StatusCode, body)
	}
}

func TestTwoClientsCanNotTakeAllUpgrades(t *testing.T) {
	t.Parallel()
	_, routes := tenantsOf(t, 1, edge.Options{MaxConnections: 64, MaxPerClient: 20}, func(w http.ResponseWriter, _ *http.Request, end <-chan struct{}) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, switches)
		<-end
	})
	ask := func(source string) *http.Response {
		t.Helper()
		c := from(t, source, routes[0].Port)
		io.WriteString(c, upgrade)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	refused := 0
	for _, source := range []string{"127.0.0.66", "127.0.0.67"} {
		for range 18 {
			if res := ask(source); res.StatusCode == http.StatusTooManyRequests {
				refused++
			} else if res.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("%s gets %s", source, res.Status)
			}
		}
	}
	if refused == 0 {
		t.Error("two clients may have all upgrades")
	}
	if res := ask("127.0.1.1"); res.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("a third client gets %s", res.Status)
	}
}
