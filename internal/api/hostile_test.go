package api_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
)

// Whoever has a token can have a body read; what it may do is looked at later.
func TestABodyOfManyHalvesOfPairsIsReadInOneGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	member := w.tokenFor(berth.RoleMember, one)
	body := `{"kinds":[` + strings.Repeat(`"\ud800",`, 110_000) + `"` + "\ufffd" + `"]}`
	began := time.Now()
	w.as(member, "POST", "/api/notifications", body)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%d bytes took %s", len(body), took)
	}
}

func TestOneOrganizationsChannelsLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, org := range []string{one, two} {
		w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+org+`","tenantName":"T","imageTag":"app:1"}`), 201, "provision")
	}
	admin := w.tokenFor(berth.RoleAdmin, one)
	for range 200 {
		w.want(w.as(admin, "POST", "/api/notifications", `{"url":"https://h.example.com/x"}`), 201, "channel")
	}
	w.want(w.as(admin, "POST", "/api/notifications", `{"url":"https://h.example.com/x"}`), 422, "one too many")
	w.want(w.ask("POST", "/api/notifications", `{"url":"https://h.example.com/x"}`), 201, "the operator's")
	w.want(w.as(w.tokenFor(berth.RoleAdmin, two), "POST", "/api/notifications", `{"url":"https://h.example.com/x"}`), 201, "another's")
	w.want(w.ask("POST", "/api/notifications", `{"url":"https://h.example.com/x","organizationId":"`+one+`"}`), 422, "the operator's for them")
}

