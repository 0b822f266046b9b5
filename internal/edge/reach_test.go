package edge_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

// hint answers with a line of header: early, in the answer and in its trailer.
func hint(line string) func(c net.Conn) {
	name, _, _ := strings.Cut(line, ":")
	return func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n"+line+"\r\n\r\nHTTP/1.1 200 OK\r\n"+line+"\r\nTrailer: "+name+
			"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"+line+"\r\n\r\n")
	}
}

// reaching is what a tenant may say that a browser heeds for its whole host, and
// what of it passes.
var reaching = []struct {
	name, value string
	plain, tls  string // what passes, over TLS and otherwise; "": nothing
}{
	{"Clear-Site-Data", `"cookies"`, "", ""},
	{"Clear-Site-Data", `"*"`, `"cache", "storage", "executionContexts"`, `"cache", "storage", "executionContexts"`},
	{"Clear-Site-Data", `"cache",  "cookies","storage"`, `"cache", "storage"`, `"cache", "storage"`},
	{"Clear-Site-Data", `"storage"`, `"storage"`, `"storage"`},
	{"Strict-Transport-Security", "max-age=31536000; includeSubDomains", "", "max-age=31536000; includeSubDomains"},
	{"NEL", `{"report_to":"a","max_age":1,"include_subdomains":true}`, "", ""},
	{"NEL", `{"report_to":"a","max_age":1,"include\u005fsubdomains":true}`, "", ""},
	{"NEL", `{"report_to":"a","max_age":1}`, `{"report_to":"a","max_age":1}`, `{"report_to":"a","max_age":1}`},
	{"Report-To", `{"group":"a","max_age":1,"include_subdomains":true,"endpoints":[]}`, "", ""},
	{"Set-Cookie", "__Host-berth-session=x; Secure; Path=/", "", ""},
	{"Set-Cookie", "mine=x; Domain=example.com", "mine=x; Domain=example.com", "mine=x; Domain=example.com"},
	{"Alt-Svc", `h3=":443"`, `h3=":443"`, `h3=":443"`},
	{"Service-Worker-Allowed", "/", "/", "/"},
}

func TestWhatATenantSaysActsOnItsOwnPortOnly(t *testing.T) {
	t.Parallel()
	for _, c := range reaching {
		port := freePort(t)
		e, _ := running(t, edge.Options{TrustedProxies: loopback()})
		apply(t, e, route(port, hostile(t, hint(c.name+": "+c.value))))
		for proto, want := range map[string]string{"http": c.plain, "https": c.tls} {
			conn := dial(t, port)
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: "+proto+"\r\n\r\n")
			r := bufio.NewReader(conn)
			for _, status := range []int{103, 200} {
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := res.Header[http.CanonicalHeaderKey(c.name)]; res.StatusCode != status || strings.Join(got, "\n") != want {
					t.Errorf("%s: %s, over %s, status %d: %q passes", c.name, c.value, proto, res.StatusCode, got)
				}
				if status != 200 {
					continue
				}
				_, _ = io.Copy(io.Discard, res.Body)
				if got := res.Trailer[http.CanonicalHeaderKey(c.name)]; want == "" && got != nil || strings.ContainsAny(strings.Join(got, ""), "*") || strings.Contains(strings.Join(got, ""), "cookies") {
					t.Errorf("%s: %s, over %s: %q passes at the end", c.name, c.value, proto, got)
				}
			}
			conn.Close()
		}
	}
}

// Nobody but a trusted proxy says that a request came over TLS.
func TestAClientCanNotHaveTheHostSwitchedToTLS(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	e, _ := running(t, edge.Options{})
	apply(t, e, route(port, hostile(t, hint("Strict-Transport-Security: max-age=1"))))
	c := dial(t, port)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n")
	r := bufio.NewReader(c)
	for range 2 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header["Strict-Transport-Security"]; got != nil {
			t.Errorf("%d: %q passes", res.StatusCode, got)
		}
	}
}
