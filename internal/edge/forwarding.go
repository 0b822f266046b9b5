package edge

import (
	"bytes"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"
)

// meaning is what a header says about where a request comes from.
type meaning int

const (
	plain     meaning = iota // nothing: it passes untouched
	forwarded                // which way the request came, or as whom: a trusted proxy's passes
	address                  // the client's address: a trusted proxy's is replaced by what we found it to be
	forbidden                // nothing that a proxy has a reason to send: dropped
)

// headers tells the meaning of each header. docs/edge.md has the table with the
// reasons.
type headers struct {
	names    map[string]meaning
	prefixes []string // of names that mean forwarded
}

func newHeaders() *headers {
	h := &headers{names: make(map[string]meaning), prefixes: forwardedPrefixes()}
	for _, name := range forwardedNames() {
		h.names[name] = forwarded
	}
	for _, name := range addressNames() {
		h.names[name] = address
	}
	h.names["proxy"] = forbidden // CGI makes the variable HTTP_PROXY of it
	return h
}

// forwardedPrefixes belong to proxies: no program gives its own headers such names.
func forwardedPrefixes() []string {
	return []string{
		"x-forwarded", "x-forwarder-", "x-forwarding-", "x-auth-request-", "x-authenticated-", "x-remote-extra-", "x-envoy-", "x-goog-authenticated-user-", "x-ms-client-principal",
		"x-amzn-oidc-", "x-amzn-mtls-", "x-appengine-", "cf-access-", "cloudfront-viewer-", "x-vercel-ip-", "wl-proxy-", "tailscale-user-", "x-authentik-", "x-pomerium-", "x-consumer-", "x-webauth-", "x-ssl-client-", "ssl-client-", "x-client-cert", "x-tls-client-",
	}
}

func forwardedNames() []string {
	return []string{
		// Which way it came: host, protocol, path, and who handed it on.
		"forwarded", "forwarded-for", "forwarded-host", "forwarded-proto", "front-end-https", "x-url-scheme", "x-scheme", "x-host",
		"x-original-host", "x-original-proto", "x-original-scheme", "x-original-url", "x-original-uri", "x-original-method",
		"x-original-forwarded-for", "x-rewrite-url", "x-http-host-override", "x-proxy-host", "cf-visitor", "cloudfront-forwarded-proto",
		"x-arr-ssl", "x-https", "x-forward-for", "x-forward-proto", "fastly-ssl", "fastly-ff", "cf-ipcountry", "cf-worker", "ssl-offloaded", "x-azure-fdid",
		// As whom: what a proxy that signs people in says of them.
		"remote-user", "remote-groups", "remote-name", "remote-email", "x-remote-user", "x-vouch-user", "x-anonymous-consumer", "x-credential-identifier", "x-remote-group", "x-remote-groups", "x-remote-name", "x-remote-email", "x-goog-iap-jwt-assertion",
		"x-endpoint-api-userinfo", "x-apigateway-api-userinfo", "x-jwt-assertion", "proxy-remote-user",
		"x-token-subject", "x-user-dn", "client-cert", "client-cert-chain", "x-arr-clientcert", "x-ssl-cert",
		"x-client-verify", "x-client-verified", "x-client-dn", "x-client-s-dn",
	}
}

func addressNames() []string {
	return []string{
		"x-real-ip", "x-client-ip", "x-clientip", "client-ip", "true-client-ip", "x-true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6",
		"cf-pseudo-ipv4", "fastly-client-ip", "x-cluster-client-ip", "cluster-client-ip", "x-azure-clientip", "x-azure-socketip",
		"x-proxyuser-ip", "wl-proxy-client-ip", "proxy-client-ip", "x-vercel-forwarded-for", "x-akamai-client-ip", "x-lb-client-ip", "x-peer-ip", "x-original-for", "x-original-ip", "x-original-remote-addr",
		"x-originating-ip", "x-remote-ip", "x-remote-addr", "remote-addr", "x-real-client-ip", "real-ip", "x-nf-client-connection-ip",
		"fly-client-ip", "do-connecting-ip", "x-vercel-ip", "akamai-client-ip", "x-coming-from", "x-source-ip", "x-host-ip",
		"cloudfront-viewer-address", "incap-client-ip", "x-sucuri-clientip", "ali-cdn-real-ip", "cdn-src-ip", "x-cdn-src-ip", "cdn-real-ip", "remote-host", "eo-connecting-ip",
	}
}

// foldedMost is longer than any name in the tables.
const foldedMost = 64

// of is what a header means. A gateway interface turns both "-" and "_" into
// "_", some (lighttpd's) whatever is neither letter nor digit, so that any such
// spelling would be believed; odd tells a name that is not spelled as a proxy
// would.
func (h *headers) of(name string) (m meaning, odd bool) {
	var buf [foldedMost]byte
	n := min(len(name), foldedMost)
	for i := range n {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c != '-' && (c < '0' || '9' < c) && (c < 'a' || 'z' < c):
			c, odd = '-', true
		}
		buf[i] = c
	}
	folded := buf[:n]
	if rest, ok := bytes.CutPrefix(folded, []byte("http-")); ok { // as the variable is called, which some programs ask for as a header
		folded, odd = rest, true
	}
	if len(name) <= foldedMost {
		if m, ok := h.names[string(folded)]; ok { // no allocation
			return m, odd
		}
	}
	for _, p := range h.prefixes {
		if len(folded) >= len(p) && string(folded[:len(p)]) == p {
			return forwarded, odd
		}
	}
	return plain, odd
}

