package api_test

import (
	"fmt"
	"slices"
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
	f := w.want(w.ask("POST", tenant+"/deploy?dryRun=true", `{"leaveData":true}`), 200, "a dry run of what is meant")
	if told, ok := f["leftBehind"].([]any); !ok || len(told) != 1 || !strings.Contains(told[0].(string), berth.VolumeName(one, "data")) {
		t.Errorf("it says %v is left behind", f["leftBehind"])
	}
	if f := w.want(w.ask("POST", tenant+"/stop?dryRun=true", ""), 200, "a dry run of a stop"); len(f["leftBehind"].([]any)) != 0 {
		t.Errorf("a stop leaves %v behind", f["leftBehind"])
	}
	w.want(w.ask("DELETE", tenant, ""), 200, "deprovision")
	refused(w.ask("POST", "/api/tenants/provision", provision+"}"), "provision over what was kept")
	w.want(w.ask("POST", "/api/tenants/provision", provision+`,"leaveData":true}`), 201, "a provision that means it")
	w.want(w.ask("POST", tenant+"/deploy", `{"imageTag":"app:1"}`), 200, "a deploy that leaves nothing")
	apply(keeps + "# again\n")
	w.want(w.ask("POST", tenant+"/deploy", `{"leaveData":true}`), 200, "a deploy that would")
	var said []string
	for _, e := range w.want(w.ask("GET", "/api/audit?limit=100", ""), 200, "the audit")["entries"].([]any) {
		entry := e.(map[string]any)
		if action := entry["action"].(string); action == "tenant.deploy" || action == "tenant.provision" {
			after, _ := entry["after"].(map[string]any)
			said = append(said, fmt.Sprint(action, " ", entry["outcome"], " ", after["leaveData"]))
		}
	}
	want := []string{"tenant.deploy done true", "tenant.deploy done <nil>", "tenant.provision done true", "tenant.provision done <nil>"}
	if !slices.Equal(said, want) {
		t.Errorf("the audit says %q, want %q", said, want)
	}
}
