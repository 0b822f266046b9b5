package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/testbed"
)

// Nobody knows where a body ends whose framing is broken: what follows must not be
// taken for a request, which a proxy in front would not have seen.
func TestWhatFollowsABrokenBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen <- r.URL.Path
		w.handler.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	for name, body := range testbed.BrokenBodies() {
		for path, key := range map[string]string{"/api/tenants/x/start": "", "/api/tenants/x/stop": "Idempotency-Key: k\r\n", "/api/tokens": "", "/api/nothing": "", "/api/me": ""} {
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			w.must(err)
			w.must(c.SetDeadline(time.Now().Add(30 * time.Second)))
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n%sTransfer-Encoding: chunked\r\n\r\n%s", path, w.token, key, body)
			fmt.Fprintf(c, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			answer, _ := io.ReadAll(c) // until the server closes
			c.Close()
			if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 || !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
				t.Errorf("%s, %s: %d answers: %s", name, path, n, answer)
			}
		}
	}
	close(seen)
	for path := range seen {
		if path == "/smuggled" {
			t.Error("what followed was taken for a request")
		}
	}
}
