package tenancy

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// PutOrganization makes an organization or changes it; nil leaves a field as
// it is. A new one needs a name, and allows nothing unless it is said.
type PutOrganization struct {
	Name        *string
	SelfService *berth.Scopes
}

// organizationEntry is an organization as the audit shows it.
type organizationEntry struct {
	Name        string   `json:"name"`
	SelfService []string `json:"selfService"`
}

// Organizations returns a page of the organizations that the actor sees, by id.
func (s *Service) Organizations(ctx context.Context, actor berth.Actor, p store.Page) (page []berth.Organization, next string, err error) {
	if err := authoriseOwn(actor, action.ListOrganizations); err != nil {
		return nil, "", err
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		page, next, err = tx.ListOrganizations(ctx, p)
		return err
	})
	return page, next, err
}

// Organization returns one organization.
func (s *Service) Organization(ctx context.Context, actor berth.Actor, id string) (o berth.Organization, err error) {
	if id, err = berth.ParseOrganizationID(id); err != nil {
		return o, err
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		if o, err = tx.Organization(ctx, id); err != nil {
			return err
		}
		return authorise(ctx, tx, actor, action.OneOrganization, id)
	})
	return o, err
}

// PutOrganization makes or changes an organization. What an actor may not see
// does not exist, whether it does or not.
func (s *Service) PutOrganization(ctx context.Context, actor berth.Actor, id string, in PutOrganization) (o berth.Organization, err error) {
	if id, err = berth.ParseOrganizationID(id); err != nil {
		return o, err
	}
	if in.Name == nil && in.SelfService == nil {
		return o, nothingToChange("name or selfService")
	}
	if in.Name != nil {
		if err := berth.ValidateLabel("Organization name", "name", *in.Name); err != nil {
			return o, err
		}
	}
	if in.SelfService != nil {
		if beyond := *in.SelfService &^ berth.SelfService; beyond != 0 {
			return o, berth.Errorf(berth.CodeInvalidScope, "Self-service can't hold %s", inWords(beyond)).WithField("selfService").
				WithHint("it may hold %s", inWords(berth.SelfService))
		}
	}
	err = s.store.InTx(ctx, actor, func(tx store.Tx) error {
		old, err := tx.Organization(ctx, id)
		missing := berth.Is(err, berth.CodeOrganizationNotFound)
		if err != nil && (!missing || !actor.MaySee(id)) {
			return err
		}
		if err := authorise(ctx, tx, actor, action.PutOrganization, id); err != nil {
			return err
		}
		put := action.Change{At: s.now(), Organization: id, Target: id}
		o = old
		if missing {
			if in.Name == nil {
				return berth.Errorf(berth.CodeInvalidRequest, "A new organization needs a name").WithField("name").WithHint("give one of 1-100 characters")
			}
			o = berth.Organization{ID: id, CreatedAt: s.now()}
		} else {
			put.Before = organizationEntry{old.Name, old.SelfService.Names()}
		}
		set(&o.Name, in.Name)
		set(&o.SelfService, in.SelfService)
		put.After = organizationEntry{o.Name, o.SelfService.Names()}
		if err := tx.PutOrganization(ctx, o); err != nil {
			return err
		}
		return action.PutOrganization.Record(ctx, tx, actor, put)
	})
	return o, err
}
