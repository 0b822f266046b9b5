package tenancy

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// assignEngine says which engine a new tenant belongs to, where several share the
// database: the one that holds what an earlier tenant left, else this control
// plane's. Alone, the loop writes it down when it first applies the tenant.
func (s *Service) assignEngine(ctx context.Context, tx store.Volumes, t *berth.Tenant) error {
	if !s.config.Shared {
		return nil
	}
	kept, _, err := tx.ListVolumes(ctx, t.OrganizationID, store.Page{Limit: store.Unbounded})
	if err != nil {
		return err
	}
	for _, v := range kept {
		if v.EngineID != "" {
			t.EngineID = v.EngineID
			return nil
		}
	}
	info, _ := s.loop.EngineInfo()
	if info.ID == "" {
		return berth.Errorf(berth.CodeEngineUnavailable, "The engine has not answered yet").
			WithHint("try again when it does; which engine a tenant belongs to is decided when it is provisioned")
	}
	t.EngineID = info.ID
	return nil
}
