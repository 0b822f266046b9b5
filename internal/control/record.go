package control

import (
	"context"
	"log/slog"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// DiskLimit returns what reads a tenant's disk limit, in bytes, from the store;
// that gives 0 if the limit can't be read.
func DiskLimit(st store.Store) func(organizationID string) int64 {
	return func(organizationID string) int64 {
		var t berth.Tenant
		err := st.View(context.Background(), berth.System(), func(tx store.Tx) (err error) {
			t, err = tx.Tenant(context.Background(), organizationID)
			return err
		})
		if err != nil {
			return 0
		}
		return int64(t.Spec.Limits.DiskMB) * berth.BytesPerMB
	}
}

// Notices returns what records, as events, what the meter noticed. A failure is
// logged here and not returned, because the meter can do nothing about it.
func Notices(st store.Store, log *slog.Logger) func(organizationID, kind, message string) {
	return func(organizationID, kind, message string) {
		ctx := context.Background()
		err := st.InTx(ctx, berth.System(), func(tx store.Tx) error {
			t, err := tx.Tenant(ctx, organizationID)
			if err != nil {
				return err
			}
			return tx.InsertEvent(ctx, berth.Event{
				ID: berth.NewID(), OrganizationID: t.OrganizationID, At: store.Now(), Kind: kind, Message: message,
			})
		})
		if err != nil {
			log.Warn("notice could not be recorded", "tenant", organizationID, "kind", kind, "error", err)
		}
	}
}
