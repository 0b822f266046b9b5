package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// breaker is the circuit breaker of the engine as a whole, which keeps
// a thousand tenants from each waiting for the same deadline.
type breaker struct {
	mu     sync.Mutex
	info   berth.EngineInfo
	up     bool
	broken chan struct{} // holds one token when the engine was found not to answer
}

func (e *breaker) get() (berth.EngineInfo, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.info, e.up
}

// set closes the breaker. It reports whether it was open before.
func (e *breaker) set(info berth.EngineInfo) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.up
	e.info, e.up = info, true
	return !was
}

// trip opens the breaker. It reports whether it was closed before.
func (e *breaker) trip() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.up
	e.up = false
	select {
	case e.broken <- struct{}{}:
	default:
	}
	return was
}

const (
	pingPause    = time.Second     // between attempts to reach an engine that does not answer
	pingDeadline = 5 * time.Second // of one attempt
)

// pingEngine asks the engine who it is.
func (l *Loop) pingEngine(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingDeadline)
	defer cancel()
	info, err := l.Engine.Info(ctx)
	if err == nil {
		err = l.expected(info)
	}
	if err != nil {
		if l.breaker.trip() {
			l.Log.Warn("engine does not answer", "error", err)
		}
		return false
	}
	if l.breaker.set(info) {
		l.warn(info)
	}
	return true
}

// warn tells of what an engine lacks, such as limits that it does not enforce:
// tenants are run on it all the same.
func (l *Loop) warn(info berth.EngineInfo) {
	for _, f := range info.Findings {
		if !f.OK {
			l.Log.Warn("engine needs mending", "check", f.Check, "detail", f.Detail, "hint", f.Hint)
		}
	}
}

// verifyEngine is called when the engine failed for one tenant. If it answers
// otherwise, the trouble is that tenant's alone.
func (l *Loop) verifyEngine(ctx context.Context) {
	if _, up := l.breaker.get(); up && !l.pingEngine(ctx) {
		l.markUnknown(ctx)
	}
}

// watchEngine closes the breaker again once the engine answers, and looks at
// everything then.
func (l *Loop) watchEngine(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.breaker.broken:
		}
		for !l.pingEngine(ctx) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pingPause):
			}
		}
		l.Log.Info("engine answers")
		select {
		case l.rescan <- struct{}{}:
		default:
		}
	}
}

// markBatch is how many tenants one transaction marks: others write in between.
const markBatch = 100

// markUnknown marks the health of every running tenant as unknown that was not
// unhealthy, when the engine stops to answer: what can't be seen is not claimed.
func (l *Loop) markUnknown(ctx context.Context) {
	var well []berth.Tenant
	err := l.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		well = well[:0]
		return l.eachTenant(ctx, tx, func(t berth.Tenant, _ string) error {
			if t.Status == berth.StatusRunning && t.Health != unseenHealth(t) {
				well = append(well, t)
			}
			return nil
		})
	})
	for batch := range slices.Chunk(well, markBatch) {
		if err != nil {
			break
		}
		err = l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
			for _, t := range batch {
				t.Health = unseenHealth(t)
				if err := tx.UpdateTenant(ctx, &t); err != nil && !berth.Is(err, berth.CodeStale) {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		l.Log.Warn("health could not be marked unknown", "error", err)
	}
}
