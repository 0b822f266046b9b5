package auth

import (
	"context"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Known tells whose what a request brought is or was, once Authenticate refused
// it with err. It is for the audit: nobody is let in for it. The zero Actor is
// nobody.
func (a *Auth) Known(ctx context.Context, r Request, err error) berth.Actor {
	if berth.Is(err, berth.CodeRateLimited) {
		return berth.Actor{} // what guesses gets no more work done
	}
	switch {
	case strings.Count(r.Bearer, ".") == 2:
		if berth.Is(err, berth.CodeUnauthenticated) {
			return berth.Actor{} // whatever it says, nobody vouches for it
		}
		r.Organization = ""
		if c, err := a.byJWT(ctx, r); err == nil {
			return berth.Actor{ID: c.User.ID, Name: c.User.Name}
		}
	case wellFormed(tokenPrefix, r.Bearer):
		if t, ok, err := a.tokenOf(ctx, r.Bearer); err == nil && ok {
			return t.Actor()
		}
	case r.Bearer == "" && wellFormed(sessionPrefix, r.Session):
		return a.ofSession(ctx, r.Session)
	}
	return berth.Actor{}
}

func (a *Auth) ofSession(ctx context.Context, text string) (actor berth.Actor) {
	_ = a.Store.View(ctx, berth.System(), func(tx store.Tx) error { // who can't be found is nobody
		s, ok, err := tx.SessionByHash(ctx, hash(text))
		if err != nil || !ok {
			return err
		}
		u, err := tx.User(ctx, s.UserID)
		if err == nil {
			actor = berth.Actor{ID: u.ID, Name: u.Name}
		}
		return err
	})
	return actor
}
