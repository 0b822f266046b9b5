package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

const (
	crowdSize    = 1000
	crowdWatched = 15 * time.Second // how often each is asked and measured
)

// fleet lets the real monitor, the real meter and the real database, in a
// process of their own, watch 1,000 tenants by one container: it answers all
// their probes, and its cgroup's files are read for each of them. The loop and
// the API are not in it: "idle" measures those.
func (b *bench) fleet(ctx context.Context) (err error) {
	t, _, err := b.raw.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.raw.remove(context.WithoutCancel(ctx), t)) }()
	addr, err := b.raw.address(ctx, t.name, t.container)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "-watch", addr.String()+"/"+t.container)
	child.Stderr = os.Stderr
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	end, err := child.StdinPipe() // its end is the child's
	if err != nil {
		return err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer func() {
		_ = end.Close() // twice, if it went well
		err = errors.Join(err, child.Wait())
	}()
	if err := pause(ctx, 2*crowdWatched); err != nil { // every tenant was looked at
		return err
	}
	window := time.Duration(b.pick(120, 15)) * time.Second
	before, err := cpuOf(child.Process.Pid)
	if err != nil {
		return err
	}
	if err := pause(ctx, window); err != nil {
		return err
	}
	after, err := cpuOf(child.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := rssOf(child.Process.Pid)
	if err != nil {
		return err
	}
	program, err := programOf(child.Process.Pid)
	if err != nil {
		return err
	}
	if err := end.Close(); err != nil {
		return err
	}
	var probes float64
	if _, err := fmt.Fscan(out, &probes); err != nil {
		return err
	}
	core, mb := 100*(after-before).Seconds()/window.Seconds(), float64(rss)/(1<<20)
	fmt.Printf("   %d tenants, health and usage at %v  %.2f %% of one core (%s), %.1f MB resident (%s), %.1f of them its program's, which is all of Berth and this benchmark; %.1f probes of a tenant on record\n"+
		"   (one real container and its cgroup, whose files stay in the kernel's cache, stand for all; monitor, meter, keepers and database are real;\n"+
		"   disks are not measured; the loop and the API are not in it)\n",
		crowdSize, crowdWatched, core, b.bound(core, 5), mb, b.bound(mb, 120), float64(program)/(1<<20), probes)
	return nil
}

// watch is the child: it watches the crowd by one container until its input
// ends, then prints how many probes a tenant has on record.
func watch(ctx context.Context, where string) (err error) {
	address, container, _ := strings.Cut(where, "/")
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "berth-fleet")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "berth.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	members, err := crowd(ctx, db, crowdSize, addr)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	fleet := func() []*berth.Member { return members }
	m := meter.New(meter.Config{Interval: crowdWatched}, meter.Parts{
		Store: db, Sampler: same{meter.NewKernel("/sys/fs/cgroup", "/proc"), container}, Fleet: fleet, Log: log,
	})
	monitor := health.NewMonitor(health.MonitorConfig{
		Fleet: fleet, Asker: health.NewProber(), Reading: m.Now, Log: log,
		Record: health.Recorder(db),
	})
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	for _, run := range []func(context.Context) error{m.Run, monitor.Run, health.NewKeeper(health.KeeperConfig{}, db, log).Run, (&meter.Keeper{Store: db, Log: log}).Run} {
		g.Go(func() error { return run(running) })
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	stop()
	if err = errors.Join(err, g.Wait()); err != nil {
		return err
	}
	probes := 0
	err = db.View(ctx, berth.System(), func(tx store.Tx) error {
		for _, member := range members[:10] {
			list, _, err := tx.ListProbes(ctx, member.OrganizationID, store.Page{Limit: 1000})
			if err != nil {
				return err
			}
			probes += len(list)
		}
		return nil
	})
	fmt.Println(float64(probes) / 10)
	return err
}

// crowd records many tenants that run, all at one address.
func crowd(ctx context.Context, db store.Store, n int, addr netip.AddrPort) (members []*berth.Member, err error) {
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
			members = append(members, &berth.Member{
				OrganizationID: t.OrganizationID, Main: true, Steady: true, Check: &check,
				InstanceID: t.ID, Name: t.ContainerName(), StartedAt: now, Address: addr,
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
