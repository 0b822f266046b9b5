package berth

import "strings"

// Cookies of the API. A browser takes one with such a name over TLS only (or
// from its own machine), for the whole host, and lets no other host set it. Ports
// make no difference to a browser: what the edge brings to a tenant on the same
// host holds them too, so it takes them out.
const (
	SessionCookie = "__Host-berth-session"
	SignInCookie  = "__Host-berth-signin"
	ProofCookie   = "__Host-berth-proof"
)

// IsOwnCookie reports whether a cookie's name is one of the API's, in any
// spelling that a browser, or a program that reads cookies carelessly, could
// take for it: without the prefix, with another one, or in another case.
func IsOwnCookie(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"__host-http-", "__host-", "__secure-", "__http-"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name = rest
			break
		}
	}
	return name == "berth-session" || name == "berth-signin" || name == "berth-proof"
}
