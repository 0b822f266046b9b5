package action

import "github.com/unite-hub/berth"

// What entries show. Of a secret they say that it is there.
var (
	ofTenant = []string{
		"tenantName", "slug", "want", "generation", "blueprint", "imageTag", "cpuLimit", "memoryLimitMb", "diskLimitMb", "replicas", "environment", "deploymentId",
	}
	ofRelease      = append(ofTenant[:len(ofTenant):len(ofTenant)], "leaveData")
	ofRemoval      = append(ofTenant[:len(ofTenant):len(ofTenant)], "volumes")
	ofOrganization = []string{"name", "selfService"}
	ofBlueprint    = []string{"version", "hash"}
	ofCredential   = []string{"username", "password"}
	ofKey          = []string{"primary"}
	ofChannel      = []string{"type", "target", "kinds", "enabled"}
	ofToken        = []string{"name", "prefix", "role", "scopes", "expiresAt", "revokedAt"}
	ofUser         = []string{"email", "operator", "disabled"}
	ofMember       = []string{"role"}
	ofInvitation   = []string{"email", "role", "expiresAt"}
	ofSession      = []string{"userId", "expiresAt"}
	ofNothing      = []string{}
)

// Orders, and what else is done to a tenant.
var (
	Provision       = Action{"tenant.provision", Installation, berth.ScopeProvision, []string{"provision"}, ofRelease}
	Start           = Action{"tenant.start", Organization, berth.ScopeStart, []string{"start"}, ofTenant}
	Stop            = Action{"tenant.stop", Organization, berth.ScopeStop, []string{"stop"}, ofTenant}
	Restart         = Action{"tenant.restart", Organization, berth.ScopeStart, []string{"restart"}, ofTenant}
	Adopt           = Action{"tenant.adopt", Organization, berth.ScopeProvision, []string{"adopt"}, ofTenant}
	Scale           = Action{"tenant.scale", Organization, berth.ScopeConfigure, []string{"scale"}, ofTenant}
	Deploy          = Action{"tenant.deploy", Organization, berth.ScopeDeploy, []string{"deploy"}, ofRelease}
	Rollback        = Action{"tenant.rollback", Organization, berth.ScopeDeploy, []string{"rollback"}, ofTenant}
	Configure       = Action{"tenant.configure", Organization, berth.ScopeConfigure, []string{"configure"}, ofTenant}
	Deprovision     = Action{"tenant.deprovision", Organization, berth.ScopeProvision, []string{"deprovision"}, ofRemoval}
	Cancel          = Action{"tenant.cancel", Organization, berth.ScopeDeploy, []string{"cancel"}, ofRemoval}
	WriteComposeEnv = Action{"tenant.compose-env", Organization, berth.ScopeInstallation, []string{"compose-env"}, ofNothing}
)

// What is changed besides tenants.
var (
	PutOrganization  = Action{"organization.put", Organization, berth.ScopeInstallation, []string{"put-organization"}, ofOrganization}
	ApplyBlueprint   = Action{"blueprint.apply", Installation, berth.ScopeInstallation, []string{"apply-blueprint"}, ofBlueprint}
	PutRegistry      = Action{"registry.put", Installation, berth.ScopeInstallation, []string{"put-registry"}, ofCredential}
	DeleteRegistry   = Action{"registry.delete", Installation, berth.ScopeInstallation, []string{"delete-registry"}, ofCredential}
	Backup           = Action{"backup.read", Installation, berth.ScopeInstallation, []string{"backup"}, ofNothing}
	RotateKey        = Action{"key.rotate", Installation, berth.ScopeInstallation, []string{"rotate-key"}, ofKey}
	RetireKey        = Action{"key.retire", Installation, berth.ScopeInstallation, []string{"retire-key"}, ofNothing}
	CreateChannel    = Action{"channel.create", Organization, berth.ScopePeople, []string{"create-notification"}, ofChannel}
	DeleteChannel    = Action{"channel.delete", Organization, berth.ScopePeople, []string{"delete-notification"}, ofChannel}
	TestChannel      = Action{"channel.test", Organization, berth.ScopePeople, []string{"test-notification"}, ofChannel}
	CreateToken      = Action{"token.create", Organization, berth.ScopePeople, []string{"create-token"}, ofToken}
	RevokeToken      = Action{"token.revoke", Organization, berth.ScopePeople, []string{"revoke-token"}, ofToken}
	UpdateUser       = Action{"user.update", Installation, berth.ScopeInstallation, []string{"update-user"}, ofUser}
	PutMember        = Action{"member.put", Organization, berth.ScopePeople, []string{"put-member"}, ofMember}
	RemoveMember     = Action{"member.remove", Organization, berth.ScopePeople, []string{"remove-member"}, ofMember}
	Invite           = Action{"user.invite", Organization, berth.ScopePeople, []string{"invite", "invite-operator"}, ofInvitation}
	RevokeInvitation = Action{"invitation.revoke", Organization, berth.ScopePeople, []string{"revoke-invitation", "revoke-operator-invitation"}, ofInvitation}
	AcceptInvitation = Action{"invitation.accept", Self, 0, []string{"accept-invitation"}, ofInvitation}
	BeginSession     = Action{"session.begin", Self, 0, []string{"signed-in"}, ofSession}
	EndSession       = Action{"session.end", Self, 0, []string{"end-session"}, ofSession}
)

