package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/control"
	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/netguard"
	"github.com/unite-hub/berth/internal/rekey"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// Run runs a control plane until ctx ends, then drains and returns nil. It
// writes "ready URL" to stdout once it takes requests, and logs to stderr.
func Run(ctx context.Context, c Config, stdout, stderr io.Writer) (err error) {
	p, err := c.parse()
	if err != nil {
		return err
	}
	log, err := newLogger(c, stderr)
	if err != nil {
		return err
	}
	quietLibraries(log)
	if err := disableCoreDumps(); err != nil {
		return err
	}
	unlock, err := lockState(c.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	limit, err := descriptorLimit()
	if err != nil {
		return err
	}
	if host := c.sharedHost(); host != "" {
		log.Warn("the API and tenants share a host name: browsers send cookies of the one to the other", "host", host,
			"hint", "give the API a name of its own and say so with --public-url, or tenants another one with --public-host")
	}
	s := &server{parsed: p, descriptors: share(limit), log: log, stdout: stdout, holder: berth.NewID()}
	// Whatever was opened is closed, in reverse order.
	defer func() { err = errors.Join(err, s.closers.close()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// server is one process's parts.
type server struct {
	parsed
	descriptors descriptors
	log         *slog.Logger
	stdout      io.Writer
	closers     closers

	holder   string // of leases; another with each process
	id       string // of the installation
	box      *secret.Box
	store    database
	shared   control.Shared // the same, where several control planes may have it; else nil
	engine   *docker.Engine
	files    *blueprint.Files
	prober   *health.Prober
	tracer   tracer
	listener net.Listener
	view     *control.View
	control  *control.Control
	rekeyer  *rekey.Rekeyer
	service  *tenancy.Service
	auth     *auth.Auth
	handler  *api.API
}

// open makes the parts, from the ground up. Nothing of it runs yet.
func (s *server) open(ctx context.Context) (err error) {
	if err := s.openDatabase(ctx); err != nil {
		return err
	}
	err = s.store.View(ctx, berth.System(), func(tx store.Tx) error {
		s.id, err = tx.Installation(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if s.engine, err = docker.New(docker.Options{Installation: s.id, SealKey: s.box.SealKey()}); err != nil {
		return err
	}
	s.closers.add(s.engine.Close)
	if s.files, err = blueprint.NewFiles(s.StateDir); err != nil {
		return err
	}
	s.closers.add(s.files.Close)
	s.prober = health.NewProber()
	if s.listener, err = net.Listen("tcp", s.Listen); err != nil {
		return berth.Errorf(berth.CodePortTaken, "listen on %s: %w", s.Listen, err).WithField("listen").
			WithHint("stop what listens there, or give another --listen")
	}
	s.closers.add(ignoreClosed(s.listener.Close))
	s.auth = auth.New(s.signIn.config(s.store, s.box.SealKey(), s.log))
	if err := s.wire(ctx); err != nil {
		return err
	}
	if err := s.checkKeys(ctx); err != nil {
		return err
	}
	if err := s.service.SealWebhooks(ctx); err != nil {
		return err
	}
	if err := s.applyBlueprints(ctx); err != nil {
		return err
	}
	return s.auth.EnsureOperatorToken(ctx, s.StateDir)
}

// wire connects the use cases and the loop, who know each other by interface
// only.
func (s *server) wire(ctx context.Context) (err error) {
	if s.tracer, err = newTracer(ctx, s.Version, s.log); err != nil {
		return err
	}
	// An edge without routes knows which ports are free.
	s.view = control.NewView(s.store, s.engine, edge.New(s.edgeOptions()), s.shared != nil)
	s.control = s.newControl()
	s.rekeyer = rekey.New(s.store, s.box, s.log)
	catalog := store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) })
	s.service = tenancy.New(tenancy.Config{
		FirstPort: s.first, LastPort: s.last, ReservedPorts: reservedPorts(s.listener.Addr()), Blueprint: s.blueprintName,
		Pool: s.pool, PublicHost: s.PublicHost, HostNetworks: hostNetworks, Examine: blueprint.Examine, Redact: blueprint.Redact,
		ComposePath: s.files.Path, Now: store.Now, NotifyHTTP: s.NotifyHTTP, Mail: s.mail != nil, Shared: s.shared != nil,
	}, tenancy.Parts{
		Store: s.store, Loop: s.view, Ports: s.view, Secrets: s.box, Keys: s.box, Rotated: s.rekeyer.Poke, Files: s.files, Health: s.sweeper(catalog), Logs: s.view,
		Leading: s.view.Leading, Meter: s.view, Traces: s.tracer.links(), Preview: s.previewer(),
		Catalog: catalog,
	})
	s.handler = api.New(api.Config{
		Service: s.service, Auth: s.auth, Log: s.log, Version: s.Version, StateDir: s.StateDir, Limits: s.limits, TrustedProxies: s.signIn.proxies,
		UnderWay: s.descriptors.underWay(),
	})
	return nil
}

// sweeper asks tenants because somebody wants to know now.
func (s *server) sweeper(catalog *store.Catalog[tenancy.Blueprint]) *health.Sweeper {
	return health.NewSweeper(health.SweeperConfig{
		Store: s.store, Asker: s.prober, Now: store.Now, Members: s.view.Members, Look: s.view.Look,
		Check: func(ctx context.Context, tx store.Blueprints, id string) (berth.HealthCheck, error) {
			b, err := catalog.Get(ctx, tx, id)
			if err != nil {
				return berth.HealthCheck{}, err
			}
			return b.Defaults().Health, nil
		},
	})
}

// applyBlueprints stores the blueprint that comes with Berth, and the one that
// --blueprint names as a file. A version that is there already is left alone.
func (s *server) applyBlueprints(ctx context.Context) error {
	sources := [][]byte{blueprint.BuiltinSource()}
	if s.blueprintSource != nil {
		sources = append(sources, s.blueprintSource)
	}
	for _, source := range sources {
		v, created, err := s.service.ApplyBlueprint(ctx, berth.System(), source)
		if err != nil {
			return err
		}
		if created {
			s.log.Info("blueprint applied", "blueprint", v.ID(), "hash", v.Hash)
		}
	}
	_, err := s.service.BlueprintVersion(ctx, berth.System(), s.blueprintName)
	if berth.Is(err, berth.CodeBlueprintNotFound) {
		return invalid("blueprint", s.blueprintName, "is not a blueprint that was applied", "give a file, or the name of one that `berth blueprint ls` shows")
	}
	return err
}

// reservedPorts are the control plane's own: no tenant ever gets one.
func reservedPorts(api net.Addr) []int {
	ports := []int{wellKnownPort}
	if tcp, ok := api.(*net.TCPAddr); ok {
		ports = append(ports, tcp.Port)
	}
	return ports
}

// run runs the parts until ctx ends. Then no new request is taken, those under
// way are finished, and the loop stops between two steps; tenants' instances
// run on.
func (s *server) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	g.Go(func() error { return s.tracer.run(ctx) })
	g.Go(func() error { return s.rekeyer.Run(ctx) })
	g.Go(func() error { return s.control.Run(ctx, func() { close(ready) }) })
	g.Go(func() error { return s.handler.Run(ctx) })
	g.Go(func() error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		return s.serveAPI(ctx)
	})
	err := g.Wait()
	s.control.Wait()
	return err
}

// answerGrace is how long a request may still wait for its deployment after the
// order to stop, before it is answered with what is known.
const answerGrace = time.Second

func (s *server) serveAPI(ctx context.Context) error {
	requests, answerNow := context.WithCancel(context.WithoutCancel(ctx))
	defer answerNow()
	srv := &http.Server{
		Handler:           s.handler,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	bounded := s.descriptors.bounded(s, srv, &netguard.Listener{Listener: s.listener, Pool: s.pool, Inside: s.view.Inside, Log: s.log})
	go func() {
		ended <- srv.Serve(bounded)
	}()
	if _, err := fmt.Fprintf(s.stdout, "ready http://%s\n", s.listener.Addr()); err != nil {
		s.log.Warn("standard output can't be written to", "error", err)
	}
	s.log.Info("ready", "listen", s.listener.Addr().String(), "state", s.StateDir, "installation", s.id, "version", s.Version)
	select {
	case err := <-ended:
		return fmt.Errorf("API: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("draining")
	timer := time.AfterFunc(answerGrace, answerNow)
	defer timer.Stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(s.Drain, 2*answerGrace))
	defer cancel()
	err := srv.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) { // streams that their readers keep open
		err = srv.Close()
	}
	<-ended
	return err
}

// hostNetworks lists what the host is connected to.
func hostNetworks() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var list []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list, nil
}

type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c closers) close() (err error) {
	for i := range c {
		err = errors.Join(err, c[len(c)-1-i]())
	}
	return err
}

func ignoreClosed(f func() error) func() error {
	return func() error {
		if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}
