package tenancy

import (
	"context"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// anyOrganization stands for one that is not known yet, where an actor asks for
// what it sees. It is no organization's id.
const anyOrganization = "any"

// authorise refuses what the actor may not do to an organization that it sees.
// What the organization is allowed is read only where the answer depends on it:
// never for an operator, never to read.
func authorise(ctx context.Context, tx store.Organizations, actor berth.Actor, what action.Action, organizationID string) error {
	do := what.Takes(organizationID)
	if actor.May(do, organizationID, 0) {
		return nil
	}
	if !actor.May(do, organizationID, berth.SelfService) {
		return refusal(actor, do)
	}
	o, err := tx.Organization(ctx, organizationID)
	if err != nil {
		return err
	}
	if actor.May(do, organizationID, o.SelfService) {
		return nil
	}
	missing := inWords(do & berth.SelfService &^ o.SelfService)
	return berth.Errorf(berth.CodeSelfServiceDenied, "Your organization is not allowed to %s its tenant", missing).
		WithHint("ask your operator to allow %s", missing)
}

// may is authorise for what an order does besides only if the actor may.
func may(ctx context.Context, tx store.Organizations, actor berth.Actor, what action.Action, organizationID string) (bool, error) {
	err := authorise(ctx, tx, actor, what, organizationID)
	if berth.CodeOf(err).Kind() == berth.KindForbidden {
		return false, nil
	}
	return err == nil, err
}

// authoriseOwn is authorise for what an actor does to all that it sees: a list
// holds nothing else. Self-service allows none of it.
func authoriseOwn(actor berth.Actor, what action.Action) error {
	organizationID := actor.OrganizationID
	if organizationID == "" {
		organizationID = anyOrganization
	}
	if actor.May(what.Scope, organizationID, 0) {
		return nil
	}
	return refusal(actor, what.Scope)
}

// authoriseInstallation is authorise for what belongs to no organization.
func authoriseInstallation(actor berth.Actor, what action.Action) error {
	do := what.Takes("")
	if actor.May(do, "", 0) {
		return nil
	}
	return refusal(actor, do)
}

func refusal(actor berth.Actor, do berth.Scopes) error {
	switch {
	case actor.Scopes != 0 && !actor.Scopes.Has(do):
		return berth.Errorf(berth.CodeForbidden, "This token's scopes do not hold %s", inWords(do&^actor.Scopes)).
			WithHint("it has %s; use another token", inWords(actor.Scopes))
	case do&(berth.ScopeInstallation|berth.ScopeProvision) != 0:
		return berth.Errorf(berth.CodeForbidden, "Only an operator may do this").WithHint("use an operator's token")
	}
	return berth.Errorf(berth.CodeForbidden, "Your role does not allow %s", inWords(do)).
		WithHint("ask an admin of your organization, or an operator")
}

func inWords(s berth.Scopes) string { return strings.Join(s.Names(), ", ") }

// finder finds a tenant or its organization, and what that is allowed.
type finder interface {
	Tenant(ctx context.Context, ref string) (berth.Tenant, error)
	Tombstone(ctx context.Context, organizationID string) (berth.Tenant, error)
	store.Organizations
}

// find returns the living tenant that ref stands for, if the actor may do that
// to it. One that the actor may not see does not exist.
func find(ctx context.Context, tx finder, actor berth.Actor, what action.Action, ref string) (berth.Tenant, error) {
	t, err := tx.Tenant(ctx, ref)
	if err != nil {
		return berth.Tenant{}, err
	}
	return t, authorise(ctx, tx, actor, what, t.OrganizationID)
}

// findOrganization is find for an organization by its tenant, tombstones
// included.
func findOrganization(ctx context.Context, tx finder, actor berth.Actor, what action.Action, ref string) (string, error) {
	id, err := organization(ctx, tx, ref)
	if err != nil {
		return "", err
	}
	return id, authorise(ctx, tx, actor, what, id)
}
