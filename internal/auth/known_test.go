package auth

import (
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

func TestWhoseATokenOrASessionWasIsKnownForTheAuditOnly(t *testing.T) {
	a := newAuth(t, t.TempDir())
	text, tok, err := a.Create(t.Context(), berth.System(), NewToken{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	session := sessionOf(t, a)
	if err := a.Revoke(t.Context(), berth.System(), tok.ID); err != nil {
		t.Fatal(err)
	}
	err = a.Store.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		s, _, err := tx.SessionByHash(t.Context(), hash(session))
		if err != nil {
			return err
		}
		s.RevokedAt = store.Now()
		return tx.UpdateSession(t.Context(), s)
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		request Request
		id      string
	}{
		"a revoked token":       {Request{Bearer: text}, tok.ID},
		"an ended session":      {Request{Session: session}, user},
		"an unknown token":      {Request{Bearer: newText(tokenPrefix)}, ""},
		"an unknown session":    {Request{Session: newText(sessionPrefix)}, ""},
		"a bearer of no kind":   {Request{Bearer: "x", Session: session}, ""},
		"nothing":               {Request{}, ""},
		"a web token of no one": {Request{Bearer: "a.b.c"}, ""},
	} {
		_, refused := a.Authenticate(t.Context(), c.request)
		if !berth.Is(refused, berth.CodeUnauthenticated) {
			t.Errorf("%s: %v", what, refused)
		}
		if got := a.Known(t.Context(), c.request, refused); got.ID != c.id {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if got := a.Known(t.Context(), Request{Bearer: text}, rateLimited()); got.ID != "" {
		t.Errorf("beyond the limit: %+v", got)
	}
}
