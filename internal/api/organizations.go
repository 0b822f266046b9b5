package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

type organizationWire struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	SelfService []string  `json:"selfService" doc:"what its own people may do to its tenant: start, stop, deploy, configure"`
	CreatedAt   time.Time `json:"createdAt"`
}

type organizationList struct {
	Organizations []organizationWire `json:"organizations"`
	NextCursor    *string            `json:"nextCursor"`
}

type organizationBody struct {
	Name        *string   `json:"name,omitempty" doc:"1-100 characters; as it is if left out"`
	SelfService *[]string `json:"selfService,omitempty" doc:"what its own people may do to its tenant, of start, stop, deploy and configure; as it is if left out"`
}

type organizationPut struct {
	OrganizationInput
	RawInput
}

func organizationOf(o berth.Organization) organizationWire {
	return organizationWire{o.ID, o.Name, o.SelfService.Names(), o.CreatedAt}
}

// organizationRoutes are about customers, and what they may do themselves.
func (s *server) organizationRoutes() {
	const all, one = "/api/organizations", "/api/organizations/{organizationId}"
	secured(s, person(http.MethodGet, all, "organizations", "The organizations that you see, by id"), func(ctx context.Context, actor berth.Actor, in *PageInput) (*body[organizationList], error) {
		page, next, err := s.Service.Organizations(ctx, actor, in.page())
		out := organizationList{Organizations: make([]organizationWire, 0, len(page)), NextCursor: orNull(next)}
		for _, o := range page {
			out.Organizations = append(out.Organizations, organizationOf(o))
		}
		return &body[organizationList]{out}, err
	})
	secured(s, person(http.MethodGet, one, "organization", "One organization"), func(ctx context.Context, actor berth.Actor, in *OrganizationInput) (*body[organizationWire], error) {
		o, err := s.Service.Organization(ctx, actor, in.ID)
		return &body[organizationWire]{organizationOf(o)}, err
	})
	secured(s, s.takes(person(http.MethodPut, one, "put-organization", "Make an organization, or say what its own people may do"), organizationBody{}), func(ctx context.Context, actor berth.Actor, in *organizationPut) (*body[organizationWire], error) {
		var b organizationBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		put := tenancy.PutOrganization{Name: b.Name}
		if b.SelfService != nil {
			scopes, err := berth.ParseScopes(*b.SelfService)
			if err != nil {
				return nil, berth.Errorf(berth.CodeInvalidScope, "%w", err).WithField("selfService").
					WithHint("it may hold %s", strings.Join(berth.SelfService.Names(), ", "))
			}
			put.SelfService = &scopes
		}
		o, err := s.Service.PutOrganization(ctx, actor, in.ID, put)
		return &body[organizationWire]{organizationOf(o)}, err
	})
}
