package postgres

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const userColumns = `id, email, name, operator, created_at, disabled_at`

// PutUser implements store.Users.
func (t *tx) PutUser(ctx context.Context, u berth.User) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `SELECT berth.put_user($1, $2, $3, $4, $5, $6, $7)`,
		u.ID, u.Email, berth.FoldEmail(u.Email), u.Name, u.Operator, stamp(u.CreatedAt), stamp(u.DisabledAt))
	if _, taken := violated(err, uniqueViolation); taken {
		return row.EmailTaken(u.Email)
	}
	return fault(ctx, err, "write user")
}

// usersSeen selects the users that the actor sees, by $1: all, or the members of
// one organization.
func (t *tx) usersSeen() (query string, organizationID any) {
	s := t.ScopeOfPeople()
	if s.All {
		return `SELECT ` + userColumns + ` FROM berth.users u WHERE $1::uuid IS NULL`, nil
	}
	return `SELECT ` + userColumns + ` FROM berth.users u
		WHERE u.id IN (SELECT m.user_id FROM berth.memberships m WHERE m.organization_id = $1)`, uuidOrNull(s.OrganizationID)
}

func (t *tx) user(ctx context.Context, where string, key any) (u berth.User, ok bool, err error) {
	query, org := t.usersSeen()
	ok, err = t.one(ctx, row.UserColumns(&u), query+` AND `+where+` = $2`, org, key)
	return u, ok, fault(ctx, err, "read user")
}

// User implements store.Users.
func (t *tx) User(ctx context.Context, id string) (berth.User, error) {
	u, ok, err := t.user(ctx, "id", uuidOrNull(id))
	if err == nil && !ok {
		err = row.NoUser(id)
	}
	return u, err
}

// UserByEmail implements store.Users.
func (t *tx) UserByEmail(ctx context.Context, email string) (berth.User, bool, error) {
	return t.user(ctx, "email_folded", berth.FoldEmail(email))
}

// ListUsers implements store.Users.
func (t *tx) ListUsers(ctx context.Context, p store.Page) ([]berth.User, string, error) {
	w, err := row.OpenWindow("users", p)
	if err != nil {
		return nil, "", err
	}
	after, err := afterID(w)
	if err != nil {
		return nil, "", err
	}
	query, org := t.usersSeen()
	return page[berth.User]{w, byKey(row.UserColumns, func(u berth.User) string { return u.ID }),
		query + ` AND id > $2 ORDER BY id LIMIT $3`, []any{org, after}}.read(ctx, t)
}

// PutIdentity implements store.Users.
func (t *tx) PutIdentity(ctx context.Context, i berth.Identity) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `INSERT INTO berth.identities (issuer, subject, user_id) VALUES ($1, $2, $3)
		ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id`, i.Issuer, i.Subject, uuidOrNull(i.UserID))
	if isDangling(err) {
		return row.NoUser(i.UserID)
	}
	return fault(ctx, err, "write identity")
}

// UserByIdentity implements store.Users.
func (t *tx) UserByIdentity(ctx context.Context, issuer, subject string) (u berth.User, ok bool, err error) {
	if !t.Everything() {
		return berth.User{}, false, nil
	}
	ok, err = t.one(ctx, row.UserColumns(&u), `SELECT `+userColumns+` FROM berth.users WHERE id =
		(SELECT user_id FROM berth.identities WHERE issuer = $1 AND subject = $2)`, issuer, subject)
	return u, ok, fault(ctx, err, "read user")
}
