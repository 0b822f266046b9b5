package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

const sessionColumns = `id, hash, user_id, address, created_at, expires_at, last_seen_at, revoked_at`

// InsertSession implements store.Sessions.
func (t *tx) InsertSession(ctx context.Context, s berth.Session) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO sessions (`+sessionColumns+`, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM sessions))`,
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
	ok, err = t.one(ctx, row.SessionColumns(&s), `SELECT `+sessionColumns+` FROM sessions WHERE hash = ?`, hash)
	return s, ok, fault(ctx, err, "read session")
}

// UpdateSession implements store.Sessions.
func (t *tx) UpdateSession(ctx context.Context, s berth.Session) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	n, err := t.exec(ctx, `UPDATE sessions SET revoked_at = coalesce(revoked_at, ?2),
		last_seen_at = nullif(max(coalesce(last_seen_at, ''), coalesce(?3, '')), '') WHERE id = ?1`,
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
	err := t.many(ctx, func(rows *sql.Rows) error {
		var s berth.Session
		err := rows.Scan(row.SessionColumns(&s)...)
		list = append(list, s)
		return err
	}, `SELECT `+sessionColumns+` FROM sessions WHERE user_id = ? AND revoked_at IS NULL AND expires_at > ?
		ORDER BY seq DESC LIMIT ?`, userID, stamp(now), row.LargestPage)
	return list, fault(ctx, err, "list sessions")
}

// ForgetSessions implements store.Sessions.
func (t *tx) ForgetSessions(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < ?1
		UNION ALL SELECT id FROM sessions WHERE revoked_at < ?1 AND expires_at >= ?1 LIMIT ?2)`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget sessions")
}
