package edge_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func TestAnAnswerWithoutALookAtTheBodyAsksForNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  berth.RouteState
		status string
	}{
		"of the edge's own":  {berth.RouteStopped, "HTTP/1.1 503"},
		"of a busy tenant's": {berth.RouteServing, "HTTP/1.1 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			e, _ := running(t, edge.Options{})
			apply(t, e, stateOf(port, backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }), c.state))
			conn := dial(t, port)
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			got, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(got), c.status) || strings.Contains(string(got), "100 Continue") {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

func TestABodyThatIsExpectedIsAskedForOnce(t *testing.T) {
	t.Parallel()
	port := serving(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	conn := dial(t, port)
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(conn, head); err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 100") {
		t.Fatalf("%q %v", head, err)
	}
	io.WriteString(conn, "hello")
	if got, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(got), "hello") || strings.Contains(string(got), "100 Continue") {
		t.Errorf("%q %v", got, err)
	}
}

// A connection goes on where the body of a request that got an answer of the
// edge's own was sent all the same.
func TestAConnectionOutlivesARequestWhoseBodyNobodyWanted(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, stateOf(port, backend(t, says("ok")), berth.RouteStopped))
	conn := dial(t, port)
	for range 3 {
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		if res, _ := read(t, conn); res.StatusCode != 503 {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
}

// Where there are too few descriptors for all ports, those that are open work.
func TestPortsLeaveDescriptorsToConnections(t *testing.T) {
	t.Parallel()
	up := backend(t, says("ok"))
	e, _ := running(t, edge.Options{Descriptors: 12})
	var routes []berth.Route
	for range 8 {
		routes = append(routes, route(freePort(t), up))
	}
	refused := e.Apply(set(1, routes...)).Refused
	var first *berth.Error
	if len(refused) != 2 || !errors.As(refused[0].Err, &first) || !strings.Contains(first.Hint, "ulimit -n") {
		t.Fatalf("refused: %v", refused)
	}
	if !answered(t, "127.0.0.1", routes[0].Port) {
		t.Error("an open port does not answer")
	}
}