// Limits are what an operator sells: a rollback by who may not scale keeps them.
func TestARollbackGivesBackNoLimitsToWhoMayNotScale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"T","imageTag":"app:1","memoryLimitMb":2048,"cpuLimit":2,"start":true}`), 201, "provision")
	w.want(w.ask("POST", "/api/tenants/"+one+"/scale", `{"memoryLimitMb":512,"cpuLimit":0.5}`), 200, "scale down")
	w.organization(one, berth.ScopeDeploy)
	list := w.ask("GET", "/api/tenants/"+one+"/deployments", "").json(t)["deployments"].([]any)
	back := `{"deploymentId":"` + list[len(list)-1].(map[string]any)["id"].(string) + `"}`
	for what, token := range map[string]string{
		"admin": w.tokenFor(berth.RoleAdmin, one), "deployer": w.tokenFor(berth.RoleDeployer, one), "our deployer": w.tokenFor(berth.RoleDeployer, ""),
		"narrow operator": w.tokenFor(berth.RoleOperator, "", "read", "deploy"),
	} {
		a := w.want(w.as(token, "POST", "/api/tenants/"+one+"/rollback", back), 200, what)
		if a["memoryLimitMb"] != 512.0 || a["cpuLimit"] != 0.5 {
			t.Errorf("%s has %v MB, %v cores", what, a["memoryLimitMb"], a["cpuLimit"])
		}
	}
	if a := w.want(w.ask("POST", "/api/tenants/"+one+"/rollback", back), 200, "operator"); a["memoryLimitMb"] != 2048.0 {
		t.Errorf("an operator's rollback: %v", a["memoryLimitMb"])
	}
}

// A person of two organizations has one set of keys.
func TestAKeyIsOfOneOrganizationAndRole(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, i.config)
	w.organization(one, 0)
	w.organization(two, 0)
	w.user(grace, "grace@example.com", false, map[string]berth.Role{one: berth.RoleAdmin, two: berth.RoleAdmin})
	jwt := sign(t, jose.HS256, i.secret, "", claimsFor(grace, nil))
	ask := func(org string) answer {
		return w.as(jwt, "POST", "/api/tokens", `{"name":"x","role":"member"}`, key, "k", "Berth-Organization", org)
	}
	first := w.want(ask(one), 201, "in one")
	if first["organizationId"] != one {
		t.Fatal(first)
	}
	if p := w.want(ask(two), 422, "the same key in the other"); p["code"] != "idempotency_key_reused" {
		t.Error(p)
	}
	if again := w.want(ask(one), 201, "again"); again["token"] != first["token"] {
		t.Error(again)
	}
	w.want(w.ask("PUT", "/api/organizations/"+one+"/members/"+grace, `{"role":"member"}`), 200, "demote")
	if a := ask(one); a.status == 201 || strings.Contains(a.body, first["token"].(string)) {
		t.Errorf("a member is shown a token again: %d %s", a.status, a.body)
	}
}

// A letter that only looks alike when its case is changed is another's address.
func TestAnAddressIsFoldedInASCIIOnly(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, i.config)
	w.organization(one, 0)
	w.user(ada, "kim@example.com", true, nil)
	for _, address := range []string{"\u212aim@example.com", "k\u0130m@example.com", "kim@e\u212aample.com"} {
		invited := w.want(w.ask("POST", "/api/organizations/"+one+"/invitations", `{"email":"kim@example.com","role":"admin"}`), 201, "invite")["invitation"].(string)
		jwt := sign(t, jose.HS256, i.secret, "", claimsFor(grace, map[string]any{"email": address, "email_verified": true}))
		w.want(w.as(jwt, "POST", "/api/invitations/accept", `{"invitation":"`+invited+`"}`), 403, address)
	}
	jwt := sign(t, jose.HS256, i.secret, "", claimsFor(grace, map[string]any{"email": "\u212aim@example.com", "email_verified": true}))
	own := w.want(w.ask("POST", "/api/organizations/"+one+"/invitations", "{\"email\":\"\u212aim@example.com\",\"role\":\"member\"}"), 201, "invite")["invitation"].(string)
	if a := w.want(w.as(jwt, "POST", "/api/invitations/accept", `{"invitation":"`+own+`"}`), 200, "their own"); a["userId"] != grace {
		t.Errorf("came in as %v", a["userId"])
	}
}

// Many addresses must not keep what a known actor tries out of the audit.
func TestStrangersLeaveRoomForWhoIsKnownInTheAudit(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(_ *auth.Config, c *api.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	w.organization(one, 0)
	member := w.tokenFor(berth.RoleMember, one)
	for n := range 10_050 {
		w.from("10.0.0.1:1", netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, byte(n >> 8), byte(n)}).String(), "")
	}
	id := w.as(member, "POST", "/api/backup", "").header.Get("X-Request-Id")
	if list := w.ask("GET", "/api/audit?organizationId="+one, "").body; !strings.Contains(list, id) {
		t.Errorf("not recorded: %s", list)
	}
	w.endRun()
	if list := w.ask("GET", "/api/audit?organizationId=installation&action=denied.", "").body; !strings.Contains(list, `"suppressed":9990`) {
		t.Errorf("not counted: %s", list)
	}
}

// What is refused before it is known for whom counts too.
func TestWhoNamesAnothersOrganizationIsLimitedToo(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	w := newWorldWith(t, func(c *auth.Config, a *api.Config) {
		i.config(c, a)
		a.Limits = api.Limits{Requests: api.Limit{PerSecond: 0.01, Burst: 5}}
	})
	w.organization(one, 0)
	w.user(grace, "grace@example.com", false, nil)
	for what, token := range map[string]string{"admin": w.tokenFor(berth.RoleAdmin, one), "who belongs nowhere": sign(t, jose.HS256, i.secret, "", claimsFor(grace, nil))} {
		for range 5 {
			w.want(w.as(token, "GET", "/api/tenants", "", "Berth-Organization", two), 403, what)
		}
		w.want(w.as(token, "GET", "/api/tenants", "", "Berth-Organization", two), 429, what)
	}
}

func TestWhatATargetHoldsSteersNoTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	admin := w.tokenFor(berth.RoleAdmin, one)
	for _, ref := range []string{"%00", "x%00y", "%1b%5d0;evil%07", "a%0Ab", "a%c2%9b2J"} {
		a := w.as(admin, "GET", "/api/tenants/"+ref, "")
		id := a.header.Get("X-Request-Id")
		found := false
		for _, e := range w.ask("GET", "/api/audit?outcome=denied", "").json(t)["entries"].([]any) {
			e := e.(map[string]any)
			if target, _ := e["target"].(string); e["requestId"] == id {
				found = true
				if strings.ContainsFunc(target, unicode.IsControl) {
					t.Errorf("%s: %q", ref, target)
				}
			}
		}
		if !found || a.status != 404 {
			t.Errorf("%s: %d, recorded: %v", ref, a.status, found)
		}
	}
}

func TestANarrowTokenMakesNoDisabledOperatorOneAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(ada, "ada@example.com", true, nil)
	w.user(grace, "grace@example.com", false, nil)
	narrow := w.tokenFor(berth.RoleOperator, "", "installation")
	for _, id := range []string{ada, grace} {
		w.want(w.ask("PATCH", "/api/users/"+id, `{"disabled":true}`), 200, "disable")
	}
	w.want(w.as(narrow, "PATCH", "/api/users/"+ada, `{"disabled":false}`), 403, "an operator")
	w.want(w.as(narrow, "PATCH", "/api/users/"+ada, `{"disabled":false,"operator":false}`), 200, "no operator any more")
	w.want(w.as(narrow, "PATCH", "/api/users/"+grace, `{"operator":true}`), 403, "while they are disabled")
	w.want(w.as(narrow, "PATCH", "/api/users/"+grace, `{"disabled":false}`), 200, "another")
}

// The operator's credentials open more than one customer's images.
func TestItsOwnPeopleDeployNoOtherProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.apply(shop), 201, "shop")
	w.want(w.apply(strings.Replace(shop, "shop", "other", 1)), 201, "other")
	pin := "sha256:" + strings.Repeat("1", 64)
	for _, tag := range []string{"app:2", "r.example.com/a/app:1", "r.example.com/a/app:2", "r.example.com/b/app:1", "r.example.com:5000/a/app:1"} {
		w.engine.Tag(tag, pin)
	}
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"T","blueprint":"shop"}`), 201, "provision")
	w.organization(one, berth.SelfService)
	mine := map[string]string{
		"admin": w.tokenFor(berth.RoleAdmin, one), "deployer": w.tokenFor(berth.RoleDeployer, one),
	}
	path := "/api/tenants/" + one + "/deploy"
	try := func(body string, status int) {
		t.Helper()
		for who, token := range mine {
			w.want(w.as(token, "POST", path, body), status, who+" "+body)
		}
	}
	try(`{"imageTag":"2"}`, 200)
	try(`{"imageTag":"app:1","blueprint":"shop@1"}`, 200)
	try(`{}`, 200)
	for _, body := range []string{
		`{"imageTag":"r.example.com/b/app:1"}`, `{"imageTag":"127.0.0.1:5000/app:1"}`, `{"imageTag":"app2:1"}`, `{"imageTag":"app@` + pin + `x"}`,
		`{"blueprint":"other"}`, `{"blueprint":"builtin"}`, `{"blueprint":"builtin","imageTag":"r.example.com/b/app:1"}`,
	} {
		status := 403
		if strings.Contains(body, pin) {
			status = 422
		}
		try(body, status)
	}
	w.want(w.as(w.tokenFor(berth.RoleDeployer, ""), "POST", path, `{"imageTag":"r.example.com/a/app:1"}`), 200, "the operator's deployer")
	try(`{"imageTag":"r.example.com/a/app:2"}`, 200)
	try(`{"imageTag":"r.example.com/b/app:1"}`, 403)
	try(`{"imageTag":"r.example.com:5000/a/app:1"}`, 403)
	w.want(w.ask("POST", path, `{"blueprint":"other"}`), 200, "an operator")
}

