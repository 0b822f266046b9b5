// Package docker runs stacks on one Docker Engine, API 1.41 and later.
//
// It imports the root package, what shares a stream among readers, and the
// Engine's own client, nothing else of Berth. What it relies on and where that was found out:
//
//   - An Engine before API 1.44 does not keep network names unique, so a name
//     is always looked up before a network is made.
//   - A container can be created before its network exists: the Engine looks
//     the network up when the container starts.
//   - A container that ran remembers the id of its network. When the network
//     was removed and made again, the container can't start any more and has
//     to be made anew; its data is in volumes.
package docker

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/fanout"
	"github.com/unite-hub/berth/internal/lru"
)

// Options say which Engine to use and how. Installation and SealKey are
// required.
type Options struct {
	// Host of the Engine, such as unix:///var/run/docker.sock. "" means
	// DOCKER_HOST, and the client's default without it. It must be on this
	// machine.
	Host string

	// Installation is the id of this Berth; SealKey proves that an object is
	// its own. Both must stay the same as long as objects live: with others,
	// every object is foreign.
	Installation string
	SealKey      []byte

	// Deadlines of one call each; 0 means the default.
	ReadTimeout   time.Duration // list, inspect, info: 10 s
	ChangeTimeout time.Duration // create, start, update, remove: 60 s
	StopSlack     time.Duration // stop: the service's grace and this: 15 s
	PullTimeout   time.Duration // pull, from the first call to the last layer: 10 min

	LogMaxMB int    // size of one log file of a container, three are kept; 0 means 10
	Runtime  string // such as "runsc"; "" means the Engine's default

	Followed int // containers whose logs are followed at once; 0 means 500

	// InterfaceAddrs returns the addresses of this host, to find out whether
	// it reaches containers directly. nil means net.InterfaceAddrs.
	InterfaceAddrs func() ([]net.Addr, error)
}

func (o Options) withDefaults() Options {
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 10*time.Second)
	o.ChangeTimeout = cmp.Or(o.ChangeTimeout, 60*time.Second)
	o.StopSlack = cmp.Or(o.StopSlack, 15*time.Second)
	o.PullTimeout = cmp.Or(o.PullTimeout, 10*time.Minute)
	o.LogMaxMB = cmp.Or(o.LogMaxMB, 10)
	o.Followed = cmp.Or(o.Followed, 500)
	if o.InterfaceAddrs == nil {
		o.InterfaceAddrs = net.InterfaceAddrs
	}
	o.Host = cmp.Or(o.Host, os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
	return o
}

// Engine is a Docker Engine. Its methods may be called concurrently; for one
// tenant, the caller sees to it that only one of Apply and Remove runs.
type Engine struct {
	Options
	api   *client.Client
	tails *fanout.Hub[string, message] // by container's id

	// known is what was learned of the Engine at the last contact; nil before
	// the first, and after a call that the Engine did not answer.
	known atomic.Pointer[facts]

	configs *lru.Map[string, *imageConfig] // by pin, of images that something was made from
	cutOff  *cutOffs                       // shared with the handles that are fenced
}

// New returns an Engine. It does not connect yet.
func New(o Options) (*Engine, error) {
	o = o.withDefaults()
	if o.Installation == "" || len(o.SealKey) < 16 {
		return nil, berth.Errorf(berth.CodeInternal, "docker engine needs an installation id and a seal key of at least 16 bytes")
	}
	if err := checkHost(o.Host); err != nil {
		return nil, err
	}
	return connect(o)
}

// Fenced returns another handle on the same Engine: it asks check before each
// single request, and one that check refuses is not sent. So a call that was
// stopped half-way through and goes on when another control plane has taken over
// does no more harm, whichever method it is of. check may be called concurrently.
// Close the handle when it is not used any more.
func (e *Engine) Fenced(check func() error) (*Engine, error) {
	fenced, err := connect(e.Options, client.WithHTTPRequestHook(func(*http.Request) error { return check() }))
	if err == nil {
		fenced.cutOff = e.cutOff
	}
	return fenced, err
}

// connect makes an Engine of checked options.
func connect(o Options, more ...client.Opt) (*Engine, error) {
	// Copied by the client, a transport that may speak HTTP/2 gets a TLS
	// configuration, and the client then takes every host for an https one.
	var http1 http.Protocols
	http1.SetHTTP1(true)
	transport := &http.Transport{
		Protocols: &http1,
		// Eight tenants at a time, each with up to four calls.
		MaxIdleConns: 32, MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second,
	}
	opts := []client.Opt{
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithTLSClientConfigFromEnv(),
		client.WithAPIVersionFromEnv(),
		client.WithHost(o.Host),
	}
	api, err := client.New(append(opts, more...)...)
	if err != nil {
		return nil, berth.Errorf(berth.CodeEngineUnavailable, "Docker client can't be set up: %w", err).
			WithHint("check DOCKER_HOST and the other DOCKER_ variables")
	}
	return &Engine{Options: o, api: api, tails: newTails(o.Followed), configs: newConfigs(), cutOff: &cutOffs{times: map[asked]time.Time{}}}, nil
}

// Close releases idle connections. Calls under way go on.
func (e *Engine) Close() error { return e.api.Close() }

// checkHost refuses an Engine on another machine: its container addresses are
// not reachable from here, nor is what it publishes on its loopback address,
// and publishing anywhere else would go round the edge.
func checkHost(host string) error {
	u, err := url.Parse(host)
	if err != nil {
		return berth.Errorf(berth.CodeEngineRefused, "Docker host %s is not a valid address", berth.Quote(host)).
			WithHint("set DOCKER_HOST to unix:///PATH, or leave it out")
	}
	switch u.Scheme {
	case "unix":
		return nil
	case "tcp", "http", "https":
		name := u.Hostname()
		if addr, err := netip.ParseAddr(name); name == "localhost" || err == nil && addr.IsLoopback() {
			return nil
		}
	}
	return berth.Errorf(berth.CodeEngineRefused, "Docker host %s is not on this machine", berth.Quote(host)).
		WithHint("run berth on the Engine's machine with DOCKER_HOST=unix:///PATH: tenants of a remote Engine can't be reached safely")
}

// step names what is being done, and for whom, in errors.
type step struct{ op, tenant string }

// do makes one call with its own deadline and turns its error into ours.
func (e *Engine) do(ctx context.Context, s step, limit time.Duration, call func(context.Context) error) error {
	callCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := call(callCtx)
	if err == nil {
		return nil
	}
	out := e.explain(ctx, callCtx, limit, err)
	if out.Code == berth.CodeEngineUnavailable && ctx.Err() == nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		e.known.Store(nil) // it may be another one when it answers again
		e.configs.Clear()
	}
	return out.WithOp(s.op, s.tenant)
}
