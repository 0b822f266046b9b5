package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

func TestTheClientDoesAllThatIsAboutPeople(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, i.config)
	w.organization(one, berth.ScopeDeploy)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	connect := func(token string) *client.Client {
		c, err := client.New(server.URL, token, client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
		w.must(err)
		return c
	}
	ctx, c := t.Context(), connect(w.token)
	me, err := c.Me(ctx)
	if err != nil || *me.Role != "operator" || len(me.Scopes) != 9 || me.Kind != "token" {
		t.Errorf("%+v, %v", me, err)
	}
	until := time.Now().Add(time.Hour)
	made, err := c.CreateToken(ctx, client.NewToken{Name: "ci", Role: "deployer", OrganizationID: one, Scopes: []string{"deploy"}, ExpiresAt: &until})
	w.must(err)
	if me, err := connect(made.Text).Me(ctx); err != nil || *me.Role != "deployer" || *me.OrganizationID != one || len(me.Scopes) != 1 {
		t.Errorf("%+v, %v", me, err)
	}
	tokens, err := c.Tokens(ctx, client.TokenFilter{OrganizationID: one, Limit: 10})
	if err != nil || len(tokens.Tokens) != 1 || tokens.Tokens[0].ID != made.ID || *tokens.Tokens[0].OrganizationID != one || tokens.NextCursor != nil {
		t.Errorf("%+v, %v", tokens, err)
	}
	w.must(c.RevokeToken(ctx, made.ID))

	invited, err := c.Invite(ctx, one, client.NewInvitation{Email: "ada@example.com", Role: "member"})
	w.must(err)
	person := connect(sign(t, jose.HS256, i.secret, "", claimsFor(ada, map[string]any{"email": "ada@example.com", "email_verified": true})))
	accepted, err := person.AcceptInvitation(ctx, invited.Text)
	if err != nil || accepted.UserID != ada || *accepted.OrganizationID != one || accepted.Role != "member" {
		t.Errorf("%+v, %v", accepted, err)
	}
	var refused *client.Error
	if _, err := person.AcceptInvitation(ctx, invited.Text); !errors.As(err, &refused) || refused.Code != "invitation_invalid" || refused.Status != http.StatusForbidden {
		t.Errorf("a second time: %v", err)
	}
	again, err := c.Invite(ctx, "", client.NewInvitation{Email: "grace@example.com"})
	w.must(err)
	w.must(c.RevokeInvitation(ctx, "", again.ID))
	invitations, err := c.Invitations(ctx, "", "", 0)
	if err != nil || len(invitations.Invitations) != 1 || invitations.Invitations[0].RevokedAt == nil || invitations.Invitations[0].Role != "operator" {
		t.Errorf("%+v, %v", invitations, err)
	}

	m, err := c.PutMember(ctx, one, ada, "deployer")
	if err != nil || m.Role != "deployer" || m.Email != "ada@example.com" {
		t.Errorf("%+v, %v", m, err)
	}
	members, err := c.Members(ctx, one, "", 5)
	if err != nil || len(members.Members) != 1 || members.Members[0].UserID != ada {
		t.Errorf("%+v, %v", members, err)
	}
	w.must(c.RemoveMember(ctx, one, ada))
	users, err := c.Users(ctx, "", 0)
	if err != nil || len(users.Users) != 1 {
		t.Errorf("%+v, %v", users, err)
	}
	yes := true
	u, err := c.UpdateUser(ctx, ada, client.UserChange{Operator: &yes})
	if err != nil || !u.Operator {
		t.Errorf("%+v, %v", u, err)
	}
	if sessions, err := person.Sessions(ctx); err != nil || len(sessions) != 0 {
		t.Errorf("%+v, %v", sessions, err)
	}
	if err := person.EndSession(ctx, "current"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("no session to end: %v", err)
	}
}
