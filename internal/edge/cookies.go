package edge

import (
	"net/http"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
)

// dropOwnCookies takes the API's cookies out of a request's header. A tenant
// must not see them: a browser sends them to every port of the host. Values
// without one pass byte for byte.
func dropOwnCookies(h http.Header) {
	values, ok := h["Cookie"]
	if !ok {
		return
	}
	kept := values[:0:0] // another array: the request that came in keeps its own
	for _, v := range values {
		if v = withoutOwn(v); v != "" {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// withoutOwn returns a value of a Cookie header without the API's cookies. A
// quotation mark holds nothing together: a tenant's own cookie may hold a lone
// one. Neither does a comma, by which some proxies join several headers to one.
func withoutOwn(value string) string {
	isOwn := func(part string) bool { return berth.IsOwnCookie(cookieName(part)) }
	hasOwn := func(pair string) bool {
		for part := range strings.SplitSeq(pair, ",") {
			if isOwn(part) {
				return true
			}
		}
		return false
	}
	pairs := strings.Split(value, ";")
	if !slices.ContainsFunc(pairs, hasOwn) {
		return value
	}
	kept := pairs[:0]
	for _, pair := range pairs {
		if hasOwn(pair) {
			if pair = strings.Join(slices.DeleteFunc(strings.Split(pair, ","), isOwn), ","); pair == "" {
				continue
			}
		}
		kept = append(kept, pair)
	}
	return strings.TrimSpace(strings.Join(kept, ";"))
}

// dropSetCookies takes the API's cookies out of an answer's header or trailer,
// where names begin with prefix: a tenant must not sign anybody in or out.
func dropSetCookies(h http.Header, prefix string) {
	key := prefix + "Set-Cookie"
	values, ok := h[key]
	if !ok {
		return
	}
	kept := values[:0:0]
	for _, v := range values {
		pair, _, _ := strings.Cut(v, ";")
		if !berth.IsOwnCookie(cookieName(pair)) {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		delete(h, key)
		return
	}
	h[key] = kept
}

// cookieName is the name of "name=value". A pair without a name counts as what
// its value begins with, since that is how a browser would send it back:
// "=a=b" becomes "a=b", and "a" stays "a".
func cookieName(pair string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(pair, "= \t"), "=")
	return strings.TrimSpace(name)
}
