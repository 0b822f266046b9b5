package tenancy

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Note records something that happened to a living tenant outside an order.
func (s *Service) Note(ctx context.Context, organizationID string, kind string, message string) error {
	return s.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		t, err := tx.Tenant(ctx, organizationID)
		if err != nil {
			return err
		}
		return tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: t.OrganizationID, At: s.Now(), Kind: kind, Message: message})
	})
}
