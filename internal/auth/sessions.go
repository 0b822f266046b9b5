package auth

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// A session ends sessionIdle after its last use, and SessionLifetime after its
// beginning whatever happens.
const (
	sessionIdle     = 12 * time.Hour
	SessionLifetime = 7 * 24 * time.Hour
)

func live(s berth.Session, at time.Time) bool {
	return s.Valid(at) && at.Sub(s.LastSeenAt) < sessionIdle
}

func (a *Auth) bySession(ctx context.Context, r Request) (c Caller, err error) {
	if !wellFormed(sessionPrefix, r.Session) {
		return c, a.failed(r)
	}
	at := store.Now()
	valid := false
	err = a.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		valid = false
		s, ok, err := tx.SessionByHash(ctx, hash(r.Session))
		if err != nil || !ok || !live(s, at) {
			return err
		}
		u, err := tx.User(ctx, s.UserID)
		if berth.Is(err, berth.CodeUserNotFound) || err == nil && !u.DisabledAt.IsZero() {
			return nil
		}
		if err != nil {
			return err
		}
		if c, err = person(ctx, tx, u, r); err != nil {
			return err
		}
		c.Session, valid = s, true
		return nil
	})
	if err != nil {
		return c, err
	}
	if !valid {
		return c, a.failed(r)
	}
	if at.Sub(c.Session.LastSeenAt) >= usePrecision && !r.Again {
		c.Session.LastSeenAt = at
		// A request does not fail because its session's last use can't be noted.
		_ = a.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.UpdateSession(ctx, c.Session) })
	}
	return c, nil
}

// sessions is what beginning and ending a session needs of a transaction.
type sessions interface {
	store.Sessions
	store.Audit
}

// begin makes a session for a user and returns its text.
func begin(ctx context.Context, tx sessions, u berth.User, r Request) (text string, err error) {
	at := store.Now()
	text = newText(sessionPrefix)
	s := berth.Session{
		ID: berth.NewID(), Hash: hash(text), UserID: u.ID, Address: r.Address,
		CreatedAt: at, ExpiresAt: at.Add(SessionLifetime), LastSeenAt: at,
	}
	if err := tx.InsertSession(ctx, s); err != nil {
		return "", err
	}
	return text, action.BeginSession.Record(ctx, tx, actorOf(u, r), action.Change{At: store.Now(), Target: s.ID, After: sessionEntry{u.ID, s.ExpiresAt}})
}

// actorOf is a person as the audit names them, whatever they act for.
func actorOf(u berth.User, r Request) berth.Actor {
	actor := berth.Actor{ID: u.ID, Name: u.Name, Address: r.Address, RequestID: r.ID}
	if u.Operator {
		actor.Role = berth.RoleOperator
	}
	return actor
}

type sessionEntry struct {
	UserID    string    `json:"userId"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// end revokes a session, which is no error if it is over.
func end(ctx context.Context, tx sessions, actor berth.Actor, s berth.Session) error {
	if !s.RevokedAt.IsZero() {
		return nil
	}
	s.RevokedAt = store.Now()
	if err := tx.UpdateSession(ctx, s); err != nil {
		return err
	}
	return action.EndSession.Record(ctx, tx, actor, action.Change{At: store.Now(), Target: s.ID, Before: sessionEntry{s.UserID, s.ExpiresAt}})
}

// endAll revokes all of a user's sessions.
func endAll(ctx context.Context, tx sessions, actor berth.Actor, userID string) error {
	for {
		open, err := tx.SessionsOf(ctx, userID, store.Now())
		if err != nil || len(open) == 0 {
			return err
		}
		for _, s := range open {
			if err := end(ctx, tx, actor, s); err != nil {
				return err
			}
		}
	}
}

// Sessions returns a person's own, newest first.
func (a *Auth) Sessions(ctx context.Context, c Caller) (open []berth.Session, err error) {
	if c.User.ID == "" {
		return nil, noPerson()
	}
	at := store.Now()
	var all []berth.Session
	err = a.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		all, err = tx.SessionsOf(ctx, c.User.ID, at)
		return err
	})
	for _, s := range all {
		if live(s, at) {
			open = append(open, s)
		}
	}
	return open, err
}

// EndSession revokes one of a person's own sessions.
func (a *Auth) EndSession(ctx context.Context, c Caller, id string) error {
	if c.User.ID == "" {
		return noPerson()
	}
	actor := actorOf(c.User, Request{Address: c.actor.Address, ID: c.actor.RequestID})
	return a.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		open, err := tx.SessionsOf(ctx, c.User.ID, store.Now())
		if err != nil {
			return err
		}
		for _, s := range open {
			if s.ID == id {
				return end(ctx, tx, actor, s)
			}
		}
		return berth.Errorf(berth.CodeNotFound, "Session not found").WithHint("GET /api/sessions lists yours; %s was given", berth.Quote(id))
	})
}

func noPerson() error {
	return berth.Errorf(berth.CodeForbidden, "Only a person has sessions").WithHint("sign in; a token has none")
}
