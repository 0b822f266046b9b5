package api_test

import (
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

func TestWhoMeansToLeaveDataSaysSoInTheOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keeps := "name: keeps\nservices:\n  web:\n    image: app:1\n    user: \"1000:1000\"\n    ports: [\"3000\"]\n    volumes: [\"data:/data\"]\nvolumes: {data: {}}\nx-berth: {tenant_environment: []}\n"
	apply := func(source string) {
		_, _, err := w.service.ApplyBlueprint(t.Context(), berth.System(), []byte(source))
		w.must(err)
	}
	refused := func(a answer, what string) {
		if p := w.wantProblem(a, 409, what); p["code"] != string(berth.CodeDataLeftBehind) || p["field"] != "blueprint" {
			t.Errorf("%s: %v", what, p)
		}
	}
	tenant, provision := "/api/tenants/"+one, `{"organizationId":"`+one+`","tenantName":"One","blueprint":"keeps","start":true`
	apply(keeps)
	w.want(w.ask("POST", "/api/tenants/provision", provision+"}"), 201, "provision")
	apply(strings.NewReplacer("data:/", "files:/", "{data:", "{files:").Replace(keeps))
	refused(w.ask("POST", tenant+"/deploy", `{}`), "deploy")
	refused(w.ask("POST", tenant+"/deploy?dryRun=true", `{}`), "a dry run of it")
	w.want(w.ask("POST", tenant+"/deploy?dryRun=true", `{"leaveData":true}`), 200, "a dry run of what is meant")
	w.want(w.ask("DELETE", tenant, ""), 200, "deprovision")
	refused(w.ask("POST", "/api/tenants/provision", provision+"}"), "provision over what was kept")
	w.want(w.ask("POST", "/api/tenants/provision", provision+`,"leaveData":true}`), 201, "a provision that means it")
}
