package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

// manyOrder is what the child of "ten-thousand" is told.
type manyOrder struct {
	Size      int
	Address   netip.AddrPort // answers all probes
	Container string         // whose cgroup stands for all
	Database  string         // sqlite:PATH or a URL
	Minutes   int            // of usage that are there already, for each tenant
	Profile   string         // file of a CPU profile of the time in which it is measured; "" for none
}

// manyAnswer is a line that the child prints.
type manyAnswer struct {
	URL, Token string        // of the API: once it takes requests
	Ready      time.Duration // from the start to then
	Fakes      int64         // bytes that making the tenants left in the heap
	Live       int64         // bytes in the heap that are reachable, the fakes' among them
	Stacks     int64         // bytes
	Runtime    int64         // bytes that Go's runtime has of the system: heap, stacks and its own
	Goroutines int
	All        time.Duration // from the start until every tenant was looked at
	Longest    time.Duration // writer transaction since the last answer
	Where      string        // what that one was for
	Sums       time.Duration // processor time of one round of all sums, of which most have nothing to sum up
	Hourly     time.Duration // the same of the rounds in which an hour is summed up, and once more for what comes late
	Applied    int           // stacks applied since the last answer
	Lists      int
	Looks      int
	Probes     float64 // on record, of a tenant
}

// plane is the child: a control plane on shards.
type plane struct {
	manyOrder
	dir     string
	fakes   int64
	db      *timedStore
	engine  *shards
	box     *secret.Box
	edge    *edge.Edge
	loop    *reconcile.Loop
	meter   *meter.Meter
	monitor *health.Monitor
	keepers struct {
		health *health.Keeper
		usage  *meter.Keeper
	}
}