// Nobody writes into a chain that nobody can read.
func TestANamedOrganizationThatIsNotThereHasNoChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	deployer, reader := w.tokenFor(berth.RoleDeployer, ""), w.tokenFor(berth.RoleOperator, "", "read")
	for who, token := range map[string]string{"deployer": deployer, "reader": reader} {
		w.want(w.as(token, "POST", "/api/backup", "", "Berth-Organization", nowhere), 403, who)
		for _, e := range w.ask("GET", "/api/audit?outcome=denied", "").json(t)["entries"].([]any) {
			if e := e.(map[string]any); e["organizationId"] != nil {
				t.Errorf("%s: recorded in the chain of %v", who, e["organizationId"])
			}
		}
	}
	if list := w.ask("GET", "/api/audit?outcome=denied", "").json(t)["entries"].([]any); len(list) != 2 {
		t.Errorf("%d entries", len(list))
	}
}

// What a token may do is bounded in time too.
func TestATokenMakesNoneThatOutlivesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	until := moment().Add(time.Hour)
	for _, n := range []auth.NewToken{{Name: "x", ExpiresAt: until}, {Name: "x", Role: berth.RoleAdmin, OrganizationID: one, ExpiresAt: until}} {
		text, _, err := w.auth.Create(t.Context(), berth.System(), n)
		w.must(err)
		made := w.want(w.as(text, "POST", "/api/tokens", `{"name":"y","role":"member","organizationId":"`+one+`"}`), 201, "without an end")
		if made["expiresAt"] != until.Format(time.RFC3339Nano) {
			t.Errorf("it expires at %v", made["expiresAt"])
		}
		w.want(w.as(text, "POST", "/api/tokens", `{"name":"y","role":"member","organizationId":"`+one+`","expiresAt":"`+until.Add(time.Second).Format(time.RFC3339Nano)+`"}`), 403, "later")
		w.want(w.as(text, "POST", "/api/tokens", `{"name":"y","role":"member","organizationId":"`+one+`","expiresAt":"`+until.Add(-time.Second).Format(time.RFC3339Nano)+`"}`, "Berth-Organization", one), 201, "earlier")
	}
}

