package edge

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/unite-hub/berth"
)

// PortFree reports whether port can be given to a tenant: no route of this
// edge has it, and nothing else on the host listens on it, on whatever address
// ListenHost covers.
func (e *Edge) PortFree(port int) bool {
	e.mu.Lock() // or the trial would get in the way of an Apply
	defer e.mu.Unlock()
	if e.byPort[port] != nil || port < 1 || port > 65535 {
		return false
	}
	if !e.canBind(port, e.opts.ListenHost) {
		return false
	}
	// An IPv4 wildcard does not collide with a listener on [::1], which would
	// yet take what is sent to localhost.
	ip, err := netip.ParseAddr(e.opts.ListenHost)
	return err != nil || !ip.IsUnspecified() || e.canBind(port, "")
}

func (e *Edge) canBind(port int, host string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func (e *Edge) listen(port int) (*net.TCPListener, error) {
	network := "tcp"
	if ip, err := netip.ParseAddr(e.opts.ListenHost); err == nil && ip.Is4() {
		network = "tcp4"
	}
	l, err := net.Listen(network, net.JoinHostPort(e.opts.ListenHost, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func portError(r berth.Route, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return berth.Errorf(berth.CodePortTaken, "Port %d is in use by another program on this host: %w", r.Port, err).
			WithHint("stop what listens on port %d (ss -ltnp 'sport = :%d' names it); Berth then opens it by itself", r.Port, r.Port).
			WithOp("open port", r.OrganizationID)
	}
	return berth.Errorf(berth.CodePortTaken, "Port %d could not be opened: %w", r.Port, err).
		WithHint("check that Berth may listen on port %d and has descriptors left (ulimit -n); it tries again by itself", r.Port).
		WithOp("open port", r.OrganizationID)
}
