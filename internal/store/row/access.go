package row

import "github.com/unite-hub/berth"

// Access is what the actor of one transaction may see and write. Every store
// asks it before each statement: isolation stands here and nowhere twice. What a
// database adds of its own, such as row-level security, comes behind it.
type Access struct {
	Actor  berth.Actor
	Writes bool // a transaction that may write
}

// Everything reports whether the actor sees what belongs to the installation,
// and with it every organization.
func (a Access) Everything() bool { return a.Actor.Installation() }

// Anything reports whether the actor sees any organization at all.
func (a Access) Anything() bool {
	return a.Actor.Everywhere() || a.Actor.MaySee(a.Actor.OrganizationID)
}

// MaySee reports whether the actor sees rows of the organization.
func (a Access) MaySee(organizationID string) bool { return a.Actor.MaySee(organizationID) }

// Writable returns why this transaction must not write at all.
func (a Access) Writable() error {
	if !a.Writes {
		return ReadOnly()
	}
	return nil
}

// MayWrite returns why the actor must not write a row of the organization, or
// with "" of the installation.
func (a Access) MayWrite(organizationID string) error {
	if err := a.Writable(); err != nil {
		return err
	}
	if !a.Actor.MayWrite(organizationID) {
		return Forbidden()
	}
	return nil
}

// MayManage is MayWrite for tokens, invitations, memberships and channels.
func (a Access) MayManage(organizationID string) error {
	if err := a.Writable(); err != nil {
		return err
	}
	if !a.Actor.MayManage(organizationID) {
		return Forbidden()
	}
	return nil
}

// MayTrim returns why the actor must not drop what is over by rule: nobody but
// Berth itself does.
func (a Access) MayTrim() error {
	if err := a.Writable(); err != nil {
		return err
	}
	if !a.System() {
		return Forbidden()
	}
	return nil
}

// System reports whether Berth itself asks.
func (a Access) System() bool { return a.Actor.Role == berth.RoleSystem }

// Scope is whose rows a list shows.
type Scope struct {
	All            bool
	OrganizationID string // the only one; "" with All false is nobody's
}

// Scope is whose rows the actor sees.
func (a Access) Scope() Scope {
	switch {
	case !a.Anything():
		return Scope{}
	case a.Actor.Everywhere():
		return Scope{All: true}
	}
	return Scope{OrganizationID: a.Actor.OrganizationID}
}

// ScopeOf is Scope for a list that may be asked of one organization; "" for all.
func (a Access) ScopeOf(organizationID string) Scope {
	switch {
	case organizationID == "":
		return a.Scope()
	case a.Actor.MaySee(organizationID):
		return Scope{OrganizationID: organizationID}
	}
	return Scope{}
}

// ScopeOfPeople is whose users and memberships the actor sees: a deployer's is
// nobody's.
func (a Access) ScopeOfPeople() Scope {
	if a.Actor.Role == berth.RoleDeployer {
		return Scope{}
	}
	return a.Scope()
}

// ManagedScopeOf is ScopeOf for tokens and channels.
func (a Access) ManagedScopeOf(organizationID string) Scope {
	if organizationID == "" {
		if a.Everything() {
			return Scope{All: true}
		}
		organizationID = a.Actor.OrganizationID
	}
	if !a.Actor.MayManage(organizationID) {
		return Scope{}
	}
	return Scope{OrganizationID: organizationID}
}

// Shows reports whether an organization's rows are among them.
func (s Scope) Shows(organizationID string) bool {
	return s.All || organizationID != "" && organizationID == s.OrganizationID
}

// None reports whether it is nobody's.
func (s Scope) None() bool { return s == Scope{} }
