package edge_test

import (
	"bufio"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/unite-hub/berth/internal/edge"
)

// asking returns a function that sends a raw request and returns what the
// tenant got.
func asking(t *testing.T, opts edge.Options) func(raw string) *http.Request {
	t.Helper()
	seen := make(chan *http.Request, 1)
	port := freePort(t)
	e, _ := running(t, opts)
	apply(t, e, route(port, backend(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r })))
	return func(raw string) *http.Request {
		t.Helper()
		c := dial(t, port)
		defer c.Close()
		io.WriteString(c, raw)
		if res, body := read(t, c); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		return <-seen
	}
}

func asked(t *testing.T, opts edge.Options, raw string) *http.Request {
	t.Helper()
	return asking(t, opts)(raw)
}

// family are headers by which a client or a proxy says where a request comes
// from, or as whom.
func family() []string {
	return []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server",
		"X-Forwarded-Ssl", "X-Forwarded-User", "X-Forwarded-Client-Cert", "Forwarded", "Forwarded-For", "X-Real-IP", "True-Client-IP",
		"CF-Connecting-IP", "CF-Connecting-IPv6", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Azure-ClientIP",
		"X-Azure-SocketIP", "X-ProxyUser-Ip", "WL-Proxy-Client-IP", "Proxy-Client-IP", "Proxy", "X-Original-For", "X-Original-Host",
		"X-Original-URL", "X-Original-Forwarded-For", "X-Rewrite-URL", "X-Envoy-External-Address", "X-Envoy-Internal", "X-Appengine-User-IP",
		"X-Remote-IP", "X-Remote-Addr", "X-Originating-IP", "X-Host", "X-HTTP-Host-Override", "Front-End-Https", "X-Url-Scheme",
		"Remote-User", "X-Remote-User", "X-Auth-Request-Email", "X-WebAuth-User", "X-MS-Client-Principal-Id", "X-Amzn-Oidc-Data",
		"X-Goog-Authenticated-User-Email", "Cf-Access-Jwt-Assertion", "Tailscale-User-Login", "Client-Cert", "X-SSL-Client-Verify", "X-Client-Cert",
		"HTTP-X-Forwarded-For", "HTTP-Client-IP", "HTTP-Remote-User", "X-Forward-For", "X-Vercel-Forwarded-For", "X-Vercel-IP-Country", "CF-IPCountry",
		"CloudFront-Viewer-Country", "CDN-Src-IP", "WL-Proxy-SSL", "WL-Proxy-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-TLS-Client-CN", "X-SSL-Cert",
		"X-Client-DN", "X-Client-Verify", "X-Remote-Groups", "X-Remote-Extra-Scopes", "X-Authenticated-Userid", "X-Endpoint-API-UserInfo", "X-Apigateway-Api-Userinfo",
	}
}

// ours are headers of the request that the edge, Go's client or the test made.
func ours(h http.Header) http.Header {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		h.Del(name)
	}
	return h
}

func TestNoHeaderOfAClientSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	for spelling, spell := range map[string]func(string) string{
		"as it is": func(s string) string { return s },
		"in lower": strings.ToLower,
		"in upper": strings.ToUpper,
		"odd case": func(s string) string {
			b := []byte(strings.ToLower(s))
			for i := 0; i < len(b); i += 2 {
				b[i] = strings.ToUpper(string(b[i]))[0]
			}
			return string(b)
		},
		"underscores":    func(s string) string { return strings.ReplaceAll(s, "-", "_") },
		"one underscore": func(s string) string { return strings.Replace(s, "-", "_", 1) },
		"dots":           func(s string) string { return strings.ReplaceAll(s, "-", ".") },
	} {
		for _, version := range []string{"1.1", "1.0"} {
			t.Run(spelling+" by HTTP/"+version, func(t *testing.T) {
				var b strings.Builder
				b.WriteString("GET / HTTP/" + version + "\r\nHost: shop.example\r\nConnection: close\r\n")
				for _, name := range family() {
					b.WriteString(spell(name) + ": 6.6.6.6\r\n" + spell(name) + ": evil\r\n")
				}
				got := asked(t, edge.Options{}, b.String()+"\r\n")
				if v := got.Header["X-Forwarded-For"]; !slices.Equal(v, []string{"127.0.0.1"}) {
					t.Errorf("X-Forwarded-For: %q", v)
				}
				if v := got.Header["X-Forwarded-Host"]; !slices.Equal(v, []string{"shop.example"}) {
					t.Errorf("X-Forwarded-Host: %q", v)
				}
				for name, values := range ours(got.Header) {
					t.Errorf("got through: %s: %q", name, values)
				}
			})
		}
	}
}

