package health_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t testing.TB, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// raw answers the first connection with what write writes.
func raw(t *testing.T, write func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			write(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.Context().Err() == nil {
		io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		<-tick.C
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	chunk := make([]byte, 1<<20)
	for range 4096 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}
}

func TestEveryKindOfAnswerHasItsStatusAndCause(t *testing.T) {
	const short, long = 100 * time.Millisecond, 20 * time.Second
	for _, c := range []struct {
		name    string
		addr    netip.AddrPort
		timeout time.Duration
		status  berth.ProbeStatus
		http    int
		cause   string
	}{
		{"well", server(t, status(200)), long, berth.ProbeHealthy, 200, ""},
		{"no content", server(t, status(204)), long, berth.ProbeHealthy, 204, ""},
		{"gigabytes", server(t, endless), long, berth.ProbeHealthy, 200, ""},
		{"sick", server(t, status(500)), long, berth.ProbeUnhealthy, 500, "answered 500 Internal Server Error"},
		{"no such path", server(t, status(404)), long, berth.ProbeUnhealthy, 404, "answered 404 Not Found"},
		{"redirect", server(t, status(302)), long, berth.ProbeUnhealthy, 302, "answered 302 Found, a redirect, which a probe does not follow"},
		{"hangs before headers", server(t, hang), short, berth.ProbeTimeout, 0, "no answer within 100ms"},
		{"drips", server(t, drip), short, berth.ProbeTimeout, 200, "the answer did not end within 100ms"},
		{"closes", raw(t, func(net.Conn) {}), long, berth.ProbeUnhealthy, 0, "the connection was closed without an answer"},
		{"breaks off", raw(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") }), long,
			berth.ProbeUnhealthy, 200, "the connection broke off within the answer"},
		{"another protocol", raw(t, func(c net.Conn) { io.WriteString(c, "+PONG\r\n\r\n") }), long,
			berth.ProbeUnhealthy, 0, "no valid HTTP answer: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := health.NewProber().Probe(t.Context(), c.addr, berth.HealthCheck{Path: "/api/health", Timeout: c.timeout})
			if got.Status != c.status || got.HTTPStatus != c.http || !strings.HasPrefix(got.Cause, c.cause) || (c.cause == "") != (got.Cause == "") {
				t.Errorf("%s, HTTP %d, cause %q", got.Status, got.HTTPStatus, got.Cause)
			}
			if got.Type != "http" || got.Endpoint != "/api/health" || got.ResponseTime <= 0 {
				t.Errorf("%+v", got)
			}
			if got.CheckedAt.Location() != time.UTC || got.CheckedAt != got.CheckedAt.Truncate(time.Microsecond) {
				t.Errorf("checked at %v", got.CheckedAt)
			}
		})
	}
}

func TestAClosedPortIsUnhealthy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	got := health.NewProber().Probe(t.Context(), addr, berth.HealthCheck{Path: "/", Timeout: 20 * time.Second})
	if got.Status != berth.ProbeUnhealthy || got.Cause != "connection refused: nothing listens on the port" {
		t.Errorf("%s %q", got.Status, got.Cause)
	}
}

func TestACancelledProbeIsNotATimeout(t *testing.T) {
	arrived := make(chan struct{})
	addr := server(t, func(w http.ResponseWriter, r *http.Request) { close(arrived); hang(w, r) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	got := health.NewProber().Probe(ctx, addr, berth.HealthCheck{Path: "/", Timeout: time.Hour})
	if got.Status != berth.ProbeUnhealthy || got.Cause != "cancelled" {
		t.Errorf("%s %q", got.Status, got.Cause)
	}
}

func TestEveryProbeIsANewRequestOfItsOwn(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var connections atomic.Int32
	var request string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		request = r.Method + " " + r.RequestURI + " " + r.UserAgent()
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	addr := netip.MustParseAddrPort(srv.Listener.Addr().String())
	p := health.NewProber()
	for range 3 {
		p.Probe(t.Context(), addr, berth.HealthCheck{Path: "/health?deep=1", Timeout: 20 * time.Second})
	}
	if connections.Load() != 3 || request != "GET /health?deep=1 berth-health/1" {
		t.Errorf("%d connections, last request %q", connections.Load(), request)
	}
}
