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

const usersSeen = `SELECT ` + userColumns + ` FROM berth.users `

// members are the ids of those of organization $1: an array, so that the database
// reads them first and looks for these users only.
const members = `ANY (ARRAY(SELECT m.user_id FROM berth.memberships m WHERE m.organization_id = $1))`

// user reads one that the actor sees: any, by all, or a member of its
// organization, $1, by where.
func (t *tx) user(ctx context.Context, all, where string, key any) (u berth.User, ok bool, err error) {
	if s := t.ScopeOfPeople(); s.All {
		ok, err = t.one(ctx, row.UserColumns(&u), usersSeen+`WHERE id = `+all, key)
	} else {
		ok, err = t.one(ctx, row.UserColumns(&u), usersSeen+`WHERE id = `+members+` AND `+where, uuidOrNull(s.OrganizationID), key)
	}
	return u, ok, fault(ctx, err, "read user")
}

// User implements store.Users.
func (t *tx) User(ctx context.Context, id string) (berth.User, error) {
	u, ok, err := t.user(ctx, "$1", "id = $2", uuidOrNull(id))
	if err == nil && !ok {
		err = row.NoUser(id)
	}
	return u, err
}

// UserByEmail implements store.Users.
func (t *tx) UserByEmail(ctx context.Context, email string) (berth.User, bool, error) {
	return t.user(ctx, "(SELECT berth.user_of_address($1))", "email_folded = $2", berth.FoldEmail(email))
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
	read := page[berth.User]{Window: w, scan: byKey(row.UserColumns, func(u berth.User) string { return u.ID })}
	if s := t.ScopeOfPeople(); s.All {
		read.query, read.args = usersSeen+`WHERE id = ANY (ARRAY(SELECT berth.users_after($1, $2))) ORDER BY id`, []any{after}
	} else {
		read.query, read.args = usersSeen+`WHERE id = `+members+` AND id > $2 ORDER BY id LIMIT $3`, []any{uuidOrNull(s.OrganizationID), after}
	}
	return read.read(ctx, t)
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
