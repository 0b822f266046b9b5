package sqlite

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const userColumns = `id, email, name, operator, created_at, disabled_at`

func userRow(u *berth.User) []any {
	return []any{&u.ID, &u.Email, &u.Name, &u.Operator, instant(&u.CreatedAt), instant(&u.DisabledAt)}
}

// people returns whose users and memberships the actor sees: of one
// organization, of all, or with "" and all false of none.
func (t *tx) people() (all bool, organizationID string) {
	if t.actor.Role == berth.RoleDeployer {
		return false, ""
	}
	return t.scope()
}

// PutUser implements store.Users.
func (t *tx) PutUser(ctx context.Context, u berth.User) error {
	if err := t.mayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO users (`+userColumns+`, email_key) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET email = excluded.email, email_key = excluded.email_key, name = excluded.name,
		operator = excluded.operator, disabled_at = excluded.disabled_at`,
		u.ID, u.Email, u.Name, u.Operator, stamp(u.CreatedAt), stamp(u.DisabledAt), berth.FoldEmail(u.Email))
	if isDuplicate(err) {
		return row.EmailTaken(u.Email)
	}
	return fault(ctx, err, "write user")
}

// whoIsSeen narrows users to those that the actor sees, by two parameters.
const whoIsSeen = `(? OR EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id AND m.organization_id = ?))`

func (t *tx) user(ctx context.Context, where, key string) (u berth.User, ok bool, err error) {
	all, org := t.people()
	ok, err = t.one(ctx, userRow(&u), `SELECT `+userColumns+` FROM users WHERE `+where+` = ? AND `+whoIsSeen, key, all, org)
	return u, ok, fault(ctx, err, "read user")
}

// User implements store.Users.
func (t *tx) User(ctx context.Context, id string) (berth.User, error) {
	u, ok, err := t.user(ctx, "id", id)
	if err == nil && !ok {
		err = row.NoUser(id)
	}
	return u, err
}

// UserByEmail implements store.Users.
func (t *tx) UserByEmail(ctx context.Context, email string) (berth.User, bool, error) {
	return t.user(ctx, "email_key", berth.FoldEmail(email))
}

// ListUsers implements store.Users.
func (t *tx) ListUsers(ctx context.Context, p store.Page) ([]berth.User, string, error) {
	w, err := row.OpenWindow("users", p)
	if err != nil {
		return nil, "", err
	}
	all, org := t.people()
	return page[berth.User]{w, byKey(userRow, func(u berth.User) string { return u.ID }),
		`SELECT ` + userColumns + ` FROM users WHERE ` + whoIsSeen + ` AND id > ? ORDER BY id LIMIT ?`, []any{all, org, w.Key}}.read(ctx, t)
}

// PutIdentity implements store.Users.
func (t *tx) PutIdentity(ctx context.Context, i berth.Identity) error {
	if err := t.mayWrite(""); err != nil {
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
	if !t.everything() {
		return berth.User{}, false, nil
	}
	ok, err = t.one(ctx, userRow(&u), `SELECT `+userColumns+` FROM users WHERE id =
		(SELECT user_id FROM identities WHERE issuer = ? AND subject = ?)`, issuer, subject)
	return u, ok, fault(ctx, err, "read user")
}
