package edge_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
)

func TestAnIdleListenerCostsLittle(t *testing.T) {
	const routes, most = 200, 4 << 10
	e, _ := running(t, edge.Options{})
	up := netip.MustParseAddrPort("127.0.0.1:9")
	var list []berth.Route
	for range routes {
		list = append(list, route(freePort(t), up))
	}
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	e.Apply(set(1, list...))
	each := int64(used()-before) / routes
	t.Logf("%d bytes per idle listener", each)
	if each > most {
		t.Errorf("%d bytes per idle listener, want at most %d", each, most)
	}
}

func TestPortsThatNobodyConnectsToHaveNoGoroutines(t *testing.T) {
	const routes = 100
	up := backend(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }) // or it would be kept for a while
	e, _ := running(t, edge.Options{ParkAfter: 20 * time.Millisecond})
	var list []berth.Route
	for range routes {
		list = append(list, route(freePort(t), up))
	}
	before := runtime.NumGoroutine()
	few := func() bool { return runtime.NumGoroutine() <= before+5 }
	apply(t, e, list...)
	if !few() {
		t.Errorf("%d ports have %d goroutines", routes, runtime.NumGoroutine()-before)
	}
	for range 3 { // from the second time on, a port is woken that was parked again
		for _, r := range list {
			if !answered(t, "127.0.0.1", r.Port) {
				t.Fatalf("port %d does not answer", r.Port)
			}
		}
		until(t, "nobody accepts where nobody connects", few)
	}
}

// Whoever connects just when the accept loop ends is answered too.
func TestAPortIsOpenWhetherItsAcceptLoopEndsOrNot(t *testing.T) {
	t.Parallel()
	up := backend(t, says("ok"))
	e, _ := running(t, edge.Options{ParkAfter: time.Millisecond})
	r := route(freePort(t), up)
	apply(t, e, r)
	for n := range 300 {
		if !answered(t, "127.0.0.1", r.Port) {
			t.Fatalf("connection %d is not answered", n)
		}
		<-time.After(rand.N(2 * time.Millisecond))
	}
}

// A listener may be closed while it is woken, while it parks, and while its port
// is opened for the next tenant.
func TestAPortThatChangesHandsWhileClientsConnectLeadsToItsTenantOnly(t *testing.T) {
	t.Parallel()
	for name, parkAfter := range map[string]time.Duration{"at once": time.Microsecond, "soon": time.Millisecond, "never": time.Minute} {
		t.Run("parked "+name, func(t *testing.T) {
			t.Parallel()
			e, _ := running(t, edge.Options{ParkAfter: parkAfter})
			port := freePort(t)
			var tenants []berth.Route
			for n := range 2 {
				r := route(port, backend(t, says(fmt.Sprintf("tenant %d", n))))
				r.OrganizationID = fmt.Sprintf("org-%d-%d", port, n)
				tenants = append(tenants, r)
			}
			var over atomic.Bool
			var others sync.WaitGroup
			defer others.Wait()
			defer over.Store(true)
			for range 2 {
				others.Go(func() { // whatever they get, they get in the way
					for !over.Load() {
						if c, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", port), patience); err == nil {
							io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
							_, _ = io.Copy(io.Discard, c)
							c.Close()
						}
					}
				})
			}
			for n := range 100 {
				apply(t, e, tenants[n%2])
				if got, want := askOnce(t, "127.0.0.1", port, "/"), fmt.Sprintf("tenant %d", n%2); got != want {
					t.Fatalf("change %d: %q, want %q", n, got, want)
				}
			}
		})
	}
}
