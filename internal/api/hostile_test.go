package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

// Whoever has a token can have a body read; what it may do is looked at later.
func TestABodyOfManyHalvesOfPairsIsReadInOneGo(t *testing.T) {
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
