package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func TestNoRequestFailsWhileUpstreamsMove(t *testing.T) {
	t.Parallel()
	port, other := freePort(t), freePort(t)
	e, _ := running(t, edge.Options{})
	start := func() *httptest.Server { return httptest.NewServer(says("ok")) }
	addr := func(s *httptest.Server) netip.AddrPort {
		return netip.MustParseAddrPort(s.Listener.Addr().String())
	}
	first := start()
	t.Cleanup(first.Close)
	apply(t, e, route(port, addr(first)))

	const requests = 4000
	var left, failed atomic.Int64
	left.Store(requests)
	c := client(t)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				res, err := c.Post(url(port, "/"), "text/plain", http.NoBody)
				if err != nil {
					failed.Add(1)
					t.Log(err)
					continue
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 || string(b) != "ok" {
					failed.Add(1)
					t.Log(res.StatusCode, string(b), err)
				}
			}
		})
	}
	for swaps := 0; left.Load() > 0; swaps++ {
		// The old upstream stays until the end: requests are on their way to it.
		now := start()
		t.Cleanup(now.Close)
		routes := []berth.Route{route(port, addr(now))}
		if swaps%2 == 0 {
			routes = append(routes, route(other, addr(now)))
		}
		for _, err := range e.Apply(set(version.Add(1), routes...)).Refused {
			if err.Port == port { // other may be anyone's while it is closed
				t.Error(err.Err)
			}
		}
		for next := left.Load() - 10; left.Load() > max(next, 0); { // or the machine would do nothing but swap
			<-time.After(100 * time.Microsecond)
		}
	}
	workers.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d of %d requests failed", n, requests)
	}
}

func TestAcceptedRequestsAreFinishedBeforeTheEdgeEnds(t *testing.T) {
	t.Parallel()
	const clients = 200
	var arrived sync.WaitGroup
	arrived.Add(clients)
	release := make(chan struct{})
	up := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		<-release
		io.WriteString(w, "done")
	})
	port := freePort(t)
	e, stop := running(t, edge.Options{DrainDeadline: patience})
	apply(t, e, route(port, up))
	answers := make(chan string, clients)
	for range clients {
		go func() {
			res, err := client(t).Get(url(port, "/"))
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			answers <- fmt.Sprint(res.StatusCode, string(b), err)
		}()
	}
	arrived.Wait()
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	until(t, "the port is closed", func() bool {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Error("the edge ended before its requests")
	default:
	}
	close(release)
	for range clients {
		if a := <-answers; a != "200done<nil>" {
			t.Fatalf("answer %q", a)
		}
	}
	<-stopped
	if errs := e.Apply(set(99, route(port, up))).Refused; len(errs) != 1 {
		t.Errorf("Apply after the end: %v", errs)
	}
}

func TestConnectionsInTheBacklogAreServedByADrain(t *testing.T) {
	t.Parallel()
	const rounds = 20
	up := backend(t, says("ok"))
	for n := range rounds {
		port := freePort(t)
		// Some have an accept loop when the drain begins, and some have none.
		e, stop := running(t, edge.Options{ParkAfter: []time.Duration{time.Minute, time.Microsecond}[n%2]})
		apply(t, e, route(port, up))
		conns := make([]net.Conn, 30)
		for i := range conns {
			conns[i] = dial(t, port)
			fmt.Fprintf(conns[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		stop()
		for i, c := range conns {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("connection %d: %v %v", i, res, err)
			}
			res.Body.Close()
		}
	}
}

func TestTheDrainDeadlineCutsOffWhatNeverEnds(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	arrived := make(chan struct{}, 2)
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			arrived <- struct{}{}
			io.Copy(io.Discard, c)
			return
		}
		arrived <- struct{}{}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	port := freePort(t)
	e, stop := running(t, edge.Options{DrainDeadline: 50 * time.Millisecond})
	apply(t, e, route(port, up))
	a, b := dial(t, port), dial(t, port)
	io.WriteString(a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	io.WriteString(b, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	<-arrived
	<-arrived
	stop()
	if got, _ := io.ReadAll(a); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
