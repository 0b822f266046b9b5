package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/auth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	ada   = "11111111-1111-4111-8111-111111111111"
	grace = "22222222-2222-4222-8222-222222222222"
)

// put stores what only Berth itself stores.
func (w *world) put(fn func(tx store.Tx) error) {
	w.t.Helper()
	w.must(w.store.InTx(w.t.Context(), berth.System(), fn))
}

// organization makes one whose people are allowed what is given.
func (w *world) organization(id string, allowed berth.Scopes) {
	w.t.Helper()
	w.put(func(tx store.Tx) error {
		return tx.PutOrganization(w.t.Context(), berth.Organization{ID: id, Name: "Org", SelfService: allowed, CreatedAt: moment()})
	})
}

// user makes one with roles, by organization.
func (w *world) user(id, email string, operator bool, roles map[string]berth.Role) {
	w.t.Helper()
	w.put(func(tx store.Tx) error {
		if err := tx.PutUser(w.t.Context(), berth.User{ID: id, Email: email, Name: email, Operator: operator, CreatedAt: moment()}); err != nil {
			return err
		}
		for org, role := range roles {
			if err := tx.PutMembership(w.t.Context(), berth.Membership{UserID: id, OrganizationID: org, Role: role, CreatedAt: moment()}); err != nil {
				return err
			}
		}
		return nil
	})
}

func moment() time.Time { return store.Now() }

// tokenFor makes a token of an organization.
func (w *world) tokenFor(role berth.Role, org string, scopes ...string) string {
	w.t.Helper()
	s, err := berth.ParseScopes(scopes)
	w.must(err)
	text, _, err := w.auth.Create(w.t.Context(), berth.System(), auth.NewToken{Name: string(role), Role: role, OrganizationID: org, Scopes: s})
	w.must(err)
	return text
}

// as asks with another token.
func (w *world) as(token, method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.ask(method, path, body, append([]string{"Authorization", "Bearer " + token}, headers...)...)
}

func (w *world) want(a answer, status int, what string) map[string]any {
	w.t.Helper()
	if status >= 400 {
		return w.wantProblem(a, status, what)
	}
	if a.status != status {
		w.t.Fatalf("%s: %d, want %d: %s", what, a.status, status, a.body)
	}
	if a.body == "" {
		return nil
	}
	return a.json(w.t)
}

