package serve

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// orphanLook is how often it is looked at whether each engine is led.
const orphanLook = 10 * time.Second

// orphans shows the health of tenants as unknown whose engine nobody leads: what
// was last seen is not claimed any more. Who leads it next finds out.
func (s *server) orphans(ctx context.Context, st store.Store) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(orphanLook):
		}
		if err := s.markOrphans(ctx, st); err != nil && ctx.Err() == nil {
			s.log.Warn("tenants of engines that nobody leads could not be marked", "error", err)
		}
	}
}

func (s *server) markOrphans(ctx context.Context, st store.Store) error {
	var claimed []berth.Tenant // as healthy or not, by a leader that there should be
	err := st.View(ctx, berth.System(), func(tx store.Tx) error {
		claimed = nil
		for p := (store.Page{Limit: 1000}); ; {
			page, next, err := tx.ListTenants(ctx, store.TenantFilter{Page: p})
			if err != nil {
				return err
			}
			for _, t := range page {
				if t.EngineID != "" && t.Status == berth.StatusRunning && t.Health != berth.HealthUnknown {
					claimed = append(claimed, t)
				}
			}
			if p.Cursor = next; next == "" {
				return nil
			}
		}
	})
	if err != nil {
		return err
	}
	led := map[string]bool{}
	for _, t := range claimed {
		live, known := led[t.EngineID]
		if !known {
			if _, _, live, err = s.shared.Holder(ctx, t.EngineID); err != nil {
				return err
			}
			led[t.EngineID] = live
		}
		if live {
			continue
		}
		t.Health, t.Cause = berth.HealthUnknown, "no control plane leads engine "+t.EngineID
		err := st.InTx(ctx, berth.System(), func(tx store.Tx) error { t := t; return tx.UpdateTenant(ctx, &t) })
		if err != nil && !berth.Is(err, berth.CodeStale) {
			return err
		}
	}
	return nil
}
