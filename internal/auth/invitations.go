package auth

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

const (
	invitationLifetime = 7 * 24 * time.Hour
	longestInvitations = 30 * 24 * time.Hour
)

// NewInvitation is an invitation to be.
type NewInvitation struct {
	Email          string     // whoever proves to have it can accept
	OrganizationID string     // "": to the installation
	Role           berth.Role // RoleOperator for the installation
	ExpiresAt      time.Time  // zero: in seven days
}

type invitationEntry struct {
	Email     string     `json:"email"`
	Role      berth.Role `json:"role"`
	ExpiresAt time.Time  `json:"expiresAt"`
}

// Invite makes an invitation and returns its text, which is never shown again.
func (a *Auth) Invite(ctx context.Context, actor berth.Actor, in NewInvitation) (text string, i berth.Invitation, err error) {
	at := store.Now()
	if in.ExpiresAt.IsZero() {
		in.ExpiresAt = at.Add(invitationLifetime)
	}
	if err := in.check(at); err != nil {
		return "", i, err
	}
	text = newText(invitationPrefix)
	i = berth.Invitation{
		ID: berth.NewID(), Hash: hash(text), Email: in.Email, OrganizationID: in.OrganizationID, Role: in.Role,
		CreatedBy: actor.ID, CreatedAt: at, ExpiresAt: in.ExpiresAt,
	}
	err = a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if err := (grant{role: i.Role, organization: i.OrganizationID}).check(ctx, tx, actor, action.Invite); err != nil {
			return err
		}
		if err := checkInvitationQuota(ctx, tx, i.OrganizationID); err != nil {
			return err
		}
		if err := tx.InsertInvitation(ctx, i); err != nil {
			return err
		}
		return action.Invite.Record(ctx, tx, actor, action.Change{At: store.Now(), Organization: i.OrganizationID, Target: i.ID, After: invitationEntry{i.Email, i.Role, i.ExpiresAt}})
	})
	if err != nil {
		return "", berth.Invitation{}, err
	}
	return text, i, nil
}

func (in NewInvitation) check(at time.Time) error {
	if err := berth.ValidateEmail(in.Email); err != nil {
		return err
	}
	if !in.ExpiresAt.After(at) || in.ExpiresAt.After(at.Add(longestInvitations)) {
		return berth.Errorf(berth.CodeInvalidRequest, "An invitation must expire within 30 days").WithField("expiresAt").
			WithHint("leave it out for 7 days; %s was given", in.ExpiresAt.Format(time.RFC3339))
	}
	if in.OrganizationID != "" {
		return memberRole(in.Role)
	}
	if in.Role != berth.RoleOperator {
		return berth.Errorf(berth.CodeInvalidRole, "Only operators are invited to the installation").WithField("role").
			WithHint("leave it out, or invite to an organization; %s was given", berth.Quote(string(in.Role)))
	}
	return nil
}

// Invitations returns a page of an organization's, or with "" of the
// installation's, newest first.
func (a *Auth) Invitations(ctx context.Context, actor berth.Actor, organization string, p store.Page) (page []berth.Invitation, next string, err error) {
	err = a.Store.View(ctx, actor, func(tx store.Tx) error {
		if _, err := manages(ctx, tx, actor, action.Invitations, organization); err != nil {
			return err
		}
		page, next, err = tx.ListInvitations(ctx, organization, p)
		return err
	})
	return page, next, err
}

// RevokeInvitation closes an invitation. Revoking twice is no error.
func (a *Auth) RevokeInvitation(ctx context.Context, actor berth.Actor, organization, id string) error {
	return a.Store.InTx(ctx, actor, func(tx store.Tx) error {
		if _, err := manages(ctx, tx, actor, action.RevokeInvitation, organization); err != nil {
			return err
		}
		all, _, err := tx.ListInvitations(ctx, organization, store.Page{Limit: store.Unbounded})
		if err != nil {
			return err
		}
		for _, i := range all {
			switch {
			case i.ID != id:
				continue
			case !i.RevokedAt.IsZero():
				return nil
			case !i.AcceptedAt.IsZero():
				return berth.Errorf(berth.CodeStale, "The invitation was accepted").WithHint("remove the member, or disable the user")
			}
			i.RevokedAt = store.Now()
			if err := tx.CloseInvitation(ctx, i); err != nil {
				return err
			}
			return action.RevokeInvitation.Record(ctx, tx, actor, action.Change{At: store.Now(), Organization: organization, Target: id, Before: invitationEntry{i.Email, i.Role, i.ExpiresAt}})
		}
		return berth.Errorf(berth.CodeNotFound, "Invitation not found").WithHint("list the invitations; %s was given", berth.Quote(id))
	})
}

