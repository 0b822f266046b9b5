package auth

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// UserChange is what an operator can change of a user; nil leaves it.
type UserChange struct {
	Operator *bool
	Disabled *bool
}

type userEntry struct {
	Email    string `json:"email"`
	Operator bool   `json:"operator"`
	Disabled bool   `json:"disabled"`
}

func userEntryOf(u berth.User) userEntry {
	return userEntry{u.Email, u.Operator, !u.DisabledAt.IsZero()}
}

// Users returns a page of the installation's users, by id.
func (a *Auth) Users(ctx context.Context, actor berth.Actor, p store.Page) (page []berth.User, next string, err error) {
	err = a.Store.View(ctx, actor, func(tx store.Tx) error {
		if _, err := manages(ctx, tx, actor, action.Users, ""); err != nil {
			return err
		}
		page, next, err = tx.ListUsers(ctx, p)
		return err
	})
	return page, next, err
}

// UpdateUser makes a user an operator or not, and disables or enables them. A
// user who is disabled is out at once: their sessions end. The last operator
// stays.
func (a *Auth) UpdateUser(ctx context.Context, actor berth.Actor, id string, c UserChange) (u berth.User, err error) {
	err = a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if _, err := manages(ctx, tx, actor, action.UpdateUser, ""); err != nil {
			return err
		}
		if u, err = tx.User(ctx, id); err != nil {
			return err
		}
		before := u
		c.apply(&u)
		if u == before {
			return nil
		}
		if u.Operator && !before.Operator || operates(u) && !operates(before) {
			if err := (grant{role: berth.RoleOperator}).check(ctx, tx, actor, action.UpdateUser); err != nil {
				return err
			}
		}
		if operates(before) && !operates(u) {
			if err := anotherOperator(ctx, tx, id); err != nil {
				return err
			}
		}
		if err := tx.PutUser(ctx, u); err != nil {
			return err
		}
		if !u.DisabledAt.IsZero() {
			if err := endAll(ctx, tx, actor, id); err != nil {
				return err
			}
		}
		return action.UpdateUser.Record(ctx, tx, actor, action.Change{At: store.Now(), Organization: "", Target: id, Before: userEntryOf(before), After: userEntryOf(u)})
	})
	return u, err
}

// operates reports whether u acts as an operator.
func operates(u berth.User) bool { return u.Operator && u.DisabledAt.IsZero() }

func (c UserChange) apply(u *berth.User) {
	if c.Operator != nil {
		u.Operator = *c.Operator
	}
	switch {
	case c.Disabled == nil:
	case !*c.Disabled:
		u.DisabledAt = berth.User{}.DisabledAt
	case u.DisabledAt.IsZero():
		u.DisabledAt = store.Now()
	}
}

// operators lists who and what may manage the installation.
type operators interface {
	ListUsers(ctx context.Context, p store.Page) (page []berth.User, next string, err error)
	ListTokens(ctx context.Context, organizationID string, p store.Page) (page []berth.Token, next string, err error)
}

// anotherOperator refuses if nobody but a user could manage the installation.
func anotherOperator(ctx context.Context, tx operators, userID string) error {
	users, _, err := tx.ListUsers(ctx, store.Page{Limit: store.Unbounded})
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.ID != userID && operates(u) {
			return nil
		}
	}
	tokens, _, err := tx.ListTokens(ctx, "", store.Page{Limit: store.Unbounded})
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Valid(store.Now()) && t.Actor().May(berth.ScopeInstallation, "", 0) {
			return nil
		}
	}
	return berth.Errorf(berth.CodeForbidden, "This is the last operator").
		WithHint("make somebody else an operator first, or an operator's token")
}

// Self is who a caller is.
type Self struct {
	Actor       berth.Actor  // zero if a person has not chosen an organization
	User        berth.User   // zero for a token
	Scopes      berth.Scopes // what the actor may do now
	Memberships []berth.Membership
}

// Me tells a caller who they are, if they are known.
func (a *Auth) Me(ctx context.Context, c Caller) (s Self, err error) {
	s = Self{User: c.User, Memberships: c.Memberships}
	if c.undecided != nil && s.User.ID == "" {
		return s, c.undecided
	}
	if c.undecided != nil {
		return s, nil
	}
	s.Actor = c.actor
	if s.Actor.OrganizationID == "" {
		s.Scopes = most(s.Actor.Role)
		if s.Actor.Scopes != 0 {
			s.Scopes &= s.Actor.Scopes
		}
		return s, nil
	}
	var allowed berth.Scopes
	err = a.Store.View(ctx, s.Actor, func(tx store.Tx) error {
		o, err := tx.Organization(ctx, s.Actor.OrganizationID)
		allowed = o.SelfService
		return err
	})
	if berth.Is(err, berth.CodeOrganizationNotFound) { // an operator may name one that is not there yet
		err = nil
	}
	for scope := berth.Scopes(1); scope <= berth.AllScopes; scope <<= 1 {
		if s.Actor.May(scope, s.Actor.OrganizationID, allowed) {
			s.Scopes |= scope
		}
	}
	return s, err
}
