package auth

import (
	"context"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// grant is what one actor gives to somebody else: a role in an organization,
// or with organization "" in the installation.
type grant struct {
	role         berth.Role
	organization string
	scopes       berth.Scopes // 0: all of the role's
}

// most are the scopes that a role can have.
func most(r berth.Role) berth.Scopes {
	switch r {
	case berth.RoleOperator:
		return berth.AllScopes
	case berth.RoleAdmin:
		return berth.ScopeRead | berth.ScopeAudit | berth.ScopePeople | berth.SelfService
	case berth.RoleDeployer:
		return berth.ScopeRead | berth.ScopeDeploy
	default:
		return berth.ScopeRead
	}
}

// check refuses what an actor may not give: nobody gives more than they may do
// themselves.
func (g grant) check(ctx context.Context, tx store.Organizations, actor berth.Actor, what action.Action) error {
	allowed, err := manages(ctx, tx, actor, what, g.organization)
	if err != nil {
		return err
	}
	want := g.scopes
	if want == 0 {
		want = most(g.role)
		if g.role == berth.RoleAdmin {
			want &^= berth.SelfService &^ allowed // it follows what is allowed
		}
	}
	if actor.May(want, g.organization, allowed) {
		return nil
	}
	if beyond := want & berth.SelfService &^ allowed; actor.Role == berth.RoleAdmin && beyond != 0 && want&^most(berth.RoleAdmin) == 0 {
		return berth.Errorf(berth.CodeSelfServiceDenied, "The operator does not allow this organization to %s", inWords(beyond.Names())).
			WithHint("ask the operator to allow it, or give less")
	}
	return forbidden("You can't give more than you may do yourself")
}

// manages refuses an actor who may not do that to the people and tokens of an
// organization, or with "" of the installation. It returns what the operator
// allows the organization.
func manages(ctx context.Context, tx store.Organizations, actor berth.Actor, what action.Action, organization string) (allowed berth.Scopes, err error) {
	if organization == "" {
		if !actor.May(what.Takes(""), "", 0) {
			return 0, forbidden("Only an operator may do this")
		}
		return 0, nil
	}
	o, err := tx.Organization(ctx, organization)
	if err != nil {
		return 0, err
	}
	if !actor.May(what.Takes(organization), organization, o.SelfService) {
		return 0, forbidden("Only an admin of the organization may do this")
	}
	return o.SelfService, nil
}

func forbidden(message string) *berth.Error {
	return berth.Errorf(berth.CodeForbidden, "%s", message).WithHint("ask an admin of the organization or an operator, or use another token")
}

// memberRole refuses what is no role of an organization.
func memberRole(r berth.Role) error {
	if slices.Contains(berth.MembershipRoles(), r) {
		return nil
	}
	return berth.Errorf(berth.CodeInvalidRole, "No such role in an organization").WithField("role").
		WithHint("give admin, member or deployer; %s was given", berth.Quote(string(r)))
}

func inWords(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
