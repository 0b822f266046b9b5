package notify

import (
	"context"
	"encoding/json"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// payload is what a receiver gets. Names are added to, never changed.
type payload struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	OrganizationID string `json:"organizationId,omitempty"`
	TenantName     string `json:"tenantName,omitempty"`
	Slug           string `json:"slug,omitempty"`
	Message        string `json:"message"`
	EventID        string `json:"eventId"`
	DeploymentID   string `json:"deploymentId,omitempty"`
}

// Body is what is sent of an event.
func Body(ctx context.Context, tx store.Tenants, e berth.Event) ([]byte, error) {
	p := payload{"installation." + e.Kind, e.At, data{OrganizationID: e.OrganizationID, Message: e.Message, EventID: e.ID, DeploymentID: e.DeploymentID}}
	if e.OrganizationID != "" {
		p.Type = "tenant." + e.Kind
		t, err := tx.Tenant(ctx, e.OrganizationID)
		if berth.Is(err, berth.CodeContainerNotFound) {
			t, err = tx.Tombstone(ctx, e.OrganizationID)
		}
		if err != nil && !berth.Is(err, berth.CodeContainerNotFound) {
			return nil, err
		}
		p.Data.TenantName, p.Data.Slug = t.Name, t.Slug
	}
	return json.Marshal(p)
}
