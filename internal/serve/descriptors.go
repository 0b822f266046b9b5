package serve

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/netguard"
)

// descriptors is how the files and connections that this process may have open
// are shared, so that nothing that others cause takes what the rest needs.
type descriptors struct {
	own      int // database, engine, files, notifications
	api      int // connections of the API
	streams  int // of the API's, those that stream; each may have one of the engine's besides
	followed int // instances whose logs are followed
	tenants  int // what is left: ports, connections of clients and of the edge to instances
}

const (
	// fewestDescriptors is what a Berth needs at least; 4,096 and more are better.
	fewestDescriptors = 512
	// mostAPI is how many connections the API takes, however many descriptors
	// there are.
	mostAPI = 4096
)

// share divides the number of descriptors; what is left is the tenants'. Berth's
// own are never fewer than the loop's lanes (100) and the probes (64) take at once;
// each order that waits in the engine, for a grace period or a pull, holds one more.
func share(limit int) descriptors {
	d := descriptors{own: min(max(limit/8, 192), 4096), api: min(limit/8, mostAPI), followed: min(limit/32, 500)}
	d.streams = min(limit/32, d.api/4, 400)
	d.tenants = limit - d.own - d.api - d.streams - d.followed
	return d
}

// descriptorLimit is how many descriptors this process may have: the Go runtime
// raised it as far as it may.
func descriptorLimit() (int, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, berth.Errorf(berth.CodeInternal, "the number of open files can't be read: %w", err).WithHint("this is a fault of Berth; please report it")
	}
	if l.Cur < fewestDescriptors {
		return 0, berth.Errorf(berth.CodeInvalidRequest, "Berth may have %d files open, and needs %d", l.Cur, fewestDescriptors).
			WithHint("raise the limit (LimitNOFILE= in the unit, ulimit -n in a shell); 65536 is a good one")
	}
	return int(min(l.Cur, 1<<30)), nil
}

// underWay is what the API takes at once.
func (d descriptors) underWay() api.UnderWay {
	u := api.DefaultUnderWay()
	u.Requests.All = d.api * 3 / 4 // the rest can still be told so
	u.Streams.All = d.streams
	for _, s := range []*api.Share{&u.Requests, &u.Streams} {
		s.Organization = min(s.Organization, max(s.All/4, 1))
		s.Actor = min(s.Actor, s.Organization)
	}
	return u
}

// bounded keeps the API's connections within their share. What comes by a proxy,
// or from this machine, where one may run, is not known to be one source.
func (d descriptors) bounded(s *server, srv *http.Server, l net.Listener) net.Listener {
	b := &netguard.Bounded{
		Listener: l, All: d.api, Source: max(d.api/8, 16), Stall: time.Minute, Log: s.log,
		Exempt: func(src netip.Addr) bool {
			if src.IsLoopback() {
				return true
			}
			for _, p := range s.signIn.proxies {
				if p.Contains(src) {
					return true
				}
			}
			return false
		},
	}
	srv.ConnState = b.State
	return b
}
