package edge

import (
	"net/http"
	"strings"
)

// dropReaching takes out of an answer's header or trailer, where names begin with
// prefix, what would act on the whole host: a browser does not tell a tenant's
// port from the API's, nor from another tenant's, in these. docs/edge.md has the
// table with the reasons.
func (f *flow) dropReaching(h http.Header, prefix string) {
	dropSetCookies(h, prefix)
	if key := prefix + "Clear-Site-Data"; h[key] != nil {
		h[key] = clearOwn(h[key])
	}
	if !f.overTLS {
		delete(h, prefix+"Strict-Transport-Security")
	}
	for _, name := range []string{"Nel", "Report-To"} {
		key := prefix + name
		if values, ok := h[key]; ok && ofSubdomains(values) {
			delete(h, key)
		}
	}
}

// clearOwn leaves of a Clear-Site-Data header what acts on the tenant's origin
// only: cookies are cleared for a whole domain.
func clearOwn(values []string) []string {
	var kept []string
	for token := range strings.SplitSeq(strings.Join(values, ","), ",") {
		switch token = strings.TrimSpace(token); {
		case token == "" || strings.Contains(strings.ToLower(token), "cookies"):
		case strings.Contains(token, "*"):
			kept = append(kept, `"cache"`, `"storage"`, `"executionContexts"`)
		default:
			kept = append(kept, token)
		}
	}
	if kept == nil {
		return nil
	}
	return []string{strings.Join(kept, ", ")}
}

// ofSubdomains reports whether a policy, which is JSON, is for more than the
// tenant's origin, or could be: a name may be written with escapes.
func ofSubdomains(values []string) bool {
	for _, v := range values {
		if strings.Contains(v, "include_subdomains") || strings.Contains(v, `\`) {
			return true
		}
	}
	return false
}
