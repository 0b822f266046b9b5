package serve

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// sharedHost is the host name under which browsers reach both the API and
// tenants, "" if there is none that is known of. Browsers keep cookies by host
// name and not by port: what one sets, the other is sent.
func (c Config) sharedHost() string {
	host, _, _ := net.SplitHostPort(c.Listen) // was parsed before
	if u, err := url.Parse(c.SignIn.PublicURL); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	tenants := plainHost(c.PublicHost)
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		return tenants // the API has every name of this machine
	}
	if host = plainHost(host); host == tenants || isLoopback(host) && isLoopback(tenants) {
		return tenants
	}
	return ""
}

func plainHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
