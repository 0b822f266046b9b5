package api_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/api"
	"github.com/unite-hub/berth/internal/auth"
)

func TestWhoAsksTooOftenIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(_ *auth.Config, c *api.Config) {
		c.Limits = api.Limits{Requests: api.Limit{PerSecond: 0.01, Burst: 8}, Changes: api.Limit{PerSecond: 0.01, Burst: 3}}
	})
	w.organization(one, 0)
	admin, other := w.tokenFor(berth.RoleAdmin, one), w.tokenFor(berth.RoleAdmin, one)
	for i := range 3 {
		a := w.as(admin, "POST", "/api/tokens", `{"name":"x","role":"member"}`)
		if a.status != 201 || a.header.Get("RateLimit-Limit") != "3" || a.header.Get("RateLimit-Remaining") != strconv.Itoa(2-i) {
			t.Errorf("change %d: %d %v", i, a.status, a.header)
		}
	}
	a := w.as(admin, "POST", "/api/tokens", `{"name":"x","role":"member"}`)
	p := w.wantProblem(a, 429, "one change too many")
	if after, err := strconv.Atoi(a.header.Get("Retry-After")); p["code"] != "rate_limited" || err != nil || after < 90 || after > 100 || a.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("%v, %v", p, a.header)
	}
	for i := range 4 { // reading goes on
		if a := w.as(admin, "GET", "/api/tenants", ""); a.status != 200 || a.header.Get("RateLimit-Limit") != "8" {
			t.Errorf("read %d: %d %v", i, a.status, a.header)
		}
	}
	w.wantProblem(w.as(admin, "GET", "/api/tenants", ""), 429, "one request too many")
	if a := w.as(other, "GET", "/api/tenants", ""); a.status != 200 {
		t.Errorf("another token: %d", a.status)
	}
	for range 20 {
		if a := w.ask("GET", "/api/tenants", ""); a.status != 200 || a.header.Get("RateLimit-Limit") != "" {
			t.Errorf("an operator without a limit: %d", a.status)
		}
	}
}

// What nobody known tries fills no disk, and none of it is lost count of.
func TestDeniedAttemptsAreRecordedWithinBounds(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(_ *auth.Config, c *api.Config) { // one chain takes half of an actor's share
		c.Denials = api.Denials{PerActor: 8, PerAddress: 2, Strangers: 3}
	})
	w.organization(one, 0)
	member := w.tokenFor(berth.RoleMember, one)
	for range 10 {
		w.wantProblem(w.as("berth_wrong", "GET", "/api/tenants", ""), 401, "stranger")
		w.wantProblem(w.as(member, "POST", "/api/backup", ""), 403, "member")
	}
	denied := func() (list []map[string]any) {
		for _, e := range w.ask("GET", "/api/audit?outcome=denied&limit=1000", "").json(t)["entries"].([]any) {
			list = append(list, e.(map[string]any))
		}
		return list
	}
	if n := len(denied()); n != 2+4 {
		t.Errorf("%d entries", n)
	}
	w.endRun() // the minute is over, as far as it came
	sum := map[string]bool{}
	for _, e := range denied() {
		if e["action"] == "denied.suppressed" {
			sum[fmt.Sprint(e["actorRole"], e["organizationId"], e["code"], e["after"])] = true
		}
	}
	if len(sum) != 2 || !sum["<nil> <nil>unauthenticatedmap[suppressed:8]"] || !sum["member"+one+"forbiddenmap[suppressed:6]"] {
		t.Errorf("suppressed: %v", sum)
	}
}

// endRun has the API end its minute.
func (w *world) endRun() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	w.must(w.handler.Run(ctx))
}

func TestAFailedSignInAndAnotherSitesRequestAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *auth.Config, _ *api.Config) {
		c.OIDC = &auth.OIDC{Issuer: "https://id.example.com", ClientID: "berth", RedirectURL: "https://berth.test" + auth.CallbackPath}
	})
	failed := w.ask("GET", auth.CallbackPath+"?state=x&code=y", "")
	cross := w.ask("POST", "/api/backup", "", "Sec-Fetch-Site", "cross-site")
	w.wantProblem(cross, 403, "cross-site")
	for id, action := range map[string]string{failed.header.Get("X-Request-Id"): "session.begin", cross.header.Get("X-Request-Id"): "request.cross-origin"} {
		found := false
		for _, e := range w.ask("GET", "/api/audit?outcome=denied", "").json(t)["entries"].([]any) {
			e := e.(map[string]any)
			found = found || e["requestId"] == id && e["action"] == action && e["actorId"] == nil && e["address"] == "192.0.2.1"
		}
		if !found {
			t.Errorf("%s is not recorded: %d %s", action, failed.status, failed.body)
		}
	}
}

func TestWhoIsNoOperatorAnyMoreHasNotTheirLimits(t *testing.T) {
	t.Parallel()
	s := newStreaming(t, func(c *api.Config) {
		c.Limits = api.Limits{Requests: api.Limit{PerSecond: 50, Burst: 100}, OperatorRequests: api.Limit{PerSecond: 1000, Burst: 2000}}
	})
	s.user(ada, "ada@example.com", true, map[string]berth.Role{one: berth.RoleMember})
	cookie := session + "=" + s.session(ada)
	limit := func() string {
		return s.ask("GET", "/api/me", "", "Authorization", "", "Cookie", cookie).header.Get("RateLimit-Limit")
	}
	if most := limit(); most != "2000" {
		t.Errorf("an operator may ask %s times at once", most)
	}
	no := false
	_, err := s.auth.UpdateUser(t.Context(), berth.System(), ada, auth.UserChange{Operator: &no})
	s.must(err)
	if most := limit(); most != "100" {
		t.Errorf("who is a member only may ask %s times at once", most)
	}
}
