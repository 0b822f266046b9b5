package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

func anyPort(t *testing.T) int {
	t.Helper()
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// awaitConn waits until the listener has a connection.
func awaitConn(t *testing.T, l *listener) {
	t.Helper()
	came := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.conns) > 0
	}
	for deadline := time.Now().Add(20 * time.Second); !came(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has no connection", l.org)
		}
	}
}

// A listener's accept loop may end just after it was closed, and its port may
// be the next tenant's by then.
func TestAListenerThatIsClosedOrAboutToBeDoesNotPark(t *testing.T) {
	port := anyPort(t)
	e := New(Options{ListenHost: "127.0.0.1"})
	put := func(version int64, org string) *listener {
		t.Helper()
		report := e.Apply(berth.RouteSet{Version: version, Routes: []berth.Route{{OrganizationID: org, Port: port, State: berth.RouteStopped}}})
		if report.Refused != nil {
			t.Fatal(report.Refused[0].Err)
		}
		return e.byOrg[org]
	}
	closed := put(1, "a")
	next := put(2, "b")
	if closed.park() {
		t.Error("a closed listener parks")
	}
	c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	awaitConn(t, next)
	next.accepting.mu.Lock()
	next.accepting.until = time.Now()
	next.accepting.mu.Unlock()
	if next.park() {
		t.Error("a listener parks while its backlog is emptied")
	}
	c.Close()
	e.remove(next)
	e.leaving.Wait()
	e.poller.close()
}

// alone is a listener that got no poller: the kernel made none when it was opened.
func alone(t *testing.T, e *Edge) (l *listener, addr string) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return newListener(e, berth.Route{OrganizationID: "alone"}, raw.(*net.TCPListener), nil), raw.Addr().String()
}

func TestAListenerThatHasNoPollerWaitsWithoutEnd(t *testing.T) {
	l, addr := alone(t, New(Options{ParkAfter: time.Nanosecond}))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	came, err := (&counted{Listener: l.raw, listener: l}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	came.Close()
}

// The race detector sees what this is about.
func TestAPollerThatIsMadeLaterIsNothingToAListenerThatWaitsByItself(t *testing.T) {
	e := New(Options{ListenHost: "127.0.0.1", ParkAfter: time.Microsecond})
	l, addr := alone(t, e)
	l.serve()
	port := anyPort(t)
	report := e.Apply(berth.RouteSet{Version: 1, Routes: []berth.Route{{OrganizationID: "a", Port: port, State: berth.RouteStopped}}})
	if report.Refused != nil {
		t.Fatal(report.Refused[0].Err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	awaitConn(t, l)
	c.Close()
	l.close()
	<-l.accepting.ended
	e.remove(e.byOrg["a"])
	e.leaving.Wait()
	e.poller.close()
}

type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left--; f.left < 0 {
		return nil, net.ErrClosed
	}
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ENOMEM)}
}

func TestAnErrorOfTheKernelDoesNotEndAPortsAcceptLoop(t *testing.T) {
	var told strings.Builder
	l := newListener(New(Options{Log: slog.New(slog.NewTextHandler(&told, nil))}), berth.Route{OrganizationID: "org-a", Port: 3001}, nil, nil)
	fails := &failing{left: 3}
	err := l.server.Serve(&counted{Listener: fails, listener: l})
	if fails.left >= 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends by %v, with %d errors to come", err, fails.left)
	}
	if n := strings.Count(told.String(), "tenant=org-a port=3001"); n != 3 {
		t.Errorf("told %d times of the tenant: %s", n, told.String())
	}
}