// What is only looked at.
var (
	ListTenants       = look(Visible, berth.ScopeRead, "list")
	Tenant            = look(Organization, berth.ScopeRead, "get")
	Status            = look(Organization, berth.ScopeRead, "status")
	Health            = look(Organization, berth.ScopeRead, "health")
	CheckHealth       = look(Organization, berth.ScopeRead, "health-check")
	Deployments       = look(Organization, berth.ScopeRead, "deployments")
	Deployment        = look(Organization, berth.ScopeRead, "deployment")
	Events            = look(Organization, berth.ScopeRead, "events")
	Compose           = look(Organization, berth.ScopeRead, "compose")
	Logs              = look(Organization, berth.ScopeRead, "logs")
	Metrics           = look(Organization, berth.ScopeRead, "metrics")
	Usage             = look(Organization, berth.ScopeRead, "usage")
	FleetUsage        = look(Visible, berth.ScopeRead, "fleet-usage")
	Prometheus        = look(Visible, berth.ScopeRead, "prometheus")
	SweepHealth       = look(Installation, berth.ScopeInstallation, "sweep")
	ListOrganizations = look(Visible, berth.ScopeRead, "organizations")
	OneOrganization   = look(Organization, berth.ScopeRead, "organization")
	Audit             = look(Installation, berth.ScopeAudit, "audit")
	OrganizationAudit = look(Organization, berth.ScopeAudit, "organization-audit")
	VerifyAudit       = look(Installation, berth.ScopeAudit, "verify-audit")
	VerifyOneAudit    = look(Organization, berth.ScopeAudit, "verify-organization-audit")
	Blueprints        = look(Visible, berth.ScopeRead, "blueprints")
	Blueprint         = look(Visible, berth.ScopeRead, "blueprint")
	Registries        = look(Installation, berth.ScopeInstallation, "registries")
	Volumes           = look(Organization, berth.ScopeRead, "volumes")
	AllEvents         = look(Installation, berth.ScopeInstallation, "all-events")
	Keys              = look(Installation, berth.ScopeInstallation, "keys")
	Channels          = look(Visible, berth.ScopePeople, "notifications")
	Deliveries        = look(Organization, berth.ScopePeople, "deliveries")
	Tokens            = look(Organization, berth.ScopePeople, "tokens")
	Users             = look(Installation, berth.ScopeInstallation, "users")
	Members           = look(Organization, berth.ScopePeople, "members")
	Invitations       = look(Organization, berth.ScopePeople, "invitations")
	OperatorsInvited  = look(Installation, berth.ScopeInstallation, "operator-invitations")
	Me                = look(Self, 0, "me")
	Sessions          = look(Self, 0, "sessions")
)

// What no route does: the API records it of requests that reach none, and in place
// of attempts that are not recorded each.
var (
	CrossOrigin = Action{"request.cross-origin", Self, 0, nil, nil}
	Suppressed  = Action{"denied.suppressed", Self, 0, nil, nil}
)

func look(of Of, scope berth.Scopes, route string) Action {
	return Action{"read." + route, of, scope, []string{route}, nil}
}

// All is the table.
func All() []Action {
	return []Action{
		Provision, Start, Stop, Restart, Adopt, Scale, Deploy, Rollback, Configure, Deprovision, Cancel, WriteComposeEnv,
		PutOrganization, ApplyBlueprint, PutRegistry, DeleteRegistry, Backup, RotateKey, RetireKey,
		CreateChannel, DeleteChannel, TestChannel, CreateToken, RevokeToken, UpdateUser, PutMember, RemoveMember,
		Invite, RevokeInvitation, AcceptInvitation, BeginSession, EndSession,
		ListTenants, Tenant, Status, Health, CheckHealth, Deployments, Deployment, Events, Compose, Logs, Metrics, Usage, FleetUsage, Prometheus,
		SweepHealth, ListOrganizations, OneOrganization, Audit, OrganizationAudit, VerifyAudit, VerifyOneAudit, Blueprints, Blueprint, Registries,
		Volumes, AllEvents, Keys, Channels, Deliveries, Tokens, Users, Members, Invitations, OperatorsInvited, Me, Sessions,
		CrossOrigin, Suppressed,
	}
}
