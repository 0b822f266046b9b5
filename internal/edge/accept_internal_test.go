package edge

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

// A listener's accept loop may end just after it was closed, and its port may
// be the next tenant's by then.
func TestAListenerThatIsClosedOrAboutToBeDoesNotPark(t *testing.T) {
	text, err := testbed.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(text, "-")
	port, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
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
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
		next.mu.Lock()
		came := len(next.conns) == 1
		next.mu.Unlock()
		if came {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the port's next tenant is not woken")
		}
	}
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
	l := newListener(New(Options{}), berth.Route{}, nil)
	fails := &failing{left: 3}
	err := l.server.Serve(&counted{Listener: fails, listener: l})
	if fails.left >= 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends by %v, with %d errors to come", err, fails.left)
	}
}
