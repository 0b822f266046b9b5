package auth

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// Member is a user in an organization.
type Member struct {
	berth.Membership
	User berth.User
}

type memberEntry struct {
	Role berth.Role `json:"role"`
}

// Members returns a page of an organization's members, by user.
func (a *Auth) Members(ctx context.Context, actor berth.Actor, organization string, p store.Page) (page []Member, next string, err error) {
	err = a.Store.View(ctx, actor, func(tx store.Tx) error {
		page = nil
		if _, err := manages(ctx, tx, actor, action.Members, organization); err != nil {
			return err
		}
		list, n, err := tx.ListMembers(ctx, organization, p)
		if err != nil {
			return err
		}
		next = n
		for _, m := range list {
			u, err := tx.User(ctx, m.UserID)
			if err != nil {
				return err
			}
			page = append(page, Member{m, u})
		}
		return nil
	})
	return page, next, err
}

// PutMember gives a user a role in an organization. Only an operator brings in
// somebody who is no member yet; an admin invites.
func (a *Auth) PutMember(ctx context.Context, actor berth.Actor, m berth.Membership) (out Member, err error) {
	if err := memberRole(m.Role); err != nil {
		return out, err
	}
	err = a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if err := (grant{role: m.Role, organization: m.OrganizationID}).check(ctx, tx, actor, action.PutMember); err != nil {
			return err
		}
		before, is, err := membership(ctx, tx, m.UserID, m.OrganizationID)
		if err != nil {
			return err
		}
		if !is && actor.OrganizationID != "" {
			return berth.Errorf(berth.CodeUserNotFound, "The organization has no such member").
				WithHint("invite them; %s was given", berth.Quote(m.UserID))
		}
		m.CreatedAt = store.Now()
		c := action.Change{At: store.Now(), Organization: m.OrganizationID, Target: m.UserID, After: memberEntry{m.Role}}
		if is {
			m.CreatedAt, c.Before = before.CreatedAt, memberEntry{before.Role}
		}
		u, err := tx.User(ctx, m.UserID)
		if err != nil {
			return err
		}
		out = Member{m, u}
		if err := tx.PutMembership(ctx, m); err != nil {
			return err
		}
		return action.PutMember.Record(ctx, tx, actor, c)
	})
	return out, err
}

// RemoveMember ends a user's membership.
func (a *Auth) RemoveMember(ctx context.Context, actor berth.Actor, userID, organization string) error {
	return a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if _, err := manages(ctx, tx, actor, action.RemoveMember, organization); err != nil {
			return err
		}
		before, is, err := membership(ctx, tx, userID, organization)
		if err != nil {
			return err
		}
		if !is {
			return berth.Errorf(berth.CodeNotFound, "The organization has no such member").
				WithHint("list the members; %s was given", berth.Quote(userID))
		}
		if err := tx.DeleteMembership(ctx, userID, organization); err != nil {
			return err
		}
		return action.RemoveMember.Record(ctx, tx, actor, action.Change{At: store.Now(), Organization: organization, Target: userID, Before: memberEntry{before.Role}})
	})
}

func membership(ctx context.Context, tx store.Memberships, userID, organization string) (m berth.Membership, is bool, err error) {
	list, err := tx.MembershipsOf(ctx, userID)
	for _, m := range list {
		if m.OrganizationID == organization {
			return m, true, err
		}
	}
	return m, false, err
}
