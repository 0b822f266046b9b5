// Package edge takes requests on tenants' external ports and brings them to
// their containers.
package edge

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/unite-hub/berth"
)

// Options is everything that can be decided about an Edge. The zero value of a
// field stands for its default.
type Options struct {
	ListenHost string       // address that ports are opened on; default "0.0.0.0"
	Pool       netip.Prefix // Berth's own address pool, default berth.DefaultPool(); no source inside it gets to another tenant
	Log        *slog.Logger // default: discards

	HeaderTimeout  time.Duration // from a request's first byte to the end of its headers; default 10 s
	IdleTimeout    time.Duration // of a client's connection between two requests; default 75 s
	MaxHeaderBytes int           // of a request; default 64 KiB

	// MaxConnections bounds the open client connections of one tenant; further
	// ones are closed at accept. Default 1024: a tenant that is flooded uses
	// at most two descriptors for each and leaves the rest to others.
	MaxConnections int

	DialTimeout   time.Duration // of one upstream; default 2 s
	HoldDeadline  time.Duration // a request that is held longer is answered 503; default 30 s
	DrainDeadline time.Duration // accepted requests are cut off after that; default 10 s
}

func (o Options) withDefaults() Options {
	if o.ListenHost == "" {
		o.ListenHost = "0.0.0.0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !o.Pool.IsValid() { // or nobody would be kept out
		o.Pool = berth.DefaultPool()
	}
	orDefault(&o.HeaderTimeout, 10*time.Second)
	orDefault(&o.IdleTimeout, 75*time.Second)
	orDefault(&o.MaxHeaderBytes, 64<<10)
	orDefault(&o.MaxConnections, 1024)
	orDefault(&o.DialTimeout, 2*time.Second)
	orDefault(&o.HoldDeadline, 30*time.Second)
	orDefault(&o.DrainDeadline, 10*time.Second)
	return o
}

func orDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Edge holds one listener per route. Its methods are safe for concurrent use.
type Edge struct {
	opts      Options
	transport *http.Transport
	buffers   *bufferPool
	errorLog  *log.Logger // of net/http, at debug: clients cause most of what it says

	table atomic.Pointer[table] // read by every request

	mu      sync.Mutex // held while listeners open and close
	doors   map[int]*door
	applied bool // some set was
	refused []berth.RouteError
	closed  bool

	leaving sync.WaitGroup // doors of removed routes, until they are drained
	ending  chan struct{}  // closed when Run ends: nothing is held any more
}

// table is never changed once it is in force.
type table struct {
	version  int64
	byPort   map[int]*target
	subnets  map[netip.Prefix]bool // of tenants
	replaced chan struct{}         // closed when another one is in force
}

// New returns an edge without routes. Whoever calls Apply must also call Run,
// which is what closes everything.
func New(opts Options) *Edge {
	opts = opts.withDefaults()
	e := &Edge{
		opts:      opts,
		transport: newTransport(opts),
		buffers:   newBufferPool(),
		errorLog:  slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
		doors:     make(map[int]*door),
		ending:    make(chan struct{}),
	}
	e.table.Store(&table{replaced: make(chan struct{})})
	return e
}

// Run lives until ctx ends, then drains: no connection is taken any more, and
// requests that were accepted are finished, up to Options.DrainDeadline. Apply
// may be called before and during Run; afterwards it refuses every route.
func (e *Edge) Run(ctx context.Context) error {
	<-ctx.Done()

	e.mu.Lock()
	e.closed = true
	open := e.doors
	e.doors = nil
	close(e.ending)
	e.mu.Unlock()

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.opts.DrainDeadline)
	defer cancel()
	var closing sync.WaitGroup
	for _, d := range open {
		closing.Go(func() {
			d.closeAfterBacklog()
			d.drain(deadline)
		})
	}
	closing.Wait()
	e.leaving.Wait()
	e.transport.CloseIdleConnections()
	return nil
}

