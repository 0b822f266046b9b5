package health_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
)

const patient = 20 * time.Second

func TestACheckSaysWhatIsAskedAndWhatCountsAsWell(t *testing.T) {
	var seen string
	addr := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = fmt.Sprintf("%s %s host=%s key=%s agent=%s body=%d", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Key"), r.UserAgent(), len(body))
		w.WriteHeader(401)
	})
	own := addr.String()
	for _, c := range []struct {
		check berth.HealthCheck
		seen  string
		well  bool
	}{
		{berth.HealthCheck{Path: "/up"}, "GET /up host=" + own + " key= agent=berth-health/1 body=0", false},
		{berth.HealthCheck{Path: "/up", StatusMin: 401, StatusMax: 401}, "GET /up host=" + own + " key= agent=berth-health/1 body=0", true},
		{berth.HealthCheck{Path: "/up", StatusMin: 401}, "GET /up host=" + own + " key= agent=berth-health/1 body=0", true},
		{berth.HealthCheck{Path: "/", Method: "HEAD", StatusMax: 499}, "HEAD / host=" + own + " key= agent=berth-health/1 body=0", true},
		{berth.HealthCheck{Path: "/", Method: "POST", StatusMax: 399}, "POST / host=" + own + " key= agent=berth-health/1 body=0", false},
		{berth.HealthCheck{Path: "/", Method: "OPTIONS", Headers: map[string]string{"host": "app.example.com", "X-Key": "v 1", "User-Agent": "me"}},
			"OPTIONS / host=app.example.com key=v 1 agent=me body=0", false},
	} {
		c.check.Timeout = patient
		got := health.NewProber().Probe(t.Context(), addr, c.check)
		if seen != c.seen || got.HTTPStatus != 401 || (got.Status == berth.ProbeHealthy) != c.well || (got.Cause == "") != c.well {
			t.Errorf("%+v: server saw %q, probe %+v", c.check, seen, got)
		}
	}
}

func TestAProbeSendsNothingThatWouldEndItsLine(t *testing.T) {
	var asked atomic.Int32
	addr := server(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, check := range []berth.HealthCheck{
		{Path: "/a b"}, {Path: "/\r\nX: 1"}, {Path: "/", Method: "GET\n"},
		{Path: "/", Headers: map[string]string{"X": "a\r\nY: b"}}, {Path: "/", Headers: map[string]string{"X:": "a"}},
		{Path: "/", Headers: map[string]string{"": "a"}}, {Path: "/", Headers: map[string]string{"content-length": "9"}},
		{Path: "/", Headers: map[string]string{"X": "ä"}}, {Path: "/", Kind: "engine"}, {Path: "/", Kind: "carrier pigeon"},
	} {
		check.Timeout = patient
		got := health.NewProber().Probe(t.Context(), addr, check)
		if got.Status != berth.ProbeUnhealthy || !strings.HasPrefix(got.Cause, "the check is not valid: ") || got.Answered() {
			t.Errorf("%+v: %+v", check, got)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("%d requests arrived", asked.Load())
	}
}

func TestARedirectIsCountedButNotFollowed(t *testing.T) {
	var led atomic.Int32
	trap := server(t, func(http.ResponseWriter, *http.Request) { led.Add(1) })
	addr := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+trap.String()+"/", http.StatusTemporaryRedirect)
	})
	check := berth.HealthCheck{Path: "/", Timeout: patient, StatusMin: 200, StatusMax: 399}
	if got := health.NewProber().Probe(t.Context(), addr, check); got.Status != berth.ProbeHealthy || got.HTTPStatus != 307 {
		t.Errorf("%+v", got)
	}
	check.StatusMax = 0
	if got := health.NewProber().Probe(t.Context(), addr, check); got.Status != berth.ProbeUnhealthy {
		t.Errorf("%+v", got)
	}
	if led.Load() != 0 {
		t.Errorf("the probe was led elsewhere %d times", led.Load())
	}
}

func TestAProbeGoesOnlyToTheAddressItWasGiven(t *testing.T) {
	var led atomic.Int32
	trap := server(t, func(http.ResponseWriter, *http.Request) { led.Add(1) })
	t.Setenv("http_proxy", "http://"+trap.String())
	t.Setenv("ALL_PROXY", "http://"+trap.String())
	var asked string
	addr := server(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.RequestURI })
	for _, check := range []berth.HealthCheck{
		{Path: "/", Headers: map[string]string{"Host": trap.String()}},
		{Path: "@" + trap.String() + "/"}, {Path: "//" + trap.String() + "/"}, {Path: "http://" + trap.String() + "/"},
	} {
		check.Timeout, asked = patient, ""
		if got := health.NewProber().Probe(t.Context(), addr, check); got.Status != berth.ProbeHealthy || asked == "" {
			t.Errorf("%+v: %+v", check, got)
		}
	}
	if led.Load() != 0 {
		t.Errorf("%d requests went elsewhere", led.Load())
	}
}

func TestWhatAnAnswerCostsIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		write  func(net.Conn)
		status berth.ProbeStatus
		http   int
		cause  string
	}{
		"headers without end": {func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, berth.ProbeUnhealthy, 0, "the answer's headers are larger than 64 KiB"},
		"one header without end": {func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			for {
				if _, err := io.WriteString(c, strings.Repeat("y", 1000)); err != nil {
					return
				}
			}
		}, berth.ProbeUnhealthy, 0, "the answer's headers are larger than 64 KiB"},
		"interim answers without end": {func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		}, berth.ProbeUnhealthy, 0, "only interim answers came"},
		"one interim answer": {func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
		}, berth.ProbeHealthy, 204, ""},
		"chunks of a byte without end": {func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := io.WriteString(c, strings.Repeat("1\r\nx\r\n", 100)); err != nil {
					return
				}
			}
		}, berth.ProbeHealthy, 200, ""},
		"an old server": {func(c net.Conn) { io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nwell") }, berth.ProbeHealthy, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := health.NewProber().Probe(t.Context(), raw(t, c.write), berth.HealthCheck{Path: "/", Timeout: patient})
			if got.Status != c.status || got.HTTPStatus != c.http || got.Cause != c.cause || !got.Answered() {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestOnlyWhoSendsNothingGivesNoSignOfLife(t *testing.T) {
	const short = 100 * time.Millisecond
	for name, c := range map[string]struct {
		addr     netip.AddrPort
		answered bool
	}{
		"hangs":            {server(t, hang), false},
		"sick":             {server(t, status(503)), true},
		"drips":            {server(t, drip), true},
		"another protocol": {raw(t, func(c net.Conn) { io.WriteString(c, "+PONG\r\n\r\n") }), true},
		"closes":           {raw(t, func(net.Conn) {}), false},
		"well":             {server(t, status(200)), true},
	} {
		if got := health.NewProber().Probe(t.Context(), c.addr, berth.HealthCheck{Path: "/", Timeout: short}); got.Answered() != c.answered {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestATCPProbeOnlyConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	check := berth.HealthCheck{Kind: berth.ProbeTCP, Timeout: patient}
	got := health.NewProber().Probe(t.Context(), addr, check)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sent, _ := io.ReadAll(c)
	c.Close()
	l.Close()
	if got.Status != berth.ProbeHealthy || got.Type != "tcp" || got.Endpoint != addr.String() || got.HTTPStatus != 0 || len(sent) != 0 || !got.Answered() {
		t.Errorf("%+v, %d bytes", got, len(sent))
	}
	got = health.NewProber().Probe(t.Context(), addr, check)
	if got.Status != berth.ProbeUnhealthy || got.Cause != "connection refused: nothing listens on the port" || got.Answered() {
		t.Errorf("%+v", got)
	}
}

func TestTheEnginesOwnCheckIsJudgedWithoutADial(t *testing.T) {
	at := time.Date(2026, 2, 28, 12, 0, 0, 123456789, time.UTC)
	for state, c := range map[berth.InstanceHealth]struct {
		ok, answered bool
		status       berth.ProbeStatus
		cause        string
	}{
		berth.InstanceHealthy:   {true, true, berth.ProbeHealthy, ""},
		berth.InstanceUnhealthy: {true, false, berth.ProbeUnhealthy, "the engine's health check fails"},
		berth.InstanceUnchecked: {true, true, berth.ProbeUnhealthy, "the container has no health check that the engine runs"},
		berth.InstanceStarting:  {false, false, "", ""},
	} {
		got, ok := berth.HealthCheck{Kind: berth.ProbeEngine}.Ask(berth.Instance{Name: "web", Health: state}, at, nil)
		if ok != c.ok || got.Status != c.status || got.Cause != c.cause || got.Answered() != c.answered {
			t.Errorf("%q: %+v, %v", state, got, ok)
		}
		if ok && (got.Type != "engine" || got.Endpoint != "web" || got.CheckedAt != at.Truncate(time.Microsecond)) {
			t.Errorf("%q: %+v", state, got)
		}
	}
}
