package berth

// Role is what an actor may do at most. Scopes can narrow it.
type Role string

const (
	RoleSystem   Role = "system"   // Berth's own loop
	RoleOperator Role = "operator" // everything, of every organization
	RoleAdmin    Role = "admin"    // of one organization: its people and tokens, and what self-service allows
	RoleMember   Role = "member"   // of one organization: sees what is its own
	RoleDeployer Role = "deployer" // deploys and rolls back only, where self-service allows; of one organization or of all
)

// Actor is who asks, from where. It is passed to every use case and every
// store call, never found in a context. The zero Actor may do nothing.
type Actor struct {
	ID             string // of the token or user; "system" for the loop
	Name           string // for people
	Role           Role
	OrganizationID string // the one organization it may see; "" for all (operator, system, deployer)
	Scopes         Scopes // what it may do of what its role may; zero: all of it
	Address        string // where the request came from, for the audit; "" for the loop
	RequestID      string // for the audit; "" for the loop
}

// System is the actor of Berth's own loop.
func System() Actor { return Actor{ID: "system", Name: "berth", Role: RoleSystem} }

// Installation reports whether a is the operator's own: it sees and writes what
// belongs to no organization.
func (a Actor) Installation() bool {
	return a.OrganizationID == "" && (a.Role == RoleSystem || a.Role == RoleOperator)
}

// Everywhere reports whether a is bound to no organization: it may see any.
func (a Actor) Everywhere() bool {
	return a.Installation() || a.OrganizationID == "" && a.Role == RoleDeployer
}

// MaySee reports whether a may know of anything that belongs to the
// organization, or with "" to the installation. Default is no.
func (a Actor) MaySee(organizationID string) bool {
	if organizationID == "" {
		return a.Installation()
	}
	switch a.Role {
	case RoleSystem, RoleOperator, RoleDeployer:
		return a.OrganizationID == "" || a.OrganizationID == organizationID
	case RoleAdmin, RoleMember:
		return a.OrganizationID == organizationID
	default:
		return false
	}
}

// MayWrite reports whether a store takes anything of the organization's from
// a: the last wall, behind the use cases, which decide by May.
func (a Actor) MayWrite(organizationID string) bool {
	return a.Role != RoleMember && a.MaySee(organizationID)
}

// MayManage reports whether a store lets a at what neither members nor
// deployers are shown of an organization: secrets, tokens, invitations, channels
// and the audit.
func (a Actor) MayManage(organizationID string) bool {
	return a.Role != RoleDeployer && a.MayWrite(organizationID)
}

// May reports whether a may do an action to what belongs to an organization
// ("" for the installation), whose operator allows its own people allowed.
func (a Actor) May(do Scopes, organizationID string, allowed Scopes) bool {
	if !a.MaySee(organizationID) || a.Scopes != 0 && !a.Scopes.Has(do) {
		return false
	}
	var may Scopes
	switch a.Role {
	case RoleSystem, RoleOperator:
		may = AllScopes
	case RoleAdmin:
		may = ScopeRead | ScopeAudit | ScopePeople | allowed&SelfService
	case RoleMember:
		may = ScopeRead
	case RoleDeployer:
		may = ScopeRead | allowed&ScopeDeploy
		if a.OrganizationID == "" { // the operator's own
			may |= ScopeDeploy
		}
	}
	if organizationID == "" && a.Role != RoleSystem && a.Role != RoleOperator {
		return false
	}
	if a.OrganizationID != "" {
		may &^= ScopeProvision | ScopeInstallation
	}
	return may.Has(do)
}
