package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/netguard"
)

// A request whose body never comes must not keep a place of the listener, least
// of all one of nobody known; nor must one whose answers nobody takes.
func TestNobodyKnownHoldsAConnectionForLong(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]string{
		"a body that never comes":   "GET /api/me HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
		"answers that nobody takes": strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", 200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			raw, err := net.Listen("tcp", "127.0.0.1:0")
			w.must(err)
			b := &netguard.Bounded{Listener: raw, All: 8, Stall: time.Second}
			srv := &http.Server{Handler: w.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ConnState: b.State}
			go func() { _ = srv.Serve(b) }()
			t.Cleanup(func() { srv.Close() })
			for range 8 {
				c, err := net.Dial("tcp", raw.Addr().String())
				w.must(err)
				t.Cleanup(func() { c.Close() })
				fmt.Fprint(c, ask)
			}
			for end := time.Now().Add(15 * time.Second); ; <-time.After(200 * time.Millisecond) {
				c, err := net.Dial("tcp", raw.Addr().String())
				w.must(err)
				fmt.Fprint(c, "GET /api/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				answer, _ := io.ReadAll(c)
				c.Close()
				if strings.Contains(string(answer), "200 OK") {
					return
				}
				if time.Now().After(end) {
					t.Fatal("the API is shut")
				}
			}
		})
	}
}
