package serve

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/edge"
	"github.com/unite-hub/berth/internal/engine/docker"
	"github.com/unite-hub/berth/internal/store"
)

// helm is what the API sees of the loop. While this control plane leads, that
// is the term's; else what the database and a look at the engine tell.
type helm struct {
	store  store.Store
	engine *docker.Engine
	idle   *edge.Edge // without routes: it knows which ports are free
	shared bool       // other control planes may lead, this engine or others

	term atomic.Pointer[term]

	mu   sync.Mutex
	info berth.EngineInfo // the last that the engine told while nobody led here
	up   bool
}

// Enqueue implements tenancy.Loop. Where another leads, the database rings.
func (h *helm) Enqueue(organizationID string) {
	if t := h.term.Load(); t != nil {
		t.loop.Enqueue(organizationID)
	}
}

// awaitPoll is how often a deployment is looked at that another control plane
// carries out.
const awaitPoll = 200 * time.Millisecond

// Await implements tenancy.Loop.
func (h *helm) Await(ctx context.Context, deploymentID string) error {
	if t := h.term.Load(); t != nil {
		return t.loop.Await(ctx, deploymentID)
	}
	tick := time.NewTicker(awaitPoll)
	defer tick.Stop()
	for {
		var d berth.Deployment
		err := h.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
			d, err = tx.Deployment(ctx, deploymentID)
			return err
		})
		if err != nil || d.Over() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Look implements tenancy.Loop.
func (h *helm) Look(ctx context.Context, organizationID string) (berth.Observed, error) {
	if err := h.reaches(ctx, organizationID); err != nil {
		return berth.Observed{}, err
	}
	if t := h.term.Load(); t != nil {
		return t.loop.Look(ctx, organizationID)
	}
	return h.engine.Observe(ctx, organizationID)
}

// Logs implements tenancy.Logs.
func (h *helm) Logs(ctx context.Context, organizationID string, o berth.LogOptions) (io.ReadCloser, error) {
	if err := h.reaches(ctx, organizationID); err != nil {
		return nil, err
	}
	return h.engine.Logs(ctx, organizationID, o)
}

// reaches refuses a tenant that another engine runs.
func (h *helm) reaches(ctx context.Context, organizationID string) error {
	if !h.shared {
		return nil
	}
	var t berth.Tenant
	err := h.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		t, err = tx.Tenant(ctx, organizationID)
		return err
	})
	info, _ := h.EngineInfo()
	if err != nil || t.EngineID == "" || t.EngineID == info.ID {
		return err
	}
	return berth.Errorf(berth.CodeEngineUnavailable, "The tenant runs on engine %s, which this control plane does not reach", t.EngineID).
		WithHint("ask the control plane of that engine").WithOp("look at tenant", organizationID)
}

// Progress implements tenancy.Loop.
func (h *helm) Progress(deploymentID string) (p berth.Progress, ok bool) {
	if t := h.term.Load(); t != nil {
		return t.loop.Progress(deploymentID)
	}
	return p, false
}

// EngineInfo implements tenancy.Loop.
func (h *helm) EngineInfo() (berth.EngineInfo, bool) {
	if t := h.term.Load(); t != nil {
		if info, up := t.loop.EngineInfo(); info.ID != "" {
			return info, up
		}
	}
	h.mu.Lock() // a term that has just begun knows of no engine yet
	defer h.mu.Unlock()
	return h.info, h.up
}

// heard keeps what the engine told; a failure leaves the last that was known.
func (h *helm) heard(info berth.EngineInfo, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.up = err == nil; h.up {
		h.info = info
	}
}

// PortFree implements tenancy.Ports.
func (h *helm) PortFree(port int) bool {
	if t := h.term.Load(); t != nil {
		return t.edge.PortFree(port)
	}
	return h.idle.PortFree(port)
}

// inside reports whether an address is a tenant's, as far as is known here.
func (h *helm) inside(src netip.Addr) bool {
	t := h.term.Load()
	return t != nil && t.edge.Inside(src)
}

// members are what runs, as the loop last saw it; ok is false where none does.
func (h *helm) members() (list []berth.Member, ok bool) {
	if t := h.term.Load(); t != nil {
		return t.loop.Fleet(), true
	}
	return nil, false
}

// Now implements tenancy.Meter.
func (h *helm) Now(organizationID string) (r berth.Reading, ok bool) {
	if t := h.term.Load(); t != nil {
		return t.watchers.meter.Now(organizationID)
	}
	return r, false
}

// Readings implements tenancy.Meter.
func (h *helm) Readings() []berth.Reading {
	if t := h.term.Load(); t != nil {
		return t.watchers.meter.Readings()
	}
	return nil
}
