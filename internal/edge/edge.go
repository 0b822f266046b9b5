// Package edge takes requests on tenants' external ports and brings them to
// their containers.
package edge

import (
	"context"
	"log"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

// Options is everything that can be decided about an Edge. The zero value of a
// field stands for its default.
type Options struct {
	ListenHost string       // address that ports are opened on; default "0.0.0.0"
	Pool       netip.Prefix // Berth's own address pool, default berth.DefaultPool(); no source inside it gets to another tenant
	Log        *slog.Logger // default: discards

	// TrustedProxies are believed when they say where a request comes from.
	TrustedProxies []netip.Prefix

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
	opts     Options
	buffers  *bufferPool
	headers  *headers
	errorLog *log.Logger // of net/http, at debug: clients cause most of what it says

	subnets subnets // of tenants

	mu            sync.Mutex // held while listeners open and close
	byPort        map[int]*listener
	byOrg         map[string]*listener
	term, version int64                       // in force
	refused       map[string]berth.RouteError // by organization id
	closed        bool

	leaving sync.WaitGroup // listeners of removed routes, until they are drained
	ending  chan struct{}  // closed when Run ends: nothing is held any more
}

// New returns an edge without routes. Whoever calls Apply must also call Run,
// which is what closes everything.
func New(opts Options) *Edge {
	opts = opts.withDefaults()
	e := &Edge{
		opts:     opts,
		buffers:  newBufferPool(),
		headers:  newHeaders(),
		errorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
		byPort:   make(map[int]*listener),
		byOrg:    make(map[string]*listener),
		refused:  make(map[string]berth.RouteError),
		subnets:  subnets{routes: make(map[netip.Prefix]int)},
		ending:   make(chan struct{}),
	}
	return e
}

// Run lives until ctx ends, then drains: no connection is taken any more, and
// requests that were accepted are finished, up to Options.DrainDeadline. Apply
// may be called before and during Run; afterwards it refuses every route.
func (e *Edge) Run(ctx context.Context) error {
	<-ctx.Done()

	e.mu.Lock()
	e.closed = true
	open := e.byPort
	e.byPort, e.byOrg = nil, nil
	close(e.ending)
	e.mu.Unlock()

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.opts.DrainDeadline)
	defer cancel()
	var closing sync.WaitGroup
	for _, l := range open {
		closing.Go(func() {
			l.closeAfterBacklog()
			l.drain(deadline)
		})
	}
	closing.Wait()
	e.leaving.Wait()
	return nil
}

// Drain returns once no request is under way to an upstream that the tenant's
// route in force does not lead to, or when ctx ends. It returns how many are
// left. Upgraded connections count until they are closed.
func (e *Edge) Drain(ctx context.Context, organizationID string) (left int) {
	e.mu.Lock()
	l := e.byOrg[organizationID]
	e.mu.Unlock()
	if l == nil {
		return 0
	}
	if left = l.awaitMoved(ctx); left == 0 {
		// A server that ends waits for connections on which it was never
		// asked anything, Go's for 5 s.
		l.transport.CloseIdleConnections()
	}
	return left
}

// Traffic is what was counted of each tenant that has a route, since its port
// was opened.
func (e *Edge) Traffic() map[string]berth.Traffic {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[string]berth.Traffic, len(e.byOrg))
	for org, l := range e.byOrg {
		all[org] = l.traffic()
	}
	return all
}
