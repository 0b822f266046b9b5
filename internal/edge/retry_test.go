package edge_test

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

// Fault 32: an upstream that dies in mid-request may have done what it was
// asked. Nobody asks again but the client, on a new connection or one that
// served before.
func TestARequestThatMayHaveHadItsEffectIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			var dies atomic.Bool
			var effects atomic.Int32
			act := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				effects.Add(1)
				if dies.Load() {
					panic(http.ErrAbortHandler)
				}
			}
			port := freePort(t)
			e, _ := running(t, edge.Options{})
			apply(t, e, route(port, []netip.AddrPort{backend(t, act), backend(t, act)}...))
			cli := client(t)
			ask := func() int {
				req, err := http.NewRequestWithContext(t.Context(), method, url(port, "/"), strings.NewReader("order"))
				if err != nil {
					t.Fatal(err)
				}
				res, err := cli.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Fatal(err)
				}
				return res.StatusCode
			}
			for range 4 { // both upstreams have connections that can be used again
				if got := ask(); got != http.StatusOK {
					t.Fatalf("answered %d", got)
				}
			}
			dies.Store(true)
			effects.Store(0)
			for n := int32(1); n <= 6; n++ {
				if got := ask(); got != http.StatusBadGateway || effects.Load() != n {
					t.Errorf("request %d: answered %d, had its effect %d times", n, got, effects.Load())
				}
			}
		})
	}
}
