package edge_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

// A client learns from "Connection: close" that an answer was the last on its
// connection. Where the close crosses a request, the client gets no byte of an
// answer, and the tenant never saw the request: it may be sent again.
func TestAClientThatGoesOnThroughADrainLosesNoRequest(t *testing.T) {
	t.Parallel()
	const clients, rounds = 32, 5
	var crossed, told int
	for range rounds {
		var seen sync.Map // ids of requests that got to the tenant
		up := backend(t, func(w http.ResponseWriter, r *http.Request) {
			seen.Store(r.URL.Path, true)
			io.WriteString(w, r.URL.Path)
		})
		port := freePort(t)
		e, stop := running(t, edge.Options{})
		apply(t, e, route(port, up))
		conns := make([]net.Conn, clients)
		for i := range conns {
			conns[i] = dial(t, port)
		}
		var served, closed, lost atomic.Int64
		var workers sync.WaitGroup
		for i, c := range conns {
			workers.Go(func() {
				for in, n := bufio.NewReader(c), 0; ; n++ {
					path := fmt.Sprintf("/%d/%d", i, n)
					last, err := ask(c, in, path)
					if errors.Is(err, errUnanswered) {
						lost.Add(1)
						if _, ok := seen.Load(path); ok {
							t.Errorf("%s reached the tenant and was not answered", path)
						}
						return
					}
					if err != nil {
						t.Errorf("%s: %v", path, err)
						return
					}
					served.Add(1)
					if last {
						closed.Add(1)
						return
					}
				}
			})
		}
		until(t, "all clients are served", func() bool { return served.Load() > 20*clients })
		stop()
		workers.Wait()
		crossed, told = crossed+int(lost.Load()), told+int(closed.Load())
	}
	t.Logf("%d told by the last answer, %d crossed the close", told, crossed)
	if told == 0 {
		t.Error("no client was told by its last answer")
	}
}

var errUnanswered = errors.New("closed before the first byte of an answer")

func ask(c net.Conn, in *bufio.Reader, path string) (last bool, err error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
		return false, errUnanswered
	}
	if _, err := in.Peek(1); err != nil {
		return false, errUnanswered
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(body) != path) {
		err = fmt.Errorf("%d %q", res.StatusCode, body)
	}
	return res.Close, err
}

func TestAnAnswerThatBeginsInADrainIsTheLast(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	up := backend(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	port := freePort(t)
	e, stop := running(t, edge.Options{DrainDeadline: patience})
	apply(t, e, route(port, up))
	c := dial(t, port)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	done := make(chan struct{})
	go func() { defer close(done); stop() }()
	until(t, "the edge drains", func() bool {
		return e.Apply(set(0, berth.Route{Port: port})).Refused != nil // a stale set, refused only once the edge has closed
	})
	close(release)
	if res, _ := read(t, c); !res.Close {
		t.Error("the client was not told that its connection ends")
	}
	<-done
}
