package edge_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/testbed"
)

func TestMain(m *testing.M) {
	if os.Getenv(floodedRole) != "" {
		os.Exit(flooded())
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// running starts an edge and stops it with the test; stop may be called before.
func running(t testing.TB, opts edge.Options) (e *edge.Edge, stop func()) {
	t.Helper()
	opts.ListenHost = "127.0.0.1"
	opts.DialTimeout = cmp.Or(opts.DialTimeout, patience) // on a crowded machine 2 s pass before a connection is looked at
	e = edge.New(opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := e.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return e, stop
}

func freePort(t testing.TB) int {
	t.Helper()
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func backend(t testing.TB, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func route(port int, upstreams ...netip.AddrPort) berth.Route {
	return berth.Route{OrganizationID: "org-" + strconv.Itoa(port), Name: "Acme", Port: port,
		State: berth.RouteServing, Upstreams: upstreams}
}

var version atomic.Int64

func apply(t testing.TB, e *edge.Edge, routes ...berth.Route) {
	t.Helper()
	for _, err := range e.Apply(berth.RouteSet{Version: version.Add(1), Routes: routes}).Refused {
		t.Fatalf("route to port %d: %v", err.Port, err.Err)
	}
}

func url(port int, path string) string { return "http://127.0.0.1:" + strconv.Itoa(port) + path }

func client(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func get(t testing.TB, c *http.Client, port int) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url(port, "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func says(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
}

func TestAPortThatSomeoneElseHasIsReportedAndTriedAgain(t *testing.T) {
	t.Parallel()
	up := backend(t, says("hello"))
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken, good := other.Addr().(*net.TCPAddr).Port, freePort(t)
	e, _ := running(t, edge.Options{})

	refused := e.Apply(berth.RouteSet{Version: 1, Routes: []berth.Route{route(taken, up), route(good, up)}}).Refused
	if len(refused) != 1 || refused[0].Port != taken {
		t.Fatalf("refused %v, want port %d", refused, taken)
	}
	var be *berth.Error
	if !errors.As(refused[0].Err, &be) || be.Code != berth.CodePortTaken ||
		!strings.Contains(be.Message, strconv.Itoa(taken)) || be.Hint == "" {
		t.Errorf("error %#v does not name port and way out", refused[0].Err)
	}
	if _, body := get(t, client(t), good); body != "hello" {
		t.Errorf("the other route says %q", body)
	}
	other.Close()
	if refused := e.Apply(berth.RouteSet{Version: 2, Routes: []berth.Route{route(taken, up), route(good, up)}}).Refused; refused != nil {
		t.Fatalf("after it was freed: %v", refused)
	}
	if _, body := get(t, client(t), taken); body != "hello" {
		t.Errorf("the route says %q", body)
	}
}

func TestAStaleRouteSetChangesNothing(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	e.Apply(berth.RouteSet{Version: 5, Routes: []berth.Route{route(port, backend(t, says("five")))}})
	for _, v := range []int64{5, 4} {
		e.Apply(berth.RouteSet{Version: v})
		if _, body := get(t, client(t), port); body != "five" {
			t.Errorf("after version %d: %q", v, body)
		}
	}
}

func TestARemovedRouteFreesItsPort(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, backend(t, says("x"))))
	if e.PortFree(port) {
		t.Error("the edge's own port counts as free")
	}
	apply(t, e)
	if !e.PortFree(port) {
		t.Error("the port is not free after its route has gone")
	}
}

func TestAPortInUseOnAnyAddressIsNotFree(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		for _, edgeHost := range []string{"127.0.0.1", "0.0.0.0"} {
			port := freePort(t) // one that the kernel gives, it may give to anybody again
			l, err := net.Listen("tcp4", fmt.Sprint(host, ":", port))
			if err != nil {
				t.Fatal(err)
			}
			e := edge.New(edge.Options{ListenHost: edgeHost})
			if e.PortFree(port) {
				t.Errorf("edge on %s: a listener on %s was not seen", edgeHost, host)
			}
			l.Close()
			if !e.PortFree(port) {
				t.Errorf("edge on %s: port not free after close", edgeHost)
			}
		}
	}
	if edge.New(edge.Options{}).PortFree(70000) {
		t.Error("port 70000 counts as free")
	}
}

func TestAPortThatChangesHandsDoesNotKeepConnections(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	a := route(port, backend(t, says("a")))
	apply(t, e, a)
	raw := dial(t, port)
	io.WriteString(raw, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, body := read(t, raw); res.StatusCode != 200 || body != "a" {
		t.Fatalf("%d %q", res.StatusCode, body)
	}
	b := route(port, backend(t, says("b")))
	b.OrganizationID = "another"
	apply(t, e, b)
	io.WriteString(raw, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if rest, _ := io.ReadAll(raw); strings.HasSuffix(string(rest), "b") {
		t.Error("the old tenant's connection led to the new tenant")
	}
	if _, body := get(t, client(t), port); body != "b" {
		t.Errorf("new connection: %q", body)
	}
}

func TestTenantsThatDoNotRunAreAnswered(t *testing.T) {
	t.Parallel()
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(freePort(t)))
	for _, c := range []struct {
		name   string
		state  berth.RouteState
		ups    []netip.AddrPort
		status int
		code   string
		retry  string
	}{
		{"starting, refused", berth.RouteStarting, []netip.AddrPort{dead, dead}, 503, "tenant_starting", "1"},
		{"starting, nothing there", berth.RouteStarting, nil, 503, "tenant_starting", "1"},
		{"serving, refused", berth.RouteServing, []netip.AddrPort{dead}, 502, "upstream_unreachable", ""},
		{"stopped", berth.RouteStopped, nil, 503, "tenant_stopped", "30"},
		{"dies mid-request", berth.RouteServing, []netip.AddrPort{backend(t, func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		})}, 502, "upstream_failed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := freePort(t)
			e, _ := running(t, edge.Options{})
			r := route(port, c.ups...)
			r.State = c.state
			apply(t, e, r)
			res, body := get(t, client(t), port)
			var p struct {
				Type, Title, Detail, Error, Code, Hint string
				Status                                 int
				Success                                *bool
			}
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%v in %q", err, body)
			}
			if res.StatusCode != c.status || p.Status != c.status || p.Code != c.code || res.Header.Get("Retry-After") != c.retry {
				t.Errorf("%d %s Retry-After %q", res.StatusCode, p.Code, res.Header.Get("Retry-After"))
			}
			if res.Header.Get("Content-Type") != "application/problem+json" || p.Type == "" || p.Title == "" ||
				p.Hint == "" || p.Success == nil || *p.Success || p.Error != p.Detail || !strings.Contains(p.Detail, "Acme") {
				t.Errorf("body %s", body)
			}
			if strings.Contains(body, "127.0.0.1") || strings.Contains(body, r.OrganizationID) {
				t.Errorf("the body tells too much: %s", body)
			}
		})
	}
}
