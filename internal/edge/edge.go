// Package edge takes requests on tenants' external ports and brings them to
// their instances.
package edge

import (
	"context"
	"log"
	"log/slog"
	"net/netip"
	"runtime/debug"
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
	StallTimeout   time.Duration // for which a client may take nothing of what is sent to it; default 60 s

	// A request's body must come at MinBodyRate bytes a second, counted over the
	// time that the tenant waits for it, after BodyGrace, and until the answer
	// begins: from then on it is a conversation. Defaults 512 and 20 s.
	MinBodyRate int
	BodyGrace   time.Duration

	// Bounds of one tenant. MaxConnections of its clients are open at a time,
	// default 4096; MaxPerClient of one address among them, default 1024, and
	// never more than are left to others. Idle ones make room for those that
	// come. MaxUpgraded of them speak another protocol; default half of
	// MaxConnections.
	MaxConnections int
	MaxPerClient   int
	MaxUpgraded    int

	// MaxPerClientInAll bounds one address at all tenants together: its
	// connections, and its requests that trusted proxies bring. Default four times
	// MaxPerClient, and never more than are left to others.
	MaxPerClientInAll int

	// Bounds of a tenant's answers: bytes of the head, and of all heads before
	// it that only inform, default 128 KiB; the time from the first byte of a
	// head to its end, default 10 s; and how many inform, default 128.
	MaxAnswerHeaderBytes int
	AnswerHeaderTimeout  time.Duration
	MaxInforming         int

	// Memory is what connections and requests under way may hold in all, in
	// bytes: default 512 MiB, and no more than an eighth of what the machine or the
	// control group has, or a quarter of GOMEMLIMIT. TenantMemory is what one tenant's may, default a
	// quarter of that, and never more than is left to the others.
	Memory, TenantMemory int64

	// Descriptors is how many of the process's are for connections and ports of
	// tenants. Default: its limit less a quarter, at least 64 and at most 1024,
	// which are left to the API, the database and the engine.
	Descriptors int64

	ParkAfter     time.Duration // a port that nobody connects to for that long has no goroutine; default 2 s
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
	orDefault(&o.StallTimeout, time.Minute)
	orDefault(&o.MinBodyRate, 512)
	orDefault(&o.BodyGrace, 20*time.Second)
	orDefault(&o.MaxConnections, 4096)
	orDefault(&o.MaxPerClient, 1024)
	orDefault(&o.MaxPerClientInAll, 4*o.MaxPerClient)
	orDefault(&o.MaxUpgraded, max(o.MaxConnections/2, 1))
	orDefault(&o.MaxAnswerHeaderBytes, 128<<10)
	orDefault(&o.AnswerHeaderTimeout, 10*time.Second)
	orDefault(&o.MaxInforming, 128)
	orDefault(&o.Memory, min(512<<20, memoryLimit()/8, debug.SetMemoryLimit(-1)/4))
	orDefault(&o.TenantMemory, o.Memory/4)
	limit := descriptorLimit()
	orDefault(&o.Descriptors, limit-min(max(limit/4, 64), 1024))
	orDefault(&o.ParkAfter, 2*time.Second)
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
	started  time.Time   // monotonic
	errorLog *log.Logger // of net/http, at debug: clients cause most of what it says

	subnets subnets // of tenants

	memory, descriptors budget // of all tenants
	clients             clients

	mu            sync.Mutex // held while listeners open and close
	byPort        map[int]*listener
	byOrg         map[string]*listener
	term, version int64                       // in force
	refused       map[string]berth.RouteError // by organization id
	closed        bool
	poller        *poller // of the listeners that are opened from here on; nil until there is one

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
		started:  time.Now(),
		errorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
		byPort:   make(map[int]*listener),
		byOrg:    make(map[string]*listener),
		refused:  make(map[string]berth.RouteError),
		subnets:  subnets{routes: make(map[netip.Prefix]int)},
		clients:  clients{byKey: make(map[netip.Addr]*client)},
		ending:   make(chan struct{}),
	}
	e.memory.most, e.descriptors.most = opts.Memory, opts.Descriptors
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
	for _, l := range open {
		l.beginClosing()
	}
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
	e.poller.close()
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
	if left = l.awaitFlowEnds(ctx); left == 0 {
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
