package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const membershipColumns = `user_id, organization_id, role, created_at`

// PutMembership implements store.Memberships.
func (t *tx) PutMembership(ctx context.Context, m berth.Membership) error {
	if err := t.MayManage(m.OrganizationID); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `SELECT berth.put_membership($1, $2, $3, $4)`, uuidOrNull(m.UserID), uuidOrNull(m.OrganizationID), string(m.Role), stamp(m.CreatedAt))
	if !isDangling(err) {
		return fault(ctx, err, "write membership")
	}
	var known bool
	if _, err := t.one(ctx, []any{&known}, `SELECT EXISTS (SELECT FROM berth.organizations WHERE id = $1)`, m.OrganizationID); err != nil {
		return fault(ctx, err, "write membership")
	}
	if !known {
		return row.NoOrganization(m.OrganizationID)
	}
	return row.NoUser(m.UserID)
}

// DeleteMembership implements store.Memberships.
func (t *tx) DeleteMembership(ctx context.Context, userID, organizationID string) error {
	if err := t.MayManage(organizationID); err != nil {
		return err
	}
	var there bool
	_, err := t.one(ctx, []any{&there}, `SELECT berth.drop_membership($1, $2)`, uuidOrNull(userID), uuidOrNull(organizationID))
	if err == nil && !there {
		return row.NotFound("Membership")
	}
	return fault(ctx, err, "delete membership")
}

// MembershipsOf implements store.Memberships.
func (t *tx) MembershipsOf(ctx context.Context, userID string) ([]berth.Membership, error) {
	mine, org := narrowed(t.ScopeOfPeople(), "organization_id", "$2")
	list := []berth.Membership{}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var m berth.Membership
		err := rows.Scan(row.MembershipColumns(&m)...)
		list = append(list, m)
		return err
	}, `SELECT `+membershipColumns+` FROM berth.memberships WHERE user_id = $1 AND `+mine+`
		ORDER BY organization_id LIMIT $3`, uuidOrNull(userID), org, row.LargestPage)
	return list, fault(ctx, err, "list memberships")
}

// ListMembers implements store.Memberships.
func (t *tx) ListMembers(ctx context.Context, organizationID string, p store.Page) ([]berth.Membership, string, error) {
	w, err := row.OpenWindow("members", p)
	if err != nil {
		return nil, "", err
	}
	after, err := afterID(w)
	if err != nil || !t.ScopeOfPeople().Shows(organizationID) {
		return []berth.Membership{}, "", err
	}
	return page[berth.Membership]{w, byKey(row.MembershipColumns, func(m berth.Membership) string { return m.UserID }),
		`SELECT ` + membershipColumns + ` FROM berth.memberships WHERE organization_id = $1
		AND user_id > $2 ORDER BY user_id LIMIT $3`, []any{uuidOrNull(organizationID), after}}.read(ctx, t)
}

const invitationColumns = `id, hash, email, organization_id, role, created_by, created_at, expires_at, accepted_at, accepted_by, revoked_at`

// InsertInvitation implements store.Invitations.
func (t *tx) InsertInvitation(ctx context.Context, i berth.Invitation) error {
	if err := t.MayManage(i.OrganizationID); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `INSERT INTO berth.invitations (`+invitationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		i.ID, i.Hash, i.Email, row.OrNull(i.OrganizationID), string(i.Role), row.OrNull(i.CreatedBy), stamp(i.CreatedAt),
		stamp(i.ExpiresAt), stamp(i.AcceptedAt), row.OrNull(i.AcceptedBy), stamp(i.RevokedAt))
	if isDangling(err) {
		return row.NoOrganization(i.OrganizationID)
	}
	return fault(ctx, err, "insert invitation")
}

// InvitationByHash implements store.Invitations.
func (t *tx) InvitationByHash(ctx context.Context, hash []byte) (i berth.Invitation, ok bool, err error) {
	if !t.Everything() {
		return berth.Invitation{}, false, nil
	}
	ok, err = t.one(ctx, row.InvitationColumns(&i), `SELECT `+invitationColumns+` FROM berth.invitations WHERE hash = $1`, hash)
	return i, ok, fault(ctx, err, "read invitation")
}

// CloseInvitation implements store.Invitations.
func (t *tx) CloseInvitation(ctx context.Context, i berth.Invitation) error {
	if err := t.Writable(); err != nil {
		return err
	}
	var stored berth.Invitation
	ok, err := t.one(ctx, row.InvitationColumns(&stored), `SELECT `+invitationColumns+` FROM berth.invitations WHERE id = $1`, i.ID)
	if err != nil {
		return fault(ctx, err, "read invitation")
	}
	if !ok || !t.Actor.MayManage(stored.OrganizationID) {
		return row.NotFound("Invitation")
	}
	if i.AcceptedBy != "" {
		var known bool
		if _, err := t.one(ctx, []any{&known}, `SELECT EXISTS (SELECT FROM berth.users WHERE id = $1)`, uuidOrNull(i.AcceptedBy)); err != nil {
			return fault(ctx, err, "read user")
		}
		if !known {
			return row.NoUser(i.AcceptedBy)
		}
	}
	n, err := t.exec(ctx, `UPDATE berth.invitations SET accepted_at = $1, accepted_by = $2, revoked_at = $3
		WHERE id = $4 AND accepted_at IS NULL AND revoked_at IS NULL`,
		stamp(i.AcceptedAt), row.OrNull(i.AcceptedBy), stamp(i.RevokedAt), i.ID)
	if err == nil && n == 0 {
		return row.Stale("The invitation")
	}
	return fault(ctx, err, "close invitation")
}

// ListInvitations implements store.Invitations.
func (t *tx) ListInvitations(ctx context.Context, organizationID string, p store.Page) ([]berth.Invitation, string, error) {
	w, err := row.OpenWindow("invitations", p)
	if err != nil {
		return nil, "", err
	}
	before, err := w.Before()
	if err != nil || !t.Actor.MayManage(organizationID) {
		return []berth.Invitation{}, "", err
	}
	return page[berth.Invitation]{w, bySeq(row.InvitationColumns), `SELECT ` + invitationColumns + `, seq FROM berth.invitations
		WHERE ` + ofOrganization(organizationID, "$1") + ` AND seq < $2 ORDER BY organization_id DESC, seq DESC LIMIT $3`, []any{uuidOrNull(organizationID), before}}.read(ctx, t)
}
