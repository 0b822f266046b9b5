package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// fleet lets the real monitor, the real meter and the real database, in this
// process, watch 1,000 tenants by one container: it answers all their probes,
// and its cgroup's files are read for each of them. The loop and the API are not
// in it: "idle" measures those.
func (b *bench) fleet(ctx context.Context) (err error) {
	const tenants, interval = 1000, 15 * time.Second
	dir, err := os.MkdirTemp("", "berth-fleet")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, _, err := b.raw.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.raw.remove(context.WithoutCancel(ctx), t)) }()
	addr, err := b.raw.address(ctx, t.name, t.container)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	members, err := crowd(ctx, db, tenants, addr)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	fleet := func() []berth.Member { return members }
	m := meter.New(meter.Config{Interval: interval}, meter.Parts{
		Store: db, Sampler: same{meter.NewKernel("/sys/fs/cgroup", "/proc"), t.container}, Fleet: fleet, Log: log,
	})
	monitor := health.NewMonitor(health.MonitorConfig{
		Fleet: fleet, Asker: health.NewProber(), Reading: m.Now, Log: log,
		Record: func(ctx context.Context, list []berth.Probe) error {
			return db.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, list) })
		},
	})
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	for _, run := range []func(context.Context) error{m.Run, monitor.Run, health.NewKeeper(health.KeeperConfig{}, db, log).Run, (&meter.Keeper{Store: db, Log: log}).Run} {
		g.Go(func() error { return run(running) })
	}
	defer func() { stop(); err = errors.Join(err, g.Wait()) }()
	if err := pause(ctx, 2*interval); err != nil { // every tenant was looked at
		return err
	}
	window := time.Duration(b.pick(120, 15)) * time.Second
	used := ownCPU()
	if err := pause(ctx, window); err != nil {
		return err
	}
	used = ownCPU() - used
	rss, err := rssOf(os.Getpid())
	if err != nil {
		return err
	}
	probes := 0
	err = db.View(ctx, berth.System(), func(tx store.Tx) error {
		for _, member := range members[:10] {
			list, err := tx.ListProbes(ctx, member.OrganizationID, 1000)
			if err != nil {
				return err
			}
			probes += len(list)
		}
		return nil
	})
	fmt.Printf("   %d tenants, health and usage at %v  %.2f %% of one core (bound 5), %.1f MB resident (bound 120); %.1f probes of a tenant on record\n",
		tenants, interval, 100*used.Seconds()/window.Seconds(), float64(rss)/(1<<20), float64(probes)/10)
	return err
}

// crowd records many tenants that run, all at one address.
func crowd(ctx context.Context, db *sqlite.Store, n int, addr netip.AddrPort) (members []berth.Member, err error) {
	check := berth.HealthCheck{Path: "/api/health", Interval: 15 * time.Second, Timeout: 5 * time.Second, Retries: 3}
	now := time.Now().UTC()
	err = db.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for i := range n {
			t := berth.Tenant{
				ID: berth.NewID(), OrganizationID: berth.NewID(), Name: "Crowd", Slug: fmt.Sprint("crowd-", i), ExternalPort: 10000 + i, URL: "http://localhost",
				Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(i >> 4), byte(i&15) << 4}), berth.SubnetBits), Want: berth.WantRunning,
				Status: berth.StatusRunning, Health: berth.HealthHealthy, Generation: 1, CreatedAt: now, UpdatedAt: now,
				Spec: berth.Spec{ImageTag: "1", Blueprint: "builtin@1", Replicas: 1, InternalPort: 3000, Limits: berth.DefaultLimits()},
			}
			if err := tx.InsertTenant(ctx, t); err != nil {
				return err
			}
			members = append(members, berth.Member{
				OrganizationID: t.OrganizationID, Main: true, Settled: true, Check: check,
				Container: berth.Container{ID: t.ID, Name: t.ContainerName(), State: berth.ContainerRunning, StartedAt: now, Address: addr},
			})
		}
		return nil
	})
	return members, err
}

// same reads one real container for all.
type same struct {
	*meter.Kernel
	container string
}

func (s same) Sample(_ string, startedAt time.Time) (berth.Sample, bool) {
	return s.Kernel.Sample(s.container, startedAt)
}
