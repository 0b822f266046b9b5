package edge_test

import (
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

func TestHeadersThatAGatewayFoldsAreDropped(t *testing.T) {
	t.Parallel()
	r := asked(t, edge.Options{}, "GET / HTTP/1.1\r\nHost: a\r\nX!Forwarded!For: 1.2.3.4\r\nX~Real~IP: 1.2.3.4\r\nRemote*User: root\r\nRemote-Groups: admins\r\nX-Authentik-Username: root\r\n\r\n")
	for name := range r.Header {
		if strings.ContainsAny(name, "!~*") || strings.HasPrefix(name, "Remote") || strings.HasPrefix(name, "X-Auth") {
			t.Errorf("%s passes", name)
		}
	}
}

// A tunnel of HTTP/2 would bring a tenant requests that nobody looked at.
func TestNoUpgradeToAnotherHTTPPasses(t *testing.T) {
	t.Parallel()
	for _, upgrade := range []string{"h2c", "H2C", "x, h2c", "HTTP/2.0"} {
		r := asked(t, edge.Options{}, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "+upgrade+"\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
		if r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
			t.Errorf("%s: %v", upgrade, r.Header)
		}
	}
}
