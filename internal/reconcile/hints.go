package reconcile

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	hintDelay  = 300 * time.Millisecond // gathers the events of one change
	watchPause = time.Second            // before the engine's event stream is opened again
)

// followEvents turns the engine's events into hints.
func (l *Loop) followEvents(ctx context.Context) error {
	for {
		if _, up := l.breaker.get(); up {
			err := l.Engine.Watch(ctx, func(h berth.Hint) { l.onHint(ctx, h) })
			if ctx.Err() == nil {
				l.Log.Debug("engine events broke off", "error", err)
				l.verifyEngine(ctx)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// onOpen has everything looked at again: what happened before the stream of events
// was open may have gone unheard, and not all of it shows in a list.
func (l *Loop) onOpen() {
	l.fleet.expire(time.Now())
	select {
	case l.rescan <- struct{}{}:
	default:
	}
}

// onHint looks at a tenant soon. That the kernel killed for want of memory is
// known from the hint alone: the next look may find everything running again.
func (l *Loop) onHint(ctx context.Context, h berth.Hint) {
	if h.Opened {
		l.onOpen()
		return
	}
	l.listed.drop(h.OrganizationID)
	l.queue.addAfter(h.OrganizationID, hintDelay)
	if h.InstanceID != "" {
		l.histories.hintEnd(h)
	}
	if h.OOM && l.Killed != nil {
		l.Killed(h.OrganizationID)
	}
	if !h.OOM || !l.histories.oom(h.OrganizationID) {
		return
	}
	what := "service " + h.Service
	if h.Service == "" {
		what = "a process"
	}
	err := l.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if _, err := tx.Tenant(ctx, h.OrganizationID); err != nil {
			return err
		}
		return tx.InsertEvent(ctx, event(h.OrganizationID, berth.EventOOM, what+" was killed for using more than its limit of memory; raise it, or find the leak"))
	})
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("out of memory could not be recorded", "tenant", h.OrganizationID, "error", err)
	}
}
