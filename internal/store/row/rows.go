package row

import (
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// What one row of each kind is read into, in the order in which every store
// selects its columns, and what is written of the two kinds that are both
// inserted and updated.

// TenantColumns are where a tenant's columns go.
func TenantColumns(t *berth.Tenant) []any {
	return []any{&t.ID, &t.OrganizationID, &t.Name, Text(&t.ContainerID), &t.Spec.ImageTag, Number(&t.ExternalPort),
		Number(&t.Spec.InternalPort), Text(&t.URL), &t.Spec.Limits.CPU, &t.Spec.Limits.MemoryMB, &t.Spec.Limits.DiskMB,
		Text(&t.Status), Time(&t.LastStartedAt), Time(&t.LastStoppedAt), Text(&t.Health), Time(&t.LastProbedAt),
		JSON(&t.Spec.Environment, ParseNames), Time(&t.CreatedAt), Time(&t.UpdatedAt), Text(&t.CreatedBy), &t.Slug,
		Text(&t.EngineID), Prefix(&t.Subnet), Text(&t.Want), &t.Generation, Text(&t.Spec.ImageDigest), &t.Spec.Blueprint,
		&t.Spec.Replicas, Text(&t.Cause), Time(&t.DeprovisionedAt), &t.Revision, JSON(&t.Spec.Images, ParseNames),
		&t.Spec.Release, &t.Released}
}

// DeploymentColumns are where a deployment's columns go.
func DeploymentColumns(d *berth.Deployment) []any {
	return []any{&d.ID, &d.TenantID, &d.OrganizationID, Text(&d.Type), Text(&d.Status), &d.Generation, JSON(&d.Previous, previousOf(d)),
		JSON(&d.New, ParseSpec), Text(&d.Want), Text(&d.PreviousWant), &d.CanRollback, Text(&d.RollbackOf), Text(&d.Volumes), &d.Adopt, Text(&d.Error),
		Text(&d.By), Text(&d.Notes), Time(&d.CreatedAt), Time(&d.StartedAt), Time(&d.CompletedAt), JSON(&d.Steps, ParseSteps)}
}

// EventColumns are where an event's columns go.
func EventColumns(e *berth.Event) []any {
	return []any{&e.ID, Text(&e.OrganizationID), Time(&e.At), &e.Kind, &e.Message, Text(&e.DeploymentID)}
}

// ProbeColumns are where a probe's columns go.
func ProbeColumns(p *berth.Probe) []any {
	return []any{&p.OrganizationID, Time(&p.CheckedAt), Text(&p.Status), InMilliseconds(&p.ResponseTime), Number(&p.HTTPStatus),
		Text(&p.Cause), Text(&p.Type), Text(&p.Endpoint), Maybe(&p.CPUPercent), Maybe(&p.MemoryMB), Maybe(&p.DiskMB)}
}

// AuditEntryColumns are where an audit entry's columns go.
func AuditEntryColumns(e *berth.AuditEntry) []any {
	return []any{&e.Seq, &e.ID, Text(&e.OrganizationID), Time(&e.At), Text(&e.ActorID), Text(&e.ActorName), Text(&e.ActorRole),
		Text(&e.Address), Text(&e.RequestID), &e.Action, Text(&e.Target), Text(&e.Outcome), Text(&e.Code), Text(&e.Before), Text(&e.After),
		&e.PrevHash, &e.Hash}
}

// BlueprintColumns are where a blueprint version's columns go, its source left out.
func BlueprintColumns(v *berth.BlueprintVersion) []any {
	return []any{&v.Name, &v.Version, &v.Hash, Time(&v.CreatedAt), Text(&v.CreatedBy)}
}

// VolumeColumns are where a volume's columns go.
func VolumeColumns(v *berth.VolumeRecord) []any {
	return []any{&v.OrganizationID, &v.Name, &v.Mount, Text(&v.EngineID), Time(&v.CreatedAt), Time(&v.KeptAt)}
}

// MembershipColumns are where a membership's columns go.
func MembershipColumns(m *berth.Membership) []any {
	return []any{&m.UserID, &m.OrganizationID, Text(&m.Role), Time(&m.CreatedAt)}
}

// InvitationColumns are where an invitation's columns go.
func InvitationColumns(i *berth.Invitation) []any {
	return []any{&i.ID, &i.Hash, &i.Email, Text(&i.OrganizationID), Text(&i.Role), Text(&i.CreatedBy), Time(&i.CreatedAt),
		Time(&i.ExpiresAt), Time(&i.AcceptedAt), Text(&i.AcceptedBy), Time(&i.RevokedAt)}
}

// SessionColumns are where a session's columns go.
func SessionColumns(s *berth.Session) []any {
	return []any{&s.ID, &s.Hash, &s.UserID, &s.Address, Time(&s.CreatedAt), Time(&s.ExpiresAt),
		Time(&s.LastSeenAt), Time(&s.RevokedAt)}
}

// TokenColumns are where a token's columns go.
func TokenColumns(t *berth.Token) []any {
	return []any{&t.ID, &t.Name, &t.Prefix, &t.Hash, Text(&t.Role), Text(&t.OrganizationID), Scopes(&t.Scopes), Text(&t.CreatedBy),
		Time(&t.CreatedAt), Time(&t.ExpiresAt), Time(&t.LastUsedAt), Time(&t.RevokedAt)}
}

// UserColumns are where a user's columns go.
func UserColumns(u *berth.User) []any {
	return []any{&u.ID, &u.Email, &u.Name, &u.Operator, Time(&u.CreatedAt), Time(&u.DisabledAt)}
}

// OrganizationColumns are where an organization's columns go.
func OrganizationColumns(o *berth.Organization) []any {
	return []any{&o.ID, &o.Name, Scopes(&o.SelfService), Time(&o.CreatedAt)}
}

// CredentialColumns are where a credential's columns go.
func CredentialColumns(c *store.StoredCredential) []any {
	return []any{&c.Registry, &c.Username, &c.Ciphertext, Time(&c.UpdatedAt)}
}

// ChannelColumns are where a channel's columns go.
func ChannelColumns(c *store.StoredChannel) []any {
	return []any{&c.ID, Text(&c.OrganizationID), Text(&c.Type), &c.Target, &c.Ciphertext, JSON(&c.Kinds, Parse[[]string]), &c.Enabled,
		Time(&c.FailingSince), Text(&c.LastError), Time(&c.CreatedAt), Text(&c.CreatedBy)}
}

// DeliveryColumns are where a delivery's columns go, its body left out.
func DeliveryColumns(d *berth.Delivery) []any {
	return []any{&d.ID, &d.ChannelID, &d.EventID, &d.Kind, Time(&d.CreatedAt), &d.Attempt, Time(&d.At), Number(&d.StatusCode),
		Text(&d.Error), InMilliseconds(&d.Duration), Time(&d.NextAt), Text(&d.State)}
}

// Encoding is how a database takes the two kinds of value that databases differ in.
type Encoding struct {
	Time func(time.Time) any
	JSON func(any) (string, error)
}

// OrNull stores the zero value, which means unknown or none, as NULL.
func OrNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// TenantValues are the columns that both an insert and an update write, in the
// order of their parameters 2 … 33; 1 is the organization.
func TenantValues(e Encoding, t berth.Tenant) ([]any, error) {
	env, err := e.JSON(Names(t.Spec.Environment))
	if err != nil {
		return nil, err
	}
	pins, err := e.JSON(Names(t.Spec.Images))
	if err != nil {
		return nil, err
	}
	subnet := ""
	if t.Subnet.IsValid() {
		subnet = t.Subnet.String()
	}
	return []any{t.OrganizationID, t.ID, t.Name, OrNull(t.ContainerID), t.Spec.ImageTag, OrNull(t.ExternalPort),
		OrNull(t.Spec.InternalPort), t.URL, t.Spec.Limits.CPU, t.Spec.Limits.MemoryMB, t.Spec.Limits.DiskMB,
		string(t.Status), e.Time(t.LastStartedAt), e.Time(t.LastStoppedAt), string(t.Health), e.Time(t.LastProbedAt),
		env, e.Time(t.UpdatedAt), t.Slug, Fold(t.Name) + "\n" + t.Slug, OrNull(t.EngineID), OrNull(subnet),
		string(t.Want), t.Generation, OrNull(t.Spec.ImageDigest), t.Spec.Blueprint, t.Spec.Replicas, OrNull(t.Cause),
		e.Time(t.DeprovisionedAt), t.Revision, pins, t.Spec.Release, t.Released}, nil
}

// DeploymentValues are the parameters 1 … 18 of both an insert and an update.
func DeploymentValues(e Encoding, d berth.Deployment) ([]any, error) {
	next, err := e.JSON(NewSpec(d.New))
	if err != nil {
		return nil, err
	}
	var previousTag, previous, way any
	if d.Previous != nil {
		previousTag = d.Previous.ImageTag
		if previous, err = e.JSON(Previous{NewSpec(*d.Previous), d.PreviousName}); err != nil {
			return nil, err
		}
	}
	if len(d.Steps) > 0 {
		if way, err = e.JSON(NewSteps(d.Steps)); err != nil {
			return nil, err
		}
	}
	return []any{d.ID, d.OrganizationID, string(d.Status), d.Generation, previousTag, d.New.ImageTag, previous, next,
		string(d.Want), OrNull(string(d.PreviousWant)), d.CanRollback, OrNull(d.RollbackOf), OrNull(string(d.Volumes)),
		OrNull(d.Error), OrNull(d.Notes), e.Time(d.StartedAt), e.Time(d.CompletedAt), way}, nil
}
