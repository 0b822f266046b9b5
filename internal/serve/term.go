package serve

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/blueprint"
	"github.com/unite-hub/berth/internal/control"
	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/reconcile"
	"github.com/unite-hub/berth/internal/retention"
	"github.com/unite-hub/berth/internal/store"
)

func (s *server) newControl() *control.Control {
	c := control.Config{
		Store: s.store, Engine: s.engine, View: s.view, Holder: s.holder, URL: "http://" + s.listener.Addr().String(), Log: s.log,
		NewTerm: s.newTerm, Chores: s.chores,
	}
	if s.shared != nil { // a nil of another type would not be one
		c.Shared = s.shared
	}
	return control.New(c)
}

// vitals lets the loop ask the monitor, which is made after it.
type vitals struct{ *health.Monitor }

// newTerm makes the parts of a term, as control.Config says.
func (s *server) newTerm(st store.Store, lease store.Lease, check func() error) (*control.Term, error) {
	engine, err := s.engine.Fenced(check)
	if err != nil {
		return nil, err
	}
	var m *meter.Meter
	edge, vitals := edge.New(s.edgeOptions()), &vitals{}
	pace := s.pace()
	pace.Pool, pace.HostNetworks, pace.EngineID, pace.Term = s.pool, hostNetworks, lease.EngineID, lease.Fence
	loop := reconcile.New(pace, reconcile.Parts{
		Store: st, Engine: engine, Edge: edge, Prober: s.prober, Files: s.files, Secrets: s.box, Vitals: vitals, Log: s.log,
		Ended: s.tracer.record, Left: func() { vitals.Poke() }, Killed: func(organizationID string) { m.Killed(organizationID) },
		Catalog: loopCatalog(),
	})
	m = meter.New(meter.Config{}, meter.Parts{
		Store: st, Sampler: meter.NewKernel("/sys/fs/cgroup", "/proc"), Stats: s.engine, Disk: s.engine,
		Fleet: loop.Fleet, Traffic: edge.Traffic, Limit: control.DiskLimit(st), Notice: control.Notices(st, s.log), Log: s.log,
	})
	vitals.Monitor = health.NewMonitor(health.MonitorConfig{
		Fleet: loop.Fleet, Asker: s.prober, Reading: m.Now, Changed: loop.Judged, Log: s.log,
		Record: health.Recorder(st),
	})
	return &control.Term{Loop: loop, Edge: edge, Meter: m, Monitor: vitals.Monitor, Close: engine.Close}, nil
}

// pace is how long the loop of a term gives a deployment.
func (s *server) pace() reconcile.Config {
	return reconcile.Config{Patience: s.Patience, Observe: s.Observe, TransitionDrain: s.TransitionDrain}
}

func loopCatalog() *store.Catalog[reconcile.Blueprint] {
	return store.NewCatalog(func(v berth.BlueprintVersion) (reconcile.Blueprint, error) { return blueprint.New(v) })
}

// previewer tells what orders would do, whoever leads: it only reads.
func (s *server) previewer() *reconcile.Previewer {
	return reconcile.NewPreviewer(s.pace(), reconcile.Parts{Store: s.store, Engine: s.engine, Catalog: loopCatalog(), Secrets: s.box})
}

// chores notify, and sum up and drop what was recorded, of all engines.
func (s *server) chores(st store.Store) []func(context.Context) error {
	probes := health.NewKeeper(health.KeeperConfig{Probes: s.KeepChecks, Hours: s.KeepHours, Days: s.KeepDays}, st, s.log)
	usage := &meter.Keeper{Store: st, Minutes: s.KeepMinutes, Hours: s.KeepHours, Days: s.KeepDays, Log: s.log}
	over := retention.New(retention.Config{Deployments: s.KeepDeployments, Removed: s.KeepRemoved, Access: s.KeepAccess}, st, s.log)
	return []func(context.Context) error{s.notifier(st).Run, probes.Run, usage.Run, over.Run}
}
