package sqlite

import (
	"context"
	"database/sql"

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
	_, err := t.exec(ctx, `INSERT INTO memberships (`+membershipColumns+`) VALUES (?, ?, ?, ?)
		ON CONFLICT (user_id, organization_id) DO UPDATE SET role = excluded.role`,
		m.UserID, m.OrganizationID, string(m.Role), stamp(m.CreatedAt))
	if !isDangling(err) {
		return fault(ctx, err, "write membership")
	}
	var known bool
	if _, err := t.one(ctx, []any{&known}, `SELECT EXISTS (SELECT 1 FROM organizations WHERE id = ?)`, m.OrganizationID); err != nil {
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
	n, err := t.exec(ctx, `DELETE FROM memberships WHERE user_id = ? AND organization_id = ?`, userID, organizationID)
	if err == nil && n == 0 {
		return row.NotFound("Membership")
	}
	return fault(ctx, err, "delete membership")
}

// MembershipsOf implements store.Memberships.
func (t *tx) MembershipsOf(ctx context.Context, userID string) ([]berth.Membership, error) {
	mine, org := narrowed(t.ScopeOfPeople(), "organization_id", "?2")
	list := []berth.Membership{}
	err := t.many(ctx, func(rows *sql.Rows) error {
		var m berth.Membership
		err := rows.Scan(row.MembershipColumns(&m)...)
		list = append(list, m)
		return err
	}, `SELECT `+membershipColumns+` FROM memberships WHERE user_id = ?1 AND `+mine+`
		ORDER BY organization_id LIMIT ?3`, userID, org, row.LargestPage)
	return list, fault(ctx, err, "list memberships")
}

// ListMembers implements store.Memberships.
func (t *tx) ListMembers(ctx context.Context, organizationID string, p store.Page) ([]berth.Membership, string, error) {
	w, err := row.OpenWindow("members", p)
	if err != nil {
		return nil, "", err
	}
	if !t.ScopeOfPeople().Shows(organizationID) {
		return []berth.Membership{}, "", nil
	}
	return page[berth.Membership]{w, byKey(row.MembershipColumns, func(m berth.Membership) string { return m.UserID }),
		`SELECT ` + membershipColumns + ` FROM memberships WHERE organization_id = ? AND user_id > ? ORDER BY user_id LIMIT ?`,
		[]any{organizationID, w.Key}}.read(ctx, t)
}

const invitationColumns = `id, hash, email, organization_id, role, created_by, created_at, expires_at, accepted_at, accepted_by, revoked_at`

// InsertInvitation implements store.Invitations.
func (t *tx) InsertInvitation(ctx context.Context, i berth.Invitation) error {
	if err := t.MayManage(i.OrganizationID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO invitations (`+invitationColumns+`, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM invitations))`,
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
	ok, err = t.one(ctx, row.InvitationColumns(&i), `SELECT `+invitationColumns+` FROM invitations WHERE hash = ?`, hash)
	return i, ok, fault(ctx, err, "read invitation")
}

// CloseInvitation implements store.Invitations.
func (t *tx) CloseInvitation(ctx context.Context, i berth.Invitation) error {
	if err := t.Writable(); err != nil {
		return err
	}
	var stored berth.Invitation
	ok, err := t.one(ctx, row.InvitationColumns(&stored), `SELECT `+invitationColumns+` FROM invitations WHERE id = ?`, i.ID)
	if err != nil {
		return fault(ctx, err, "read invitation")
	}
	if !ok || !t.Actor.MayManage(stored.OrganizationID) {
		return row.NotFound("Invitation")
	}
	n, err := t.exec(ctx, `UPDATE invitations SET accepted_at = ?, accepted_by = ?, revoked_at = ?
		WHERE id = ? AND accepted_at IS NULL AND revoked_at IS NULL`,
		stamp(i.AcceptedAt), row.OrNull(i.AcceptedBy), stamp(i.RevokedAt), i.ID)
	switch {
	case isDangling(err):
		return row.NoUser(i.AcceptedBy)
	case err == nil && n == 0:
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
	return page[berth.Invitation]{w, bySeq(row.InvitationColumns), `SELECT ` + invitationColumns + `, seq FROM invitations
		WHERE organization_id IS ? AND seq < ? ORDER BY seq DESC LIMIT ?`, []any{row.OrNull(organizationID), before}}.read(ctx, t)
}
