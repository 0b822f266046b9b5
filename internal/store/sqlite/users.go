package sqlite

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const userColumns = `u.id, u.email, u.name, u.operator, u.created_at, u.disabled_at`

// PutUser implements store.Users.
func (t *tx) PutUser(ctx context.Context, u berth.User) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO users (id, email, name, operator, created_at, disabled_at, email_key) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET email = excluded.email, email_key = excluded.email_key, name = excluded.name,
		operator = excluded.operator, disabled_at = excluded.disabled_at`,
		u.ID, u.Email, u.Name, u.Operator, stamp(u.CreatedAt), stamp(u.DisabledAt), berth.FoldEmail(u.Email))
	if isDuplicate(err) {
		return row.EmailTaken(u.Email)
	}
	return fault(ctx, err, "write user")
}

// usersSeen selects the users that the actor sees, by ?1: all, or the members of
// one organization.
func (t *tx) usersSeen() (query string, organizationID any) {
	s := t.ScopeOfPeople()
	if s.All {
		return `SELECT ` + userColumns + ` FROM users u WHERE ?1 IS NULL`, nil
	}
	return `SELECT ` + userColumns + ` FROM memberships m CROSS JOIN users u ON u.id = m.user_id
		WHERE m.organization_id = ?1`, row.OrNull(s.OrganizationID)
}

func (t *tx) user(ctx context.Context, where, key string) (u berth.User, ok bool, err error) {
	query, org := t.usersSeen()
	ok, err = t.one(ctx, row.UserColumns(&u), query+` AND `+where+` = ?2`, org, key)
	return u, ok, fault(ctx, err, "read user")
}

// User implements store.Users.
func (t *tx) User(ctx context.Context, id string) (berth.User, error) {
	u, ok, err := t.user(ctx, "u.id", id)
	if err == nil && !ok {
		err = row.NoUser(id)
	}
	return u, err
}

// UserByEmail implements store.Users.
func (t *tx) UserByEmail(ctx context.Context, email string) (berth.User, bool, error) {
	return t.user(ctx, "u.email_key", berth.FoldEmail(email))
}

// ListUsers implements store.Users.
func (t *tx) ListUsers(ctx context.Context, p store.Page) ([]berth.User, string, error) {
	w, err := row.OpenWindow("users", p)
	if err != nil {
		return nil, "", err
	}
	query, org := t.usersSeen()
	by := "u.id"
	if !t.ScopeOfPeople().All {
		by = "m.user_id" // by whose index they come in order
	}
	return page[berth.User]{w, byKey(row.UserColumns, func(u berth.User) string { return u.ID }),
		query + ` AND ` + by + ` > ?2 ORDER BY ` + by + ` LIMIT ?3`, []any{org, w.Key}}.read(ctx, t)
}

// PutIdentity implements store.Users.
func (t *tx) PutIdentity(ctx context.Context, i berth.Identity) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO identities (issuer, subject, user_id) VALUES (?, ?, ?)
		ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id`, i.Issuer, i.Subject, i.UserID)
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
	ok, err = t.one(ctx, row.UserColumns(&u), `SELECT `+userColumns+` FROM users u WHERE u.id =
		(SELECT user_id FROM identities WHERE issuer = ? AND subject = ?)`, issuer, subject)
	return u, ok, fault(ctx, err, "read user")
}
