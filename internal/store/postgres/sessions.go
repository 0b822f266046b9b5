package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

const sessionColumns = `id, hash, user_id, address, created_at, expires_at, last_seen_at, revoked_at`

// InsertSession implements store.Sessions.
func (t *tx) InsertSession(ctx context.Context, s berth.Session) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.guarded(ctx, `INSERT INTO berth.sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.ID, s.Hash, s.UserID, s.Address, stamp(s.CreatedAt), stamp(s.ExpiresAt), stamp(s.LastSeenAt), stamp(s.RevokedAt))
	if isDangling(err) {
		return row.NoUser(s.UserID)
	}
	return fault(ctx, err, "insert session")
}

// SessionByHash implements store.Sessions.
func (t *tx) SessionByHash(ctx context.Context, hash []byte) (s berth.Session, ok bool, err error) {
	if !t.Everything() {
		return berth.Session{}, false, nil
	}
	ok, err = t.one(ctx, row.SessionColumns(&s), `SELECT `+sessionColumns+` FROM berth.sessions WHERE hash = $1`, hash)
	return s, ok, fault(ctx, err, "read session")
}

// UpdateSession implements store.Sessions.
func (t *tx) UpdateSession(ctx context.Context, s berth.Session) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	n, err := t.exec(ctx, `UPDATE berth.sessions SET revoked_at = coalesce(revoked_at, $2),
		last_seen_at = greatest(last_seen_at, $3) WHERE id = $1`,
		s.ID, stamp(s.RevokedAt), stamp(s.LastSeenAt))
	if err == nil && n == 0 {
		return row.NotFound("Session")
	}
	return fault(ctx, err, "update session")
}

// SessionsOf implements store.Sessions.
func (t *tx) SessionsOf(ctx context.Context, userID string, now time.Time) ([]berth.Session, error) {
	list := []berth.Session{}
	if !t.Everything() {
		return list, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var s berth.Session
		err := rows.Scan(row.SessionColumns(&s)...)
		list = append(list, s)
		return err
	}, `SELECT `+sessionColumns+` FROM berth.sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
		ORDER BY seq DESC LIMIT $3`, uuidOrNull(userID), stamp(now), row.LargestPage)
	return list, fault(ctx, err, "list sessions")
}

// ForgetSessions implements store.Sessions.
func (t *tx) ForgetSessions(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.sessions WHERE id = ANY (ARRAY(
		SELECT id FROM berth.sessions WHERE expires_at < $1
		UNION ALL SELECT id FROM berth.sessions WHERE revoked_at < $1 AND expires_at >= $1 LIMIT $2))`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget sessions")
}
