package edge_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

// A program that is about to be stopped waits for connections that are open.
func TestNothingIsConnectedToWhatWasDrained(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(open) }
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if open[c] = true; state == http.StateClosed {
			delete(open, c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	r := route(port, netip.MustParseAddrPort(s.Listener.Addr().String()))
	apply(t, e, r)
	var clients sync.WaitGroup
	for range 8 {
		cli := client(t)
		clients.Go(func() {
			res, err := cli.Get(url(port, "/"))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		})
	}
	clients.Wait()
	if count() == 0 {
		t.Fatal("nothing was connected")
	}
	r.State, r.Upstreams = berth.RouteHolding, nil
	apply(t, e, r)
	if left := e.Drain(t.Context(), r.OrganizationID); left != 0 {
		t.Fatalf("%d requests are left", left)
	}
	for deadline := time.Now().Add(2 * time.Second); count() > 0; { // an idle connection is closed after 4 s anyhow
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", count())
		}
		<-time.After(5 * time.Millisecond)
	}
}