// Each token has a limit of its own, so they are counted.
func TestAnOrganizationHasSoManyTokensAndInvitations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization(one, 0)
	w.organization(two, 0)
	admin := w.tokenFor(berth.RoleAdmin, one)
	var last map[string]any
	for range 199 {
		last = w.want(w.as(admin, "POST", "/api/tokens", `{"name":"x","role":"member"}`), 201, "token")
	}
	w.want(w.as(admin, "POST", "/api/tokens", `{"name":"x","role":"member"}`), 422, "one token too many")
	w.want(w.as(w.tokenFor(berth.RoleAdmin, two), "POST", "/api/tokens", `{"name":"x","role":"member"}`), 201, "another organization's")
	w.want(w.as(admin, "DELETE", "/api/tokens/"+last["id"].(string), ""), 204, "revoke")
	w.want(w.as(admin, "POST", "/api/tokens", `{"name":"x","role":"member"}`), 201, "in its place")
	path := "/api/organizations/" + one + "/invitations"
	for range 200 {
		last = w.want(w.as(admin, "POST", path, `{"email":"a@example.com","role":"member"}`), 201, "invitation")
	}
	w.want(w.as(admin, "POST", path, `{"email":"a@example.com","role":"member"}`), 422, "one invitation too many")
	w.want(w.as(admin, "DELETE", path+"/"+last["id"].(string), ""), 204, "revoke")
	w.want(w.as(admin, "POST", path, `{"email":"a@example.com","role":"member"}`), 201, "in its place")
}

// Time in another zone may be of a year that can't be written in UTC.
func TestATimeOfAYearThatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/api/tenants/provision", `{"organizationId":"`+one+`","tenantName":"One","imageTag":"app:1"}`), 201, "provision")
	usage := "/api/tenants/" + one + "/usage?"
	for _, span := range []string{"to=0000-01-01T00:00:00Z", "to=0001-01-01T01:00:00Z", "from=9999-12-30T00:00:00Z&to=9999-12-31T23:59:59-01:00"} {
		w.want(w.ask("GET", usage+span, ""), 422, span)
	}
	w.want(w.ask("GET", usage+"from=9999-12-30T00:00:00Z&to=9999-12-31T23:59:59Z", ""), 200, "the last year")
	w.want(w.ask("POST", "/api/tokens", `{"name":"x","expiresAt":"9999-12-31T23:59:59-23:59"}`), 422, "a token")
	w.want(w.ask("POST", "/api/tokens", `{"name":"x","expiresAt":"9999-12-31T23:59:59Z"}`), 201, "a token of the last year")
}

// What was refused stood in the answer, some of it twice: up to 1 MB.
func TestWhatIsRefusedComesBackShortened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("1", 100_000)
	for what, body := range map[string]string{
		"a number": `{"cpuLimit":` + long + `}`, "an unknown field": `{"` + long + `":1}`, "a field twice": `{"` + long + `":1,"` + long + `":1}`,
	} {
		if a := w.ask("POST", "/api/tenants/provision", body); a.status < 400 || a.status > 499 || len(a.body) > 2000 {
			t.Errorf("%s: %d with %d bytes", what, a.status, len(a.body))
		}
	}
	if a := w.ask("POST", "/api/tokens", `{"expiresAt":"`+long+`"}`); a.status != 400 || len(a.body) > 2000 {
		t.Errorf("a time: %d with %d bytes", a.status, len(a.body))
	}
	if a := w.ask("GET", "/api/tenants?"+long+"=1", ""); a.status != 422 || len(a.body) > 2000 {
		t.Errorf("an unknown parameter: %d with %d bytes", a.status, len(a.body))
	}
}
