package edge_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

func TestOnlyDeclaredTrailersThatClaimNothingPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, declared string }{
		{"claims are declared", "X-Sum, X-Forwarded-For, X_Real_Ip, Host"},
		{"claims come undeclared", "X-Sum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := make(chan http.Header, 1)
			up := backend(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				seen <- r.Trailer
			})
			port := freePort(t)
			e, _ := running(t, edge.Options{})
			apply(t, e, route(port, up))
			conn := dial(t, port)
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: "+c.declared+"\r\n\r\n"+
				"2\r\nup\r\n0\r\nX-Sum: seven\r\nX-Forwarded-For: evil\r\nX_Real_Ip: evil\r\nHost: evil\r\nForwarded: evil\r\n\r\n")
			if res, _ := read(t, conn); res.StatusCode != 200 {
				t.Fatalf("status %d", res.StatusCode)
			}
			got := <-seen
			if got.Get("X-Sum") != "seven" {
				t.Errorf("the tenant's own trailer is lost: %v", got)
			}
			delete(got, "X-Sum")
			if len(got) > 0 {
				t.Errorf("got through: %v", got)
			}
		})
	}
}