// Accepted is what came of an invitation.
type Accepted struct {
	User           berth.User
	OrganizationID string // "" for the installation
	Role           berth.Role
	Session        string // text of a session that was begun; "" if none was
}

// Accept lets a caller in who has proven the address that an invitation is
// bound to. It works once. Which of unknown, used, expired, revoked and another
// address it was, nobody is told.
func (a *Auth) Accept(ctx context.Context, c Caller, r Request, text string) (out Accepted, err error) {
	if c.proof.zero() {
		return out, berth.Errorf(berth.CodeForbidden, "Your mail address is not proven").
			WithHint("sign in at /auth/oidc/login?invited=true, or with a token whose issuer confirms addresses, and accept within %s", ProofLifetime)
	}
	if !wellFormed(invitationPrefix, text) {
		return out, a.notInvited(r)
	}
	err = a.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		out, err = accept(ctx, tx, c, r, text)
		return err
	})
	if berth.Is(err, berth.CodeInvitationInvalid) {
		err = a.notInvited(r)
	}
	return out, err
}

func accept(ctx context.Context, tx store.Tx, c Caller, r Request, text string) (out Accepted, err error) {
	i, ok, err := tx.InvitationByHash(ctx, hash(text))
	if err != nil {
		return out, err
	}
	// All is compared, whatever is wrong first.
	same := subtle.ConstantTimeCompare(hash(berth.FoldEmail(i.Email)), hash(berth.FoldEmail(c.proof.Email))) == 1
	if !ok || !i.Open(store.Now()) || !same {
		return out, invitationInvalid()
	}
	u, err := c.proof.join(ctx, tx)
	if err != nil {
		return out, err
	}
	if !u.DisabledAt.IsZero() {
		return out, invitationInvalid()
	}
	if i.OrganizationID == "" {
		u.Operator = true
		err = tx.PutUser(ctx, u)
	} else {
		err = addMember(ctx, tx, u.ID, i)
	}
	if err != nil {
		return out, err
	}
	i.AcceptedAt, i.AcceptedBy = store.Now(), u.ID
	if err := tx.CloseInvitation(ctx, i); err != nil {
		if berth.Is(err, berth.CodeStale) {
			return out, invitationInvalid()
		}
		return out, err
	}
	out = Accepted{User: u, OrganizationID: i.OrganizationID, Role: i.Role}
	if !c.proof.bearer && c.Session.UserID != u.ID {
		if out.Session, err = begin(ctx, tx, u, r); err != nil {
			return out, err
		}
	}
	return out, action.AcceptInvitation.Record(ctx, tx, actorOf(u, r), action.Change{At: store.Now(), Organization: i.OrganizationID, Target: i.ID,
		After: invitationEntry{i.Email, i.Role, i.ExpiresAt}})
}

// addMember gives a user what they were invited to, and takes nothing away: an
// admin who is invited as a member stays an admin.
func addMember(ctx context.Context, tx store.Memberships, userID string, i berth.Invitation) error {
	m, is, err := membership(ctx, tx, userID, i.OrganizationID)
	if err != nil || is && (m.Role == berth.RoleAdmin || i.Role == berth.RoleMember) {
		return err
	}
	return tx.PutMembership(ctx, berth.Membership{UserID: userID, OrganizationID: i.OrganizationID, Role: i.Role, CreatedAt: store.Now()})
}

func (a *Auth) notInvited(r Request) error {
	if a.failures.note(time.Now(), network(r.Address)) {
		return rateLimited()
	}
	return invitationInvalid()
}

func invitationInvalid() error {
	return berth.Errorf(berth.CodeInvitationInvalid, "The invitation is not valid for you").
		WithHint("check that it is whole, and that you signed in with the address it was made for; or ask for another")
}