// atEnd reports whether a trailer may pass. Some programs take one for a
// header: it must not name another host either, nor a cookie.
func (h *headers) atEnd(name string) bool {
	folded := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	m, _ := h.of(name)
	return m == plain && folded != "host" && folded != "cookie" && !strings.HasSuffix(folded, "-host")
}

// trusts reports whether the operator vouches for a proxy.
func (o *Options) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// hop is a station of a request: its text in a header, and its address where
// that can be read.
type hop struct {
	text string
	addr netip.Addr
}

// walk returns the hops that can be believed, the client first: going back from
// the peer, each was named by a proxy that is trusted. What is before the client
// may be made up.
func (o *Options) walk(peer netip.Addr, hops []hop) []hop {
	addr := peer
	i := len(hops)
	for i > 0 && o.trusts(addr) {
		if addr = hops[i-1].addr; !addr.IsValid() {
			break
		}
		i--
	}
	return hops[i:]
}

// way is what is known of where a request comes from.
type way struct {
	peer      netip.Addr
	trusted   bool // the peer is a trusted proxy
	client    netip.Addr
	addresses []hop // of X-Forwarded-For, that can be believed
	elements  []hop // of Forwarded, that can be believed
}

func (o *Options) way(r *http.Request, peer netip.Addr) way {
	w := way{peer: peer, client: peer, trusted: o.trusts(peer)}
	if !w.trusted {
		return w
	}
	w.addresses = o.walk(peer, addresses(r.Header["X-Forwarded-For"]))
	w.elements = o.walk(peer, elements(r.Header["Forwarded"]))
	switch {
	case len(w.addresses) > 0:
		w.client = w.addresses[0].addr
	case len(w.elements) > 0 && len(r.Header["X-Forwarded-For"]) == 0:
		w.client = w.elements[0].addr
		for _, e := range w.elements {
			w.addresses = append(w.addresses, hop{e.addr.String(), e.addr})
		}
	}
	return w
}

// addresses are the hops in an X-Forwarded-For header.
func addresses(values []string) (list []hop) {
	for _, v := range values {
		for text := range strings.SplitSeq(v, ",") {
			text = strings.TrimSpace(text)
			list = append(list, hop{text, addressIn(text)})
		}
	}
	return list
}

// elements are the hops in a Forwarded header (RFC 7239).
func elements(values []string) (list []hop) {
	for _, v := range values {
		for _, text := range splitOutside(v, ',') {
			h := hop{text: strings.TrimSpace(text)}
			for _, pair := range splitOutside(text, ';') {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				if strings.EqualFold(name, "for") {
					h.addr = addressIn(strings.Trim(value, `"`))
				}
			}
			list = append(list, h)
		}
	}
	return list
}

// splitOutside splits at sep where that is outside of quotation marks.
func splitOutside(s string, sep byte) (parts []string) {
	quoted, from := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// addressIn reads an address with or without a port; it is not valid where
// there is none.
func addressIn(text string) netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return a.Unmap().WithZone("")
	}
	ap, _ := netip.ParseAddrPort(text)
	return ap.Addr().Unmap().WithZone("")
}

// setForwarding makes the headers that say where a request comes from. What a
// client claims about itself never gets through. What a trusted proxy says is
// cut to what can be believed, and the proxy itself is appended.
func (h *headers) setForwarding(pr *httputil.ProxyRequest, w way) {
	out := pr.Out.Header
	for name, values := range out {
		m, odd := h.of(name)
		switch {
		case m == plain:
		case m == forbidden, odd, !w.trusted:
			delete(out, name)
		case m == address:
			values[0] = w.client.String() // out is the request's own copy
			out[name] = values[:1]
		}
	}
	hops := make([]byte, 0, 48)
	for _, a := range w.addresses {
		hops = append(a.addr.AppendTo(hops), ", "...)
	}
	out["X-Forwarded-For"] = []string{string(w.peer.AppendTo(hops))}
	if w.trusted {
		appendForwarded(pr, w)
	}
	said := func(name string) []string { // net/http has taken these out
		if v := pr.In.Header[name]; w.trusted && len(v) == 1 && v[0] != "" {
			return v
		}
		return nil
	}
	if out["X-Forwarded-Host"] = said("X-Forwarded-Host"); out["X-Forwarded-Host"] == nil {
		out["X-Forwarded-Host"] = []string{pr.In.Host}
	}
	if out["X-Forwarded-Proto"] = said("X-Forwarded-Proto"); out["X-Forwarded-Proto"] == nil {
		out["X-Forwarded-Proto"] = []string{"http"}
	}
}

// appendForwarded hands a Forwarded header on, if there was one.
func appendForwarded(pr *httputil.ProxyRequest, w way) {
	if len(pr.In.Header["Forwarded"]) == 0 {
		return
	}
	var list []string
	for _, e := range w.elements {
		list = append(list, e.text)
	}
	node := w.peer.String()
	if w.peer.Is6() {
		node = `"[` + node + `]"`
	}
	pr.Out.Header["Forwarded"] = []string{strings.Join(append(list, "for="+node), ", ")}
}