// Apply puts a route set in force and returns once it is. New ports are bound
// before the table is swapped and served after it, so that a connection finds
// either the old table or the new one, whole. It returns the routes that could
// not be put in force; the next Apply tries them again. A set whose version is
// not above the one in force changes nothing.
func (e *Edge) Apply(set berth.RouteSet) []berth.RouteError {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return refuseAll(set.Routes)
	}
	old := e.table.Load()
	if e.applied && set.Version <= old.version {
		return slices.Clone(e.refused)
	}

	next := &table{version: set.Version, byPort: make(map[int]*target, len(set.Routes)), subnets: make(map[netip.Prefix]bool, len(set.Routes)), replaced: make(chan struct{})}
	wanted := make(map[int]string, len(set.Routes)) // organization id by port
	for _, r := range set.Routes {
		if _, twice := wanted[r.Port]; !twice {
			wanted[r.Port] = r.OrganizationID
		}
		next.subnets[r.Subnet] = true
	}
	// A port that changes hands is closed before it is opened again: the old
	// tenant's connections must not lead to the new one.
	var removed []*door
	for port, d := range e.doors {
		if org, ok := wanted[port]; !ok || org != d.org {
			d.close()
			delete(e.doors, port)
			removed = append(removed, d)
		}
	}
	var opened []*door
	e.refused = nil
	for _, r := range set.Routes {
		d, fresh, err := e.door(r, next)
		if err != nil {
			e.refused = append(e.refused, berth.RouteError{OrganizationID: r.OrganizationID, Port: r.Port, Err: err})
			continue
		}
		if fresh {
			opened = append(opened, d)
		}
		if t := old.byPort[r.Port]; t != nil && t.door == d && t.route.Same(r) {
			next.byPort[r.Port] = t
			continue
		}
		next.byPort[r.Port] = newTarget(e, d, r)
	}
	e.table.Store(next)
	close(old.replaced)
	e.applied = true

	for _, d := range opened {
		d.serve()
	}
	for _, d := range removed {
		e.leaving.Go(func() {
			deadline, cancel := context.WithTimeout(context.Background(), e.opts.DrainDeadline)
			defer cancel()
			d.drain(deadline)
		})
	}
	return slices.Clone(e.refused)
}

// Drain returns once no request is under way to an upstream that the tenant's
// route in force does not lead to, or when ctx ends. It returns how many are
// left. Upgraded connections count until they are closed.
func (e *Edge) Drain(ctx context.Context, organizationID string) (left int) {
	d := e.doorOf(organizationID)
	if d == nil {
		return 0
	}
	if left = d.awaitMoved(ctx); left == 0 {
		// A server that ends waits for connections on which it was never
		// asked anything, Go's for 5 s. Other tenants' are dialled anew.
		e.transport.CloseIdleConnections()
	}
	return left
}

func (e *Edge) doorOf(organizationID string) *door {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.doors {
		if d.org == organizationID {
			return d
		}
	}
	return nil
}

// Traffic is what was counted of each tenant that has a route, since its port
// was opened.
func (e *Edge) Traffic() map[string]berth.Traffic {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[string]berth.Traffic, len(e.doors))
	for _, d := range e.doors {
		all[d.org] = d.traffic()
	}
	return all
}

// door returns the listener of a route, opening it if there is none. e.mu is held.
func (e *Edge) door(r berth.Route, next *table) (d *door, fresh bool, err error) {
	if next.byPort[r.Port] != nil {
		return nil, false, berth.Errorf(berth.CodePortTaken, "Port %d already belongs to another tenant", r.Port).
			WithHint("give this tenant another port").WithOp("open port", r.OrganizationID)
	}
	if d, ok := e.doors[r.Port]; ok {
		return d, false, nil
	}
	if r.Port < 1 || r.Port > 65535 {
		return nil, false, berth.Errorf(berth.CodeInvalidRequest, "Port %d must be between 1 and 65535", r.Port).
			WithHint("give this tenant another port").WithOp("open port", r.OrganizationID)
	}
	l, err := e.listen(r.Port)
	if err != nil {
		return nil, false, portError(r, err)
	}
	d = newDoor(e, r, l)
	e.doors[r.Port] = d
	return d, true, nil
}

// Inside reports whether an address is in a tenant's subnet, which may be of
// another pool than this process's: of an earlier one, or of another control
// plane of the same engine.
func (e *Edge) Inside(src netip.Addr) bool {
	subnet, err := src.Prefix(min(berth.SubnetBits, src.BitLen()))
	return err == nil && e.table.Load().subnets[subnet]
}

// PortFree reports whether port can be given to a tenant: no route of this
// edge has it, and nothing else on the host listens on it, on whatever address
// ListenHost covers.
func (e *Edge) PortFree(port int) bool {
	e.mu.Lock() // or the trial would get in the way of an Apply
	defer e.mu.Unlock()
	if e.doors[port] != nil || port < 1 || port > 65535 {
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

func refuseAll(routes []berth.Route) []berth.RouteError {
	list := make([]berth.RouteError, 0, len(routes))
	for _, r := range routes {
		list = append(list, berth.RouteError{OrganizationID: r.OrganizationID, Port: r.Port,
			Err: berth.Errorf(berth.CodeShuttingDown, "The edge is shutting down").
				WithHint("start Berth again").WithOp("open port", r.OrganizationID)})
	}
	return list
}
