package postgres

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
// organization, of all, or with nil and all false of none.
func (t *tx) people() (all bool, organizationID any) {
	if t.actor.Role == berth.RoleDeployer {
		return false, nil
	}
	return t.scope()
}

// PutUser implements store.Users.
func (t *tx) PutUser(ctx context.Context, u berth.User) error {
	if err := t.mayWrite(""); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `SELECT berth.put_user($1, $2, $3, $4, $5, $6, $7)`,
		u.ID, u.Email, berth.FoldEmail(u.Email), u.Name, u.Operator, stamp(u.CreatedAt), stamp(u.DisabledAt))
	if _, taken := violated(err, uniqueViolation); taken {
		return row.EmailTaken(u.Email)
	}
	return fault(ctx, err, "write user")
}

// whoIsSeen narrows users u to those that the actor sees, by $1 and $2.
const whoIsSeen = `($1 OR EXISTS (SELECT 1 FROM berth.memberships m WHERE m.user_id = u.id AND m.organization_id = $2))`

func (t *tx) user(ctx context.Context, where string, key any) (u berth.User, ok bool, err error) {
	all, org := t.people()
	ok, err = t.one(ctx, userRow(&u), `SELECT `+userColumns+` FROM berth.users u WHERE `+whoIsSeen+` AND `+where+` = $3`, all, org, key)
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
	all, org := t.people()
	return page[berth.User]{w, byKey(userRow, func(u berth.User) string { return u.ID }),
		`SELECT ` + userColumns + ` FROM berth.users u WHERE ` + whoIsSeen + `
		AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4`, []any{all, org, after}}.read(ctx, t)
}

// PutIdentity implements store.Users.
func (t *tx) PutIdentity(ctx context.Context, i berth.Identity) error {
	if err := t.mayWrite(""); err != nil {
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
	if !t.everything() {
		return berth.User{}, false, nil
	}
	ok, err = t.one(ctx, userRow(&u), `SELECT `+userColumns+` FROM berth.users WHERE id =
		(SELECT user_id FROM berth.identities WHERE issuer = $1 AND subject = $2)`, issuer, subject)
	return u, ok, fault(ctx, err, "read user")
}
