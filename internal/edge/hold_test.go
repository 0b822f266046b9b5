package edge_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func holding(r berth.Route) berth.Route {
	r.State, r.Upstreams = berth.RouteHolding, nil
	return r
}

// left is how many requests are left elsewhere after a short wait.
func left(t *testing.T, e *edge.Edge, r berth.Route, wait time.Duration) int {
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return e.Drain(ctx, r.OrganizationID)
}

func TestHeldRequestsReachWhatComesNext(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	r := holding(route(port))
	apply(t, e, r)
	const requests = 50
	bodies := make(chan string, requests)
	var clients sync.WaitGroup
	c := client(t)
	for range requests {
		clients.Go(func() {
			res, err := c.Post(url(port, "/"), "text/plain", strings.NewReader("a body that is kept"))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 {
				t.Errorf("%d %v", res.StatusCode, err)
			}
			bodies <- string(b)
		})
	}
	until(t, "all of them wait", func() bool { return e.Traffic()[r.OrganizationID].Held == requests })
	apply(t, e, route(port, backend(t, func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) })))
	clients.Wait()
	for range requests {
		if b := <-bodies; b != "a body that is kept" {
			t.Errorf("body %q", b)
		}
	}
}

func TestARequestIsNotHeldLongerThanTheDeadline(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{HoldDeadline: 20 * time.Millisecond})
	apply(t, e, holding(route(port)))
	res, body := get(t, client(t), port)
	if res.StatusCode != 503 || !strings.Contains(body, "tenant_starting") || res.Header.Get("Retry-After") != "2" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestTheEndOfTheEdgeHoldsNobody(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, stop := running(t, edge.Options{})
	r := holding(route(port))
	apply(t, e, r)
	conn := dial(t, port)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	until(t, "the request is in", func() bool { return e.Traffic()[r.OrganizationID].Held == 1 })
	ends(t, "Run", stop)
	if res, _ := read(t, conn); res.StatusCode != 503 {
		t.Errorf("answered %d", res.StatusCode)
	}
}

// A request that came before its upstream was stopped, and finds it so, is as
// good as one that came after.
func TestARequestThatMeetsAStoppedUpstreamWaitsWithTheOthers(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	gone := backend(t, says("gone"))
	r := route(port, gone)
	apply(t, e, r)
	apply(t, e, holding(r))
	held := func() bool { return e.Traffic()[r.OrganizationID].Held == 1 }
	answered := make(chan string, 1)
	go func() {
		_, body := get(t, client(t), port)
		answered <- body
	}()
	until(t, "the request waits", held)
	apply(t, e, route(port, backend(t, says("new"))))
	if body := <-answered; body != "new" {
		t.Errorf("got %q", body)
	}
}

func TestADrainWaitsForWhatIsUnderWayElsewhereAndForNothingElse(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	var in sync.WaitGroup
	in.Add(2)
	release := make(chan struct{})
	slow := func(w http.ResponseWriter, _ *http.Request) {
		in.Done()
		<-release
		_, _ = io.WriteString(w, "late")
	}
	old, next := route(port, backend(t, slow)), route(port, backend(t, slow))
	bodies := make(chan string, 2)
	ask := func() {
		_, body := get(t, client(t), port)
		bodies <- body
	}
	apply(t, e, old)
	go ask()
	until(t, "the first request is with the old upstream", func() bool { return e.Traffic()[old.OrganizationID].UnderWay == 1 })
	if n := left(t, e, old, patience); n != 0 {
		t.Fatalf("%d left while the route still leads there", n)
	}
	apply(t, e, next)
	go ask()
	until(t, "the second request is with the new one", func() bool { return e.Traffic()[old.OrganizationID].UnderWay == 2 })
	if n := left(t, e, old, time.Millisecond); n != 1 {
		t.Fatalf("%d left, want the first request alone", n)
	}
	drained := make(chan int, 1)
	go func() { drained <- left(t, e, old, patience) }()
	close(release)
	if n := <-drained; n != 0 {
		t.Errorf("%d left after the end", n)
	}
	for range 2 {
		if b := <-bodies; b != "late" {
			t.Errorf("body %q", b)
		}
	}
	in.Wait()
}

func TestAnUpgradedConnectionIsUnderWayUntilItIsClosed(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	r := route(port, backend(t, func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, switches)
		_, _ = io.Copy(c, rw)
	}))
	apply(t, e, r)
	conn := dial(t, port)
	io.WriteString(conn, upgrade)
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	apply(t, e, holding(r))
	if n := left(t, e, r, patience); n != 0 {
		t.Fatalf("%d left: everybody waits for a connection that may last for ever", n)
	}
	apply(t, e, route(port, backend(t, says("new"))))
	if n := left(t, e, r, time.Millisecond); n != 1 {
		t.Fatalf("%d left, want the upgraded connection", n)
	}
	conn.Close()
	if n := left(t, e, r, patience); n != 0 {
		t.Errorf("%d left after it was closed", n)
	}
}

func TestRequestsErrorsAndTimeAreCounted(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	status := 200
	r := route(port, backend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	apply(t, e, r)
	c := client(t)
	for _, status = range []int{200, 404, 500, 503} {
		get(t, c, port)
	}
	stopped := r
	stopped.State = berth.RouteStopped
	apply(t, e, stopped)
	get(t, c, port)
	until(t, "all are counted", func() bool { return e.Traffic()[r.OrganizationID].Requests == 5 })
	if n := e.Traffic()[r.OrganizationID]; n.Errors != 3 || n.Time <= 0 || n.UnderWay != 0 {
		t.Errorf("counted %+v", n)
	}
}
