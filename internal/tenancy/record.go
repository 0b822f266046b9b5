package tenancy

import (
	"context"
	"encoding/json"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// What the audit says of a secret: never its value, and nothing made from it.
const (
	markSet     = "(set)"
	markChanged = "(changed)"
)

// changed is one mutation, for the audit. before and after hold no secret and
// nothing that is made from one; nil where there is nothing.
type changed struct {
	action, organization, target string
	before, after                any
}

// audit appends a change to the audit, in the transaction that makes it.
func (s *Service) audit(ctx context.Context, tx store.Audit, actor berth.Actor, c changed) error {
	before, err := brief(c.before)
	if err != nil {
		return err
	}
	after, err := brief(c.after)
	if err != nil {
		return err
	}
	return tx.AppendAudit(ctx, &berth.AuditEntry{
		ID: berth.NewID(), OrganizationID: c.organization, At: s.now(),
		ActorID: actor.ID, ActorName: actor.Name, ActorRole: actor.Role, Address: actor.Address, RequestID: actor.RequestID,
		Action: c.action, Target: c.target, Outcome: berth.AuditDone, Before: before, After: after,
	})
}

// brief is a value as it is recorded: JSON; "" for nil.
func brief(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "", berth.Errorf(berth.CodeInternal, "encode audit entry: %w", err)
	}
	return string(data), nil
}

// tenantEntry is a tenant's desired half as the audit shows it.
type tenantEntry struct {
	Name          string            `json:"tenantName"`
	Slug          string            `json:"slug"`
	Want          berth.Want        `json:"want"`
	Generation    int               `json:"generation"`
	Blueprint     string            `json:"blueprint"`
	ImageTag      string            `json:"imageTag"`
	CPULimit      float64           `json:"cpuLimit"`
	MemoryLimitMB int               `json:"memoryLimitMb"`
	DiskLimitMB   int               `json:"diskLimitMb"`
	Replicas      int               `json:"replicas"`
	Environment   map[string]string `json:"environment"` // marks, by name
	DeploymentID  string            `json:"deploymentId,omitempty"`
	Volumes       string            `json:"volumes,omitempty"` // what becomes of them
}

// entryOf shows a tenant. Variables whose value is not that of before are
// marked as changed; of a removed one there is no name.
func entryOf(t berth.Tenant, before *berth.Tenant) tenantEntry {
	e := tenantEntry{
		Name: t.Name, Slug: t.Slug, Want: t.Want, Generation: t.Generation, Blueprint: t.Spec.Blueprint, ImageTag: t.Spec.ImageTag,
		CPULimit: t.Spec.Limits.CPU, MemoryLimitMB: t.Spec.Limits.MemoryMB, DiskLimitMB: t.Spec.Limits.DiskMB, Replicas: t.Spec.Replicas,
		Environment: make(map[string]string, len(t.Spec.Environment)),
	}
	for name, version := range t.Spec.Environment {
		e.Environment[name] = markSet
		if before == nil {
			continue
		}
		if old, there := before.Spec.Environment[name]; there && old != version {
			e.Environment[name] = markChanged
		}
	}
	return e
}

// auditOrder records what an order made of a tenant; before is nil for a new
// one.
func (s *Service) auditOrder(ctx context.Context, tx store.Audit, actor berth.Actor, what action, before *berth.Tenant, r Receipt) error {
	c := changed{action: what.name, organization: r.Tenant.OrganizationID, target: r.Tenant.OrganizationID}
	after := entryOf(r.Tenant, before)
	after.DeploymentID = r.Deployment.ID
	if r.Deployment.Type == berth.DeployDeprovision {
		after.Volumes = string(r.Deployment.Volumes)
	}
	if c.after = after; before != nil {
		c.before = entryOf(*before, nil)
	}
	return s.audit(ctx, tx, actor, c)
}
