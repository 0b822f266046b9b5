package serve

import (
	"context"
	"log/slog"
	"os"

	"github.com/unite-hub/berth"
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
}

// vitals lets the loop ask the monitor, which is made after it.
type vitals struct{ *health.Monitor }

func (t *term) newWatchers() watchers {
	m := meter.New(meter.Config{}, meter.Parts{
		Store: t.store, Sampler: meter.NewKernel("/sys/fs/cgroup", "/proc"), Stats: t.engine, Disk: t.engine,
		Fleet: t.loop.Fleet, Traffic: t.edge.Traffic, Limit: t.diskLimit, Notice: t.notice, Log: t.log,
	})
	return watchers{
		meter: m,
		monitor: health.NewMonitor(health.MonitorConfig{
			Fleet: t.loop.Fleet, Asker: t.prober, Reading: m.Now, Changed: t.loop.Recheck, Log: t.log,
			Record: func(ctx context.Context, list []berth.Probe) error {
				return t.store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, list) })
			},
		}),
	}
}

// keepers sum up and forget what watchers recorded, of all engines.
func (s *server) keepers(st store.Store) []func(context.Context) error {
	probes := health.NewKeeper(health.KeeperConfig{Probes: s.KeepChecks, Hours: s.KeepHours, Days: s.KeepDays}, st, s.log)
	usage := &meter.Keeper{Store: st, Minutes: s.KeepMinutes, Hours: s.KeepHours, Days: s.KeepDays, Log: s.log}
	return []func(context.Context) error{probes.Run, usage.Run}
}

// diskLimit is a tenant's, in bytes; 0 if it can't be read.
func (t *term) diskLimit(organizationID string) int64 {
	var n berth.Tenant
	err := t.store.View(context.Background(), berth.System(), func(tx store.Tx) (err error) {
		n, err = tx.Tenant(context.Background(), organizationID)
		return err
	})
	if err != nil {
		return 0
	}
	return int64(n.Spec.Limits.DiskMB) * berth.BytesPerMB
}

// notice records what the meter noticed.
func (t *term) notice(organizationID string, kind string, message string) {
	ctx := context.Background()
	err := t.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		n, err := tx.Tenant(ctx, organizationID)
		if err != nil {
			return err
		}
		return tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: n.OrganizationID, At: now(), Kind: kind, Message: message})
	})
	if err != nil {
		t.log.Warn("notice could not be recorded", "tenant", organizationID, "kind", kind, "error", err)
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