func TestATokenMayDoNoMoreThanWhoMadeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, berth.ScopeStart)
	w.organization(two, 0)
	tokens := map[string]string{
		"operator": w.token, "admin": w.tokenFor(berth.RoleAdmin, one), "member": w.tokenFor(berth.RoleMember, one),
		"deployer": w.tokenFor(berth.RoleDeployer, one), "their deployer": w.tokenFor(berth.RoleDeployer, ""),
		"reader": w.tokenFor(berth.RoleOperator, "", "read"), "people": w.tokenFor(berth.RoleOperator, "", "read", "people"),
		"narrow admin": w.tokenFor(berth.RoleAdmin, one, "people", "read"),
	}
	for _, c := range []struct {
		who, body string
		status    int
		code      string
	}{
		{"operator", `{"name":"x"}`, 201, ""},
		{"operator", `{"name":"x","role":"deployer"}`, 201, ""},
		{"operator", `{"name":"x","role":"admin"}`, 422, "invalid_role"},
		{"operator", `{"name":"x","role":"admin","organizationId":"` + one + `"}`, 201, ""},
		{"operator", `{"name":"x","role":"operator","organizationId":"` + one + `"}`, 422, "invalid_role"},
		{"operator", `{"name":"x","role":"root"}`, 422, "invalid_role"},
		{"operator", `{"name":"x","role":"system"}`, 422, "invalid_role"},
		{"operator", `{"name":"x","role":"member","organizationId":"` + ada + `"}`, 404, "organization_not_found"},
		{"operator", `{"name":"x","role":"member","organizationId":"x"}`, 422, "invalid_organization_id"},
		{"operator", `{"name":"x","role":"member","organizationId":"` + one + `","scopes":["deploy"]}`, 422, "invalid_scope"},
		{"operator", `{"name":"x","scopes":["everything"]}`, 422, "invalid_scope"},
		{"operator", `{"name":"x","expiresAt":"2001-01-01T00:00:00Z"}`, 422, "invalid_request"},
		{"operator", `{"name":""}`, 422, "invalid_request"},
		{"admin", `{"name":"x","role":"member"}`, 201, ""},
		{"admin", `{"name":"x","role":"admin","organizationId":"` + one + `"}`, 201, ""},
		{"admin", `{"name":"x","role":"admin","scopes":["start"]}`, 201, ""},
		{"admin", `{"name":"x","role":"admin","scopes":["stop"]}`, 403, "self_service_denied"},
		{"admin", `{"name":"x","role":"deployer"}`, 403, "self_service_denied"},
		{"admin", `{"name":"x"}`, 403, "forbidden"},
		{"admin", `{"name":"x","role":"operator"}`, 403, "forbidden"},
		{"admin", `{"name":"x","role":"member","organizationId":"` + two + `"}`, 404, "organization_not_found"},
		{"narrow admin", `{"name":"x","role":"admin"}`, 201, ""},
		{"narrow admin", `{"name":"x","role":"admin","scopes":["audit"]}`, 403, "forbidden"},
		{"member", `{"name":"x","role":"member"}`, 403, "forbidden"},
		{"deployer", `{"name":"x","role":"deployer"}`, 403, "forbidden"},
		{"their deployer", `{"name":"x","role":"deployer"}`, 403, "forbidden"},
		{"their deployer", `{"name":"x","role":"member","organizationId":"` + one + `"}`, 403, "forbidden"},
		{"reader", `{"name":"x","role":"deployer"}`, 403, "forbidden"},
		{"people", `{"name":"x","role":"member","organizationId":"` + one + `"}`, 201, ""},
		{"people", `{"name":"x","role":"admin","organizationId":"` + one + `","scopes":["audit"]}`, 403, "forbidden"},
		{"people", `{"name":"x"}`, 403, "forbidden"},
	} {
		a := w.as(tokens[c.who], "POST", "/api/tokens", c.body)
		got := w.want(a, c.status, c.who+" makes "+c.body)
		if c.status != 201 {
			if got["code"] != c.code {
				t.Errorf("%s makes %s: code %v, want %s", c.who, c.body, got["code"], c.code)
			}
			continue
		}
		if a := w.as(got["token"].(string), "GET", "/api/me", ""); a.status != 200 || a.json(t)["role"] != got["role"] {
			t.Errorf("%s made %s, who is %s", c.who, c.body, a.body)
		}
	}
	narrow := w.want(w.as(tokens["narrow admin"], "POST", "/api/tokens", `{"name":"n","role":"admin"}`), 201, "narrow")
	if got := fmt.Sprint(narrow["scopes"]); got != "[read people]" {
		t.Errorf("a narrow token made one with %s", got)
	}
}

func TestTokensAreListedAndRevokedByWhoManagesThemOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	w.organization(two, 0)
	admin, other, member := w.tokenFor(berth.RoleAdmin, one), w.tokenFor(berth.RoleAdmin, two), w.tokenFor(berth.RoleMember, one)
	made := w.want(w.as(admin, "POST", "/api/tokens", `{"name":"mine","role":"member"}`), 201, "make")
	path := "/api/tokens/" + made["id"].(string)
	w.want(w.as(other, "DELETE", path, ""), 404, "another organization's admin revokes")
	w.want(w.as(other, "GET", "/api/tokens?organizationId="+one, ""), 404, "another organization's admin lists")
	w.want(w.as(member, "GET", "/api/tokens", ""), 403, "a member lists")
	if a := w.as(member, "DELETE", path, ""); a.status != 404 && a.status != 403 {
		t.Errorf("a member revokes: %d %s", a.status, a.body)
	}
	if a := w.as(other, "GET", "/api/tokens", ""); strings.Contains(a.body, made["id"].(string)) || strings.Contains(a.body, one) {
		t.Errorf("another organization's admin sees %s", a.body)
	}
	w.want(w.as(made["token"].(string), "GET", "/api/me", ""), 200, "not revoked yet")
	// By pages of one, all of the organization's and none twice.
	seen := map[string]bool{}
	for cursor := ""; ; {
		page := w.want(w.as(admin, "GET", "/api/tokens?limit=1&cursor="+cursor, ""), 200, "page")
		for _, x := range page["tokens"].([]any) {
			x := x.(map[string]any)
			if seen[x["id"].(string)] || x["organizationId"] != one {
				t.Errorf("listed %v", x)
			}
			seen[x["id"].(string)] = true
		}
		if page["nextCursor"] == nil {
			break
		}
		cursor = page["nextCursor"].(string)
	}
	if len(seen) != 3 {
		t.Errorf("%d tokens listed, want 3", len(seen))
	}
	w.want(w.as(admin, "DELETE", path, ""), 204, "its own admin revokes")
	w.want(w.as(admin, "DELETE", path, ""), 204, "twice")
	w.want(w.as(made["token"].(string), "GET", "/api/me", ""), 401, "revoked")
	w.want(w.ask("DELETE", "/api/tokens/nobody", ""), 404, "none")
}

