package control

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Engine is what is asked of the engine outside of any term: reads only.
type Engine interface {
	Info(ctx context.Context) (berth.EngineInfo, error)
	ObserveInstances(ctx context.Context, organizationID string) (berth.Observed, error)
	Logs(ctx context.Context, organizationID string, o berth.LogOptions) (io.ReadCloser, error)
}

// Ports tells whether a port of the host is free to listen on.
type Ports interface {
	PortFree(port int) bool
}

// View is what the API sees of the leader. While this control plane leads, that
// is the parts of its term; else what the database and a look at the engine
// tell. Its methods may be called concurrently.
type View struct {
	store  store.Store
	engine Engine
	ports  Ports // used while nobody leads here
	shared bool  // other control planes may lead, this engine or others

	term atomic.Pointer[Term]

	mu   sync.Mutex
	info berth.EngineInfo // the last that the engine told while nobody led here
	up   bool
}

// NewView returns the view of a control plane that does not lead yet. shared
// says that other control planes may have the same database.
func NewView(st store.Store, engine Engine, ports Ports, shared bool) *View {
	return &View{store: st, engine: engine, ports: ports, shared: shared}
}

// Enqueue implements tenancy.Loop. Where another leads, the database rings.
func (v *View) Enqueue(organizationID string) {
	if t := v.term.Load(); t != nil {
		t.Loop.Enqueue(organizationID)
	}
}

// Await implements tenancy.Loop.
func (v *View) Await(ctx context.Context, deploymentID string) error {
	if t := v.term.Load(); t != nil {
		return t.Loop.Await(ctx, deploymentID)
	}
	return store.AwaitDeployment(ctx, v.store, deploymentID, nil)
}

// Look implements tenancy.Loop.
func (v *View) Look(ctx context.Context, organizationID string) (berth.Observed, error) {
	if err := v.reaches(ctx, organizationID); err != nil {
		return berth.Observed{}, err
	}
	if t := v.term.Load(); t != nil {
		return t.Loop.Look(ctx, organizationID)
	}
	return v.engine.ObserveInstances(ctx, organizationID)
}

// Logs implements tenancy.Logs.
func (v *View) Logs(ctx context.Context, organizationID string, o berth.LogOptions) (io.ReadCloser, error) {
	if err := v.reaches(ctx, organizationID); err != nil {
		return nil, err
	}
	return v.engine.Logs(ctx, organizationID, o)
}

// reaches refuses a tenant that another engine runs.
func (v *View) reaches(ctx context.Context, organizationID string) error {
	if !v.shared {
		return nil
	}
	var t berth.Tenant
	err := v.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		t, err = tx.Tenant(ctx, organizationID)
		return err
	})
	info, _ := v.EngineInfo()
	if err != nil || t.EngineID == "" || t.EngineID == info.ID {
		return err
	}
	return berth.OtherEngine(t.EngineID).WithOp("look at tenant", organizationID)
}

// Progress implements tenancy.Loop.
func (v *View) Progress(deploymentID string) (p berth.Progress, ok bool) {
	if t := v.term.Load(); t != nil {
		return t.Loop.Progress(deploymentID)
	}
	return p, false
}

// EngineInfo implements tenancy.Loop.
func (v *View) EngineInfo() (berth.EngineInfo, bool) {
	if t := v.term.Load(); t != nil {
		if info, up := t.Loop.EngineInfo(); info.ID != "" {
			return info, up
		}
	}
	v.mu.Lock() // a term that has just begun knows of no engine yet
	defer v.mu.Unlock()
	return v.info, v.up
}

// setEngineInfo keeps what the engine told; a failure leaves the last that was known.
func (v *View) setEngineInfo(info berth.EngineInfo, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.up = err == nil; v.up {
		v.info = info
	}
}

// PortFree implements tenancy.Ports.
func (v *View) PortFree(port int) bool {
	if t := v.term.Load(); t != nil {
		return t.Edge.PortFree(port)
	}
	return v.ports.PortFree(port)
}

// Inside reports whether an address is a tenant's, as far as is known here.
func (v *View) Inside(src netip.Addr) bool {
	t := v.term.Load()
	return t != nil && t.Edge.Inside(src)
}

// Members are what runs, as the loop last saw it; ok is false where none does.
func (v *View) Members() (list []*berth.Member, ok bool) {
	if t := v.term.Load(); t != nil {
		return t.Loop.Fleet(), true
	}
	return nil, false
}

// Leading reports whether this control plane runs the engine.
func (v *View) Leading() bool { return v.term.Load() != nil }

// Now implements tenancy.Meter.
func (v *View) Now(organizationID string) (r berth.Reading, ok bool) {
	if t := v.term.Load(); t != nil {
		return t.Meter.Now(organizationID)
	}
	return r, false
}

// Readings implements tenancy.Meter.
func (v *View) Readings() []berth.Reading {
	if t := v.term.Load(); t != nil {
		return t.Meter.Readings()
	}
	return nil
}
