package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
)

type cancelBody struct {
	DeploymentID string `json:"deploymentId,omitempty" doc:"the order that is meant; whichever is under way if left out"`
}

type cancelInput struct {
	Target
	RawInput
}

// cancelledWire answers a cancellation.
type cancelledWire struct {
	changedWire
	DeploymentType string   `json:"deploymentType" doc:"of the order that was taken back"`
	NotUndone      []string `json:"notUndone" doc:"what it did already and that stays so, in words"`
}

func (s *server) cancelRoute() {
	op := s.takes(huma.Operation{
		Method: http.MethodPost, Path: tenantPath + "/cancel", OperationID: "cancel", Tags: []string{"tenants"},
		Summary: "Take back the order that is under way; the tenant goes back to what it was", MaxBodyBytes: maxBody + 1,
	}, cancelBody{})
	secured(s, op, func(ctx context.Context, actor berth.Actor, in *cancelInput) (*body[cancelledWire], error) {
		var b cancelBody
		if err := decode(in.RawBody, &b); err != nil {
			return nil, err
		}
		out, err := s.Service.Cancel(ctx, actor, in.Ref, b.DeploymentID)
		if err != nil {
			return nil, err
		}
		return &body[cancelledWire]{cancelledWire{
			changedWire:    changedWire{Success: true, DeploymentID: out.Deployment.ID, tenantWire: s.tenantWire(out.Tenant)},
			DeploymentType: string(out.Deployment.Type), NotUndone: out.NotUndone,
		}}, nil
	})
}
