package serve

import (
	"context"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
	"github.com/unite-hub/berth/internal/trace"
)

// watchers are the parts that look at the fleet between the loop's passes.
type watchers struct {
	monitor *health.Monitor
	meter   *meter.Meter
	health  *health.Keeper
	usage   *meter.Keeper
	tracer  tracer
}

// vitals lets the loop ask the monitor, which is made after it.
type vitals struct{ *health.Monitor }

// heard lets the meter hear of processes that were killed, beside the loop. The
// meter is made after it.
type heard struct {
	*docker.Engine
	meter *meter.Meter
}

// Watch implements reconcile.Engine.
func (h *heard) Watch(ctx context.Context, hint func(berth.Hint)) error {
	return h.Engine.Watch(ctx, func(it berth.Hint) {
		if it.OOM {
			h.meter.Killed(it.OrganizationID)
		}
		hint(it)
	})
}

func (s *server) newWatchers(t tracer) watchers {
	m := meter.New(meter.Config{}, meter.Parts{
		Store: s.store, Sampler: meter.NewKernel("/sys/fs/cgroup", "/proc"), Stats: s.engine, Disk: s.engine,
		Fleet: s.loop.Fleet, Traffic: s.edge.Traffic, Limit: s.diskLimit, Notice: s.notice, Log: s.log,
	})
	return watchers{
		meter: m,
		monitor: health.NewMonitor(health.MonitorConfig{
			Fleet: s.loop.Fleet, Asker: s.prober, Reading: m.Now, Changed: s.loop.Remind, Log: s.log,
			Record: func(ctx context.Context, list []berth.Probe) error {
				return s.store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, list) })
			},
		}),
		health: health.NewKeeper(health.KeeperConfig{Probes: s.KeepChecks, Hours: s.KeepHours, Days: s.KeepDays}, s.store, s.log),
		usage:  &meter.Keeper{Store: s.store, Minutes: s.KeepMinutes, Hours: s.KeepHours, Days: s.KeepDays, Log: s.log},
		tracer: t,
	}
}

func (w watchers) run(ctx context.Context, g *errgroup.Group) {
	for _, run := range []func(context.Context) error{w.monitor.Run, w.meter.Run, w.health.Run, w.usage.Run, w.tracer.run} {
		g.Go(func() error { return run(ctx) })
	}
}

// diskLimit is a tenant's, in bytes; 0 if it can't be read.
func (s *server) diskLimit(organizationID string) int64 {
	var t berth.Tenant
	err := s.store.View(context.Background(), berth.System(), func(tx store.Tx) (err error) {
		t, err = tx.Tenant(context.Background(), organizationID)
		return err
	})
	if err != nil {
		return 0
	}
	return int64(t.Spec.Limits.DiskMB) * berth.BytesPerMB
}

// notice records what the meter noticed.
func (s *server) notice(organizationID string, kind string, message string) {
	err := s.service.Note(context.Background(), organizationID, kind, message)
	if err != nil {
		s.log.Warn("notice could not be recorded", "tenant", organizationID, "kind", kind, "error", err)
	}
}

// tracer shows deployments to whoever collects traces; its zero value nobody.
type tracer struct{ *trace.Tracer }

func newTracer(ctx context.Context, version string, log *slog.Logger) (tracer, error) {
	if !trace.Enabled(os.Getenv) {
		return tracer{}, nil
	}
	t, err := trace.New(ctx, version, log)
	return tracer{t}, err
}

func (t tracer) links() tenancy.Traces {
	if t.Tracer == nil {
		return nil
	}
	return t.Tracer
}

func (t tracer) record(d berth.Deployment) {
	if t.Tracer != nil {
		t.Record(d)
	}
}

func (t tracer) run(ctx context.Context) error {
	if t.Tracer == nil {
		return nil
	}
	return t.Run(ctx)
}