func TestEveryOtherHeaderPassesUntouched(t *testing.T) {
	t.Parallel()
	const kept = "Accept: */*\r\nAccept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1\r\nAccept-Language: de, en;q=0.5\r\nAuthorization: Bearer of-the-tenants-own\r\n" +
		"Cache-Control: no-cache\r\nCookie: a=1; b=\"two; parts\"\r\nIf-None-Match: W/\"x\"\r\nOrigin: https://shop.example\r\nRange: bytes=0-5\r\n" +
		"Referer: https://shop.example/a?b\r\nSec-Fetch-Mode: cors\r\nTraceparent: 00-1-2-01\r\nTracestate: a=b\r\nUser-Agent: \r\nVia: 1.1 a\r\n" +
		"X-Csrf-Token: x\r\nX-Forward: own\r\nX-Original-Filename: photo.jpg\r\nX-Own: one\r\nX-Own: two\r\nX-Request-Id: 7\r\nX-Requested-With: XMLHttpRequest\r\nX_own_name: kept\r\n"
	got := asked(t, edge.Options{}, "GET / HTTP/1.1\r\nHost: a\r\n"+kept+"\r\n")
	want, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n" + kept + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range ours(got.Header) {
		if !slices.Equal(values, want.Header[name]) {
			t.Errorf("%s: %q, want %q", name, values, want.Header[name])
		}
		delete(want.Header, name)
	}
	delete(want.Header, "User-Agent") // an empty one is as good as none
	if len(want.Header) > 0 {
		t.Errorf("lost: %v", want.Header)
	}
}

// RFC 9110, 7.6.1, and what Connection names.
func TestHeadersOfTheConnectionEndHere(t *testing.T) {
	t.Parallel()
	got := asked(t, edge.Options{}, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, X-Forwarded-For, Cookie\r\nKeep-Alive: timeout=5\r\n"+
		"X-Hop: 1\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\nUpgrade-Insecure-Requests: 1\r\nCookie: a=b\r\n\r\n")
	if v := got.Header.Get("X-Forwarded-For"); v != "127.0.0.1" {
		t.Errorf("X-Forwarded-For: %q", v)
	}
	h := ours(got.Header)
	delete(h, "Upgrade-Insecure-Requests")
	if len(h) > 0 {
		t.Errorf("got through: %v", h)
	}
}

func TestATrustedProxyIsBelievedAndAppended(t *testing.T) {
	t.Parallel()
	opts := edge.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}
	for _, c := range []struct {
		name string
		sent string
		want map[string]string
	}{
		{"nothing said", "", map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a"}},
		{"a client", "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 6.6.6.6\r\nCF-Connecting-IP: 8.8.8.8\r\n", map[string]string{
			"X-Forwarded-For": "8.8.8.8, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop", "X-Forwarded-Port": "443", "X-Real-Ip": "8.8.8.8", "Cf-Connecting-Ip": "8.8.8.8"}},
		{"what the client made up", "X-Forwarded-For: 6.6.6.6, 8.8.8.8\r\n", map[string]string{"X-Forwarded-For": "8.8.8.8, 127.0.0.1"}},
		{"made up in a header of its own", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 8.8.8.8, 192.0.2.1\r\n", map[string]string{"X-Forwarded-For": "8.8.8.8, 192.0.2.1, 127.0.0.1"}},
		{"with ports and IPv6", "X-Forwarded-For: [2001:470::1]:99, 2001:db8::5\r\n", map[string]string{"X-Forwarded-For": "2001:470::1, 2001:db8::5, 127.0.0.1"}},
		{"not an address", "X-Forwarded-For: 8.8.8.8, unknown\r\n", map[string]string{"X-Forwarded-For": "127.0.0.1"}},
		{"empty", "X-Forwarded-For: \r\n", map[string]string{"X-Forwarded-For": "127.0.0.1"}},
		{"Forwarded alone", "Forwarded: for=6.6.6.6, for=\"[2001:470::1]:47\";proto=https;by=x\r\nX-Client-IP: 6.6.6.6\r\n", map[string]string{
			"X-Forwarded-For": "2001:470::1, 127.0.0.1", "Forwarded": "for=\"[2001:470::1]:47\";proto=https;by=x, for=127.0.0.1", "X-Client-Ip": "2001:470::1"}},
		{"Forwarded with a comma in quotes", "Forwarded: for=8.8.8.8;host=\"a, for=1.1.1.1\"\r\n", map[string]string{
			"X-Forwarded-For": "8.8.8.8, 127.0.0.1", "Forwarded": "for=8.8.8.8;host=\"a, for=1.1.1.1\", for=127.0.0.1"}},
		{"who signed in", "X-Auth-Request-Email: a@b.example\r\nRemote-User: a\r\nProxy: evil\r\nX_Auth_Request_Email: evil\r\n", map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Auth-Request-Email": "a@b.example", "Remote-User": "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := asked(t, opts, "GET / HTTP/1.1\r\nHost: a\r\n"+c.sent+"\r\n").Header
			for name, want := range c.want {
				if v := strings.Join(got[name], "|"); v != want {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
				delete(got, name)
			}
			for name, values := range ours(got) {
				t.Errorf("got through: %s: %q", name, values)
			}
		})
	}
	got := asked(t, edge.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n\r\n").Header
	if got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("Forwarded") != "" {
		t.Errorf("somebody who names a trusted proxy: %v", got)
	}
}
