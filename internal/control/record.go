package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// DiskLimit tells a tenant's, in bytes, as it is ordered now; 0 if it can't be
// read.
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

// Notices returns what records events that the meter noticed. One that can't be
// recorded is logged: whoever noticed it can do nothing about that.
func Notices(st store.Store, log *slog.Logger) func(organizationID, kind, message string) {
	return func(organizationID, kind, message string) {
		ctx := context.Background()
		err := st.InTx(ctx, berth.System(), func(tx store.Tx) error {
			t, err := tx.Tenant(ctx, organizationID)
			if err != nil {
				return err
			}
			return tx.InsertEvent(ctx, berth.Event{
				ID: berth.NewID(), OrganizationID: t.OrganizationID, At: time.Now().UTC().Truncate(time.Microsecond), Kind: kind, Message: message,
			})
		})
		if err != nil {
			log.Warn("notice could not be recorded", "tenant", organizationID, "kind", kind, "error", err)
		}
	}
}
