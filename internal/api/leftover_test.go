package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
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
			var held atomic.Int32
			srv := &http.Server{Handler: w.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
			srv.ConnState = func(c net.Conn, state http.ConnState) {
				b.State(c, state)
				if state == http.StateActive {
					held.Add(1)
				}
			}
			go func() { _ = srv.Serve(b) }()
			t.Cleanup(func() { srv.Close() })
			// Without it the kernel takes tens of megabytes for a client that reads
			// nothing, and Berth would see its answers as taken.
			small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
				_ = c.Control(func(fd uintptr) {
					err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
				})
				return err
			}}
			for range 8 {
				c, err := small.Dial("tcp", raw.Addr().String())
				w.must(err)
				t.Cleanup(func() { c.Close() })
				fmt.Fprint(c, ask)
			}
			end := time.Now().Add(time.Minute)
			for held.Load() < 8 {
				if <-time.After(10 * time.Millisecond); time.Now().After(end) {
					t.Fatalf("%d of 8 requests have begun", held.Load())
				}
			}
			for ; ; <-time.After(200 * time.Millisecond) {
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
