package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// A real product: what a tenant was given to keep is there after a restart, a
// scaling, a deployment and the loss of its container.
func TestANextJSTenantLivesItsLife(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "nextjs")
	org, name := berth.NewID(), `<script>alert("x")</script> & Söhne`
	made := s.provision(client.Provision{OrganizationID: org, TenantName: name, ImageTag: "1", Start: true})
	if _, page := s.Ask("GET", testbed.At(made.ExternalPort, "/"), ""); !strings.Contains(page, org) || strings.Contains(page, `<script>alert("x")`) {
		t.Errorf("the page:\n%.2000s", page)
	}
	who := func() (w struct{ ID, Name, Version string }) {
		t.Helper()
		_, body := s.Ask("GET", testbed.At(made.ExternalPort, "/api/whoami"), "")
		s.Must(json.Unmarshal([]byte(body), &w))
		return w
	}
	if got := who(); got.ID != org || got.Name != name || got.Version != "1" {
		t.Errorf("whoami: %+v", got)
	}
	content := strings.Repeat("remember me ", 10_000)
	if status, body := s.Ask("POST", testbed.At(made.ExternalPort, "/api/uploads?name=note.txt"), content); status != 201 {
		t.Fatalf("upload: %d %s", status, body)
	}
	if _, body := s.Ask("GET", testbed.At(made.ExternalPort, "/api/report"), ""); !strings.Contains(body, `"cached":false`) {
		t.Errorf("the first report: %s", body)
	}
	kept := func(after string) {
		t.Helper()
		s.Eventually(60*time.Second, "what was kept is there after "+after, func() bool {
			_, upload := s.Ask("GET", testbed.At(made.ExternalPort, "/api/uploads/note.txt"), "")
			_, report := s.Ask("GET", testbed.At(made.ExternalPort, "/api/report"), "")
			return upload == content && strings.Contains(report, `"cached":true`)
		})
	}
	s.checkStream(made.ExternalPort)

	_, err := s.api.Restart(s.Ctx, org, testbed.Patient())
	s.Must(err)
	kept("a restart")
	cpu, memory, two := 1.0, 1024, 2
	_, err = s.api.Scale(s.Ctx, org, client.Scale{CPULimit: &cpu, MemoryLimitMB: &memory, Replicas: &two}, testbed.Patient())
	s.Must(err)
	kept("scaling")
	s.checkSum(org, cpu, memory)
	tag := "2"
	_, err = s.api.Deploy(s.Ctx, org, client.Deploy{ImageTag: &tag}, testbed.Patient())
	s.Must(err)
	if got := who(); got.Version != "2" {
		t.Errorf("deployed: %+v", got)
	}
	kept("a deployment")
	_, err = s.Engine.ContainerRemove(s.Ctx, berth.ContainerName(org), dockerclient.ContainerRemoveOptions{Force: true})
	s.Must(err)
	kept("the loss of a container")
}

// checkStream reads server-sent events through the edge, each as it comes.
func (s *site) checkStream(port int) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Ctx, http.MethodGet, testbed.At(port, "/api/stream?n=5&ms=200"), nil)
	s.Must(err)
	resp, err := http.DefaultClient.Do(req)
	s.Must(err)
	defer func() { _ = resp.Body.Close() }()
	var first, last time.Time
	events := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data:") {
			if events == 0 {
				first = time.Now()
			}
			last = time.Now()
			events++
		}
	}
	if events != 5 || !last.After(first.Add(400*time.Millisecond)) {
		s.Errorf("%d events of 5, the last %v after the first: they were held back", events, last.Sub(first))
	}
}

// A tenant on an older blueprint is shown as behind, stays as it is, and moves
// when it is deployed.
func TestATenantStaysOnItsBlueprintUntilItIsDeployed(t *testing.T) {
	t.Parallel()
	s := newExampleSite(t, "nextjs")
	org := berth.NewID()
	s.provision(client.Provision{OrganizationID: org, TenantName: "Behind", ImageTag: "1", Start: true})
	before := s.started(org)
	source, err := os.ReadFile(s.exampleFile("nextjs"))
	s.Must(err)
	next := strings.Replace(string(source), "HOSTNAME: 0.0.0.0", "HOSTNAME: 0.0.0.0\n      NEW: from version two", 1)
	applied, err := s.api.ApplyBlueprint(s.Ctx, []byte(next))
	s.Must(err)
	if applied.ID != "nextjs@2" || applied.Unchanged {
		t.Errorf("applied: %+v", applied)
	}
	if again, err := s.api.ApplyBlueprint(s.Ctx, []byte(next)); err != nil || !again.Unchanged || again.ID != "nextjs@2" {
		t.Errorf("applied again: %+v, %v", again, err)
	}
	s.Eventually(30*time.Second, "the tenant is shown as behind", func() bool {
		tn, err := s.api.Tenant(s.Ctx, org)
		return err == nil && tn.Blueprint == "nextjs@1" && tn.BlueprintBehind != nil && *tn.BlueprintBehind
	})
	_, err = s.api.Restart(s.Ctx, org, testbed.Patient())
	s.Must(err)
	for name, id := range s.started(org) {
		if strings.Fields(id)[0] != strings.Fields(before[name])[0] {
			t.Errorf("%s was made anew by a restart", name)
		}
	}
	_, err = s.api.Deploy(s.Ctx, org, client.Deploy{}, testbed.Patient())
	s.Must(err)
	tn, err := s.api.Tenant(s.Ctx, org)
	if s.Must(err); tn.Blueprint != "nextjs@2" || *tn.BlueprintBehind || s.environment(org)["NEW"] != "from version two" {
		t.Errorf("deployed, it is on %s: %v", tn.Blueprint, s.environment(org))
	}
	_, err = s.api.Rollback(s.Ctx, org, client.Rollback{}, testbed.Patient())
	s.Must(err)
	if tn, err := s.api.Tenant(s.Ctx, org); err != nil || tn.Blueprint != "nextjs@1" || s.environment(org)["NEW"] != "" {
		t.Errorf("rolled back, it is on %s, %v", tn.Blueprint, err)
	}
	page, err := s.api.Deployments(s.Ctx, org, "", 10)
	s.Must(err)
	var used []string
	for _, d := range page.Deployments {
		used = append(used, d.DeploymentType+" "+d.Blueprint)
	}
	if got := fmt.Sprint(used); got != "[rollback nextjs@1 update nextjs@2 restart nextjs@1 provision nextjs@1]" {
		t.Errorf("deployments %s", got)
	}
}
