package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// orphanLook is how often it is looked at whether each engine is led.
const orphanLook = 10 * time.Second

// orphans shows the health of tenants as unknown whose engine nobody leads: what
// was last seen is not claimed any more. Who leads it next finds out. It
// remembers which engines nobody led at the last look: one look may meet a
// hand-over.
type orphans struct {
	leases interface {
		Holder(ctx context.Context, engineID string) (holder, url string, live bool, err error)
	}
	store store.Store
	log   *slog.Logger
	alone map[string]bool // by engine id
}

func (o *orphans) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(orphanLook):
		}
		if err := o.look(ctx); err != nil && ctx.Err() == nil {
			o.log.Warn("tenants of engines that nobody leads could not be marked", "error", err)
		}
	}
}

func (o *orphans) look(ctx context.Context) error {
	claimed, err := o.claimed(ctx)
	if err != nil {
		return err
	}
	before, led := o.alone, map[string]bool{}
	o.alone = map[string]bool{}
	for _, t := range claimed {
		live, known := led[t.EngineID]
		if !known {
			if _, _, live, err = o.leases.Holder(ctx, t.EngineID); err != nil {
				return err
			}
			led[t.EngineID] = live
		}
		if live {
			continue
		}
		if o.alone[t.EngineID] = true; !before[t.EngineID] {
			continue
		}
		t.Health, t.Cause = berth.HealthUnknown, "no control plane leads engine "+t.EngineID
		err := o.store.InTx(ctx, berth.System(), func(tx store.Tx) error { t := t; return tx.UpdateTenant(ctx, &t) })
		if err != nil && !berth.Is(err, berth.CodeStale) {
			return err
		}
	}
	return nil
}

// claimed are the tenants that are said to be healthy or not, by a leader that
// there should be.
func (o *orphans) claimed(ctx context.Context) (list []berth.Tenant, err error) {
	err = o.store.View(ctx, berth.System(), func(tx store.Tx) error {
		list = nil
		for t, err := range store.EachTenant(ctx, tx, store.TenantFilter{}) {
			if err != nil {
				return err
			}
			if t.EngineID != "" && t.Status == berth.StatusRunning && t.Health != berth.HealthUnknown {
				list = append(list, t)
			}
		}
		return nil
	})
	return list, err
}
