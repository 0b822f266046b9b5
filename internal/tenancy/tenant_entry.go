package tenancy

import (
	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
)

// What the audit says of a secret: never its value, and nothing made from it.
const (
	markSet     = "(set)"
	markChanged = "(changed)"
)

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
	LeaveData     bool              `json:"leaveData,omitempty"`
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

// orderChange is what an order made of a tenant, for the audit; before is nil for
// a new one. leaveData is as the order says.
func (s *Service) orderChange(before *berth.Tenant, r Receipt, leaveData bool) action.Change {
	after := entryOf(r.Tenant, before)
	after.DeploymentID, after.LeaveData = r.Deployment.ID, leaveData
	if r.Deployment.Type == berth.DeployDeprovision {
		after.Volumes = string(r.Deployment.Volumes)
	}
	c := action.Change{At: s.now(), Organization: r.Tenant.OrganizationID, Target: r.Tenant.OrganizationID, After: after}
	if before != nil {
		c.Before = entryOf(*before, nil)
	}
	return c
}