func TestEveryTokenThatIsNotValidIsToldTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked, tok, err := w.auth.Create(t.Context(), berth.System(), auth.NewToken{Name: "revoked"})
	w.must(err)
	w.must(w.auth.Revoke(t.Context(), berth.System(), tok.ID))
	unknown := newWorld(t).token
	first := ""
	for what, token := range map[string]string{"revoked": revoked, "unknown": unknown, "malformed": "berth_x", "a JSON Web Token": "a.b.c", "none": ""} {
		a := w.as(token, "GET", "/api/me", "")
		w.want(a, 401, what)
		if first == "" {
			first = a.body
		}
		if a.body != first {
			t.Errorf("%s is told %s", what, a.body)
		}
	}
}

func TestAnAdminManagesTheirOwnOrganizationsMembersOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	w.organization(two, 0)
	w.user(ada, "ada@example.com", false, map[string]berth.Role{one: berth.RoleMember})
	w.user(grace, "grace@example.com", false, map[string]berth.Role{two: berth.RoleMember})
	admin, member := w.tokenFor(berth.RoleAdmin, one), w.tokenFor(berth.RoleMember, one)
	members := func(org string) string { return "/api/organizations/" + org + "/members" }
	list := w.want(w.as(admin, "GET", members(strings.ToUpper(one)), ""), 200, "list")["members"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["email"] != "ada@example.com" {
		t.Errorf("members: %v", list)
	}
	for _, c := range []struct {
		token, method, path, body string
		status                    int
	}{
		{admin, "GET", members(two), "", 404},
		{admin, "PUT", members(two) + "/" + grace, `{"role":"admin"}`, 404},
		{admin, "DELETE", members(two) + "/" + grace, "", 404},
		{admin, "PUT", members(one) + "/" + grace, `{"role":"member"}`, 404}, // nobody is brought in without being asked
		{admin, "PUT", members(one) + "/" + ada, `{"role":"operator"}`, 422},
		{admin, "PUT", members(one) + "/" + ada, `{"role":"deployer"}`, 403}, // deploying is not allowed
		{admin, "PUT", members("x") + "/" + ada, `{"role":"member"}`, 422},
		{member, "GET", members(one), "", 403},
		{member, "PUT", members(one) + "/" + ada, `{"role":"admin"}`, 403},
		{member, "DELETE", members(one) + "/" + ada, "", 403},
		{admin, "GET", "/api/users", "", 403},
		{admin, "PATCH", "/api/users/" + ada, `{"operator":true}`, 403},
		{admin, "GET", "/api/invitations", "", 403},
		{admin, "POST", "/api/invitations", `{"email":"x@example.com"}`, 403},
		{admin, "PUT", members(one) + "/" + ada, `{"role":"admin"}`, 200},
		{admin, "DELETE", members(one) + "/" + ada, "", 204},
		{admin, "DELETE", members(one) + "/" + ada, "", 404},
		{w.token, "PUT", members(one) + "/" + grace, `{"role":"deployer"}`, 200},
		{w.token, "PUT", members(one) + "/" + one, `{"role":"member"}`, 404},
	} {
		w.want(w.as(c.token, c.method, c.path, c.body), c.status, c.method+" "+c.path+" "+c.body)
	}
}

func TestTheLastOperatorStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(ada, "ada@example.com", true, nil)
	w.user(grace, "grace@example.com", false, nil)
	update := func(id, body string, status int) {
		t.Helper()
		w.want(w.ask("PATCH", "/api/users/"+id, body), status, id+" "+body)
	}
	update(grace, `{"operator":true}`, 200)
	update(grace, `{"disabled":true}`, 200) // a token and Ada are left
	w.user(ada, "ada@example.com", true, nil)
	update(ada, `{"operator":false}`, 200) // the token is left
	update(ada, `{"operator":true}`, 200)
	update(one, `{"operator":true}`, 404)

	// Without a token, Ada is the last: a disabled operator and a token that can
	// only read don't count.
	w.tokenFor(berth.RoleOperator, "", "read")
	operator := berth.Actor{ID: ada, Role: berth.RoleOperator}
	tokens, _, err := w.auth.Tokens(t.Context(), operator, "", store.Page{})
	w.must(err)
	for _, tok := range tokens {
		if tok.Scopes == 0 {
			w.must(w.auth.Revoke(t.Context(), operator, tok.ID))
		}
	}
	no := false
	yes := true
	for what, c := range map[string]auth.UserChange{"demoted": {Operator: &no}, "disabled": {Disabled: &yes}} {
		if _, err := w.auth.UpdateUser(t.Context(), operator, ada, c); !berth.Is(err, berth.CodeForbidden) {
			t.Errorf("the last operator is %s: %v", what, err)
		}
	}
	if _, err := w.auth.UpdateUser(t.Context(), operator, grace, auth.UserChange{Disabled: &no}); err != nil {
		t.Error(err)
	}
	if _, err := w.auth.UpdateUser(t.Context(), operator, ada, auth.UserChange{Disabled: &yes}); err != nil {
		t.Errorf("with another operator: %v", err)
	}
}

func TestEveryChangeOfPeopleIsInTheAuditWithoutASecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	w.user(ada, "ada@example.com", false, map[string]berth.Role{one: berth.RoleMember})
	made := w.want(w.ask("POST", "/api/tokens", `{"name":"x","role":"admin","organizationId":"`+one+`"}`), 201, "token")
	admin := made["token"].(string)
	w.want(w.as(admin, "PUT", "/api/organizations/"+one+"/members/"+ada, `{"role":"admin"}`), 200, "put")
	invited := w.want(w.as(admin, "POST", "/api/organizations/"+one+"/invitations", `{"email":"x@example.com","role":"member"}`), 201, "invite")
	w.want(w.as(admin, "DELETE", "/api/organizations/"+one+"/invitations/"+invited["id"].(string), ""), 204, "revoke invitation")
	w.want(w.as(admin, "DELETE", "/api/organizations/"+one+"/members/"+ada, ""), 204, "remove")
	w.want(w.ask("DELETE", "/api/tokens/"+made["id"].(string), ""), 204, "revoke")
	w.want(w.ask("PATCH", "/api/users/"+ada, `{"operator":true}`), 200, "user")
	w.want(w.as(admin, "GET", "/api/me", ""), http.StatusUnauthorized, "revoked")
	var got []string
	err := w.store.View(t.Context(), berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListAudit(t.Context(), store.AuditFilter{Everything: true, Ascending: true})
		for _, e := range list {
			if e.ActorName == "berth" || e.Outcome == berth.AuditDenied { // another test's
				continue
			}
			got = append(got, e.Action)
			if e.RequestID == "" || e.Address != "192.0.2.1" || e.ActorID == "" || e.ActorRole == "" || e.Target == "" {
				t.Errorf("entry %+v", e)
			}
			for _, secret := range []string{admin, invited["invitation"].(string)} {
				if strings.Contains(e.Before+e.After, secret[20:40]) {
					t.Errorf("entry %+v holds a secret", e)
				}
			}
		}
		return err
	})
	w.must(err)
	if want := "[token.create member.put user.invite invitation.revoke member.remove token.revoke user.update]"; fmt.Sprint(got) != want {
		t.Errorf("audit: %v, want %s", got, want)
	}
}