// many is the child's main: it reads an order, makes the tenants, runs a
// control plane on them, and answers each further line of input.
func many(ctx context.Context) (err error) {
	in := bufio.NewScanner(os.Stdin)
	if !in.Scan() {
		return errors.New("no order")
	}
	p := &plane{}
	if err := json.Unmarshal(in.Bytes(), &p.manyOrder); err != nil {
		return err
	}
	if p.Profile != "" {
		runtime.MemProfileRate = 8 << 10 // before what is profiled
	}
	if p.dir, err = os.MkdirTemp("", "berth-many"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	db, closeDB, err := openURL(ctx, p.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	p.db, p.engine = &timedStore{Store: db}, newShards(p.Address)
	if p.box, err = secret.CreateFile(ctx, filepath.Join(p.dir, secret.FileName), secret.InClear()); err != nil {
		return err
	}
	before := liveHeap()
	if err := p.seed(ctx); err != nil {
		return err
	}
	p.fakes = liveHeap() - before
	debug.FreeOSMemory()
	return p.serve(ctx, in)
}

// liveHeap is how many bytes are reachable.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// serve runs the parts until the input ends.
func (p *plane) serve(ctx context.Context, in *bufio.Scanner) (err error) {
	began := time.Now()
	p.engine.calls()
	p.db.longest()
	if err := p.profile("start"); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	handler, token, err := p.wire(running)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ready := make(chan struct{})
	g, running := errgroup.WithContext(running)
	for _, run := range []func(context.Context) error{
		p.edge.Run, p.meter.Run, p.monitor.Run, p.keepers.health.Run, p.keepers.usage.Run, handler.Run,
		func(ctx context.Context) error { return p.loop.Run(ctx, func() { close(ready) }) },
	} {
		g.Go(func() error { return run(running) })
	}
	<-ready
	g.Go(func() error {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	out := json.NewEncoder(os.Stdout)
	err = out.Encode(manyAnswer{URL: "http://" + listener.Addr().String(), Token: token, Ready: time.Since(began), Fakes: p.fakes})
	if err == nil {
		err = p.answer(running, in, out, began)
	}
	_ = srv.Close()
	stop()
	return errors.Join(err, g.Wait())
}

// answer does what each line of input asks for.
func (p *plane) answer(ctx context.Context, in *bufio.Scanner, out *json.Encoder, began time.Time) error {
	for in.Scan() {
		var a manyAnswer
		switch in.Text() {
		case "all": // wait until every tenant was looked at
			for known := 0; known < p.Size; known = p.known() {
				if err := pause(ctx, 50*time.Millisecond); err != nil {
					return err
				}
			}
			a.All = time.Since(began)
			pprof.StopCPUProfile()
		case "profile":
			if err := p.profile("window"); err != nil {
				return err
			}
		case "measured":
			pprof.StopCPUProfile()
			a.Goroutines = runtime.NumGoroutine()
			a.Stacks, a.Runtime = ofRuntime()
		case "held":
			a.Live = liveHeap()
			if err := p.heap(); err != nil {
				return err
			}
		case "sums":
			var err error
			if a.Sums, err = p.sums(ctx, time.Now()); err != nil {
				return err
			}
			for range 4 { // health is summed up once more for a quarter of an hour
				round, err := p.sums(ctx, time.Now().Add(time.Hour))
				if err != nil {
					return err
				}
				a.Hourly += round
			}
		}
		a.Longest, a.Where = p.db.longest()
		a.Applied, a.Lists, a.Looks = p.engine.calls()
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

// sums is the processor time of one round of sums as of a time.
func (p *plane) sums(ctx context.Context, at time.Time) (time.Duration, error) {
	used := ownCPU()
	if err := p.keepers.health.Round(ctx, at); err != nil {
		return 0, err
	}
	err := p.keepers.usage.Keep(ctx, at)
	return ownCPU() - used, err
}

// ofRuntime is what goroutines' stacks take, and all that Go's runtime does.
func ofRuntime() (stacks, all int64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse), int64(m.Sys - m.HeapReleased)
}

// profile begins a CPU profile of a part, if one is wanted.
func (p *plane) profile(of string) error {
	if p.Profile == "" {
		return nil
	}
	f, err := os.Create(p.Profile + "." + of)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// heap writes a profile of what is held, if profiles are wanted.
func (p *plane) heap() error {
	if p.Profile == "" {
		return nil
	}
	f, err := os.Create(p.Profile + ".heap")
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}

// known is how many tenants the loop has looked at.
func (p *plane) known() int {
	orgs := map[string]bool{}
	for _, m := range p.loop.Fleet() {
		orgs[m.OrganizationID] = true
	}
	return len(orgs)
}

// wire makes the parts as serve does.
func (p *plane) wire(ctx context.Context) (*api.API, string, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	noNetworks := func() ([]netip.Prefix, error) { return nil, nil }
	// An address of its own: nobody's ports are in the way. Half of the descriptors may
	// be ports: with what is left of ulimit -n here, some tenants would get none.
	p.edge = edge.New(edge.Options{ListenHost: "127.77.0.1", Descriptors: 2 * int64(p.Size+100)})
	vitals := &manyVitals{}
	prober := health.NewProber()
	p.loop = reconcile.New(reconcile.Config{HostNetworks: noNetworks}, reconcile.Parts{
		Store: p.db, Engine: p.engine, Edge: p.edge, Prober: prober, Files: manyFiles{}, Secrets: p.box, Vitals: vitals, Log: log,
		Left:    func() { vitals.Poke() },
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) }),
	})
	p.meter = meter.New(meter.Config{Interval: crowdWatched}, meter.Parts{
		Store: p.db, Sampler: same{meter.NewKernel("/sys/fs/cgroup", "/proc"), p.Container}, Fleet: p.loop.Fleet, Traffic: p.edge.Traffic, Log: log,
	})
	p.monitor = health.NewMonitor(health.MonitorConfig{
		Fleet: p.loop.Fleet, Asker: prober, Reading: p.meter.Now, Changed: p.loop.Judged, Log: log,
		Record: health.Recorder(p.db),
	})
	vitals.Monitor = p.monitor
	p.keepers.health, p.keepers.usage = health.NewKeeper(health.KeeperConfig{}, p.db, log), &meter.Keeper{Store: p.db, Log: log}
	keys := auth.New(auth.Config{Store: p.db})
	token, _, err := keys.Create(ctx, berth.System(), auth.NewToken{Name: "bench", Role: berth.RoleOperator})
	if err != nil {
		return nil, "", err
	}
	service := p.service(prober)
	return api.New(api.Config{Service: service, Auth: keys, Log: log, Version: "bench", StateDir: p.dir}), token, nil
}

func (p *plane) service(prober *health.Prober) *tenancy.Service {
	config := tenancy.Config{
		FirstPort: manyFirstPort, LastPort: manyFirstPort + p.Size + 99, ReservedPorts: []int{3008}, Pool: berth.DefaultPool(), PublicHost: "localhost",
		HostNetworks: func() ([]netip.Prefix, error) { return nil, nil }, ComposePath: func(org string) string { return "/" + org },
		Now: store.Now, Blueprint: berth.BuiltinBlueprint, Examine: blueprint.Examine,
	}
	parts := tenancy.Parts{Store: p.db, Secrets: p.box, Files: manyFiles{}, Health: health.NewSweeper(health.SweeperConfig{Store: p.db, Asker: prober, Now: store.Now}),
		Catalog: store.NewCatalog(func(v berth.BlueprintVersion) (tenancy.Blueprint, error) { return blueprint.New(v) })}
	if p.loop != nil {
		parts.Loop, parts.Ports, parts.Meter = p.loop, p.edge, p.meter
	}
	return tenancy.New(config, parts)
}

type manyVitals struct{ *health.Monitor }

type manyFiles struct{}

func (manyFiles) Write(string, []byte) error              { return nil }
func (manyFiles) WriteEnv(string, []byte) (string, error) { return "", nil }
func (manyFiles) Forget(string) error                     { return nil }
func (manyFiles) Remove(string) error                     { return nil }

// timedStore knows how long its longest writer transaction took: from when it
// has the writer to when it is committed.
type timedStore struct {
	store.Store

	mu    sync.Mutex
	most  time.Duration
	where string
}

func (s *timedStore) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	var began time.Time
	err := s.Store.InTx(ctx, actor, func(tx store.Tx) error {
		began = time.Now()
		return fn(tx)
	})
	took := time.Since(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !began.IsZero() && took > s.most {
		s.most = took
		pc, _, line, _ := runtime.Caller(1)
		s.where = fmt.Sprintf("%s:%d", filepath.Base(runtime.FuncForPC(pc).Name()), line)
	}
	return err
}

// longest returns the longest since the last call, and who called.
func (s *timedStore) longest() (time.Duration, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most, where := s.most, s.where
	s.most, s.where = 0, ""
	return most, where
}
