package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
	"github.com/unite-hub/berth/internal/testbed"
)

// worked is a product of what answers and of a worker that nobody asks anything.
// What answers is well all the time, and a crowded machine must not make it
// look unwell: that is not asked here.
const worked = `name: worked
services:
  web:
    image: berth-demo:1
    user: "1001:1001"
  worker:
    image: %s
    user: "1001:1001"
    environment:
      START_DELAY_MS: ${WORKER_LIVES_MS:-}
      CRASH_ON_START: ${WORKER_CRASH:-}
x-berth:
  service: web
  port: 3000
  health: {path: /api/health, interval: 1s, timeout: 1s, retries: 20, start_period: 5s}
`

// A worker that ended at once passed as completed, four times of four, and the one
// before it was removed.
func TestAWorkerThatEndsFailsEachOfFourDeploymentsAndTheOneBeforeStays(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, "--blueprint", blueprintFile(t, fmt.Sprintf(worked, rig.ImageOne)), "--observe", "8s")
	org := berth.NewID()
	made := s.provision(client.Provision{OrganizationID: org, TenantName: "Worked", Start: true})
	before := s.started(org)
	if before[berth.ContainerName(org)+"_worker_1"] == "" {
		t.Fatalf("no worker: %v", before)
	}
	crash := "3"
	tally := s.under(made.ExternalPort, 20, func() {
		for i, lives := range []string{"0", "0", "2500", "2500"} {
			_, err := s.api.Deploy(s.Ctx, org, client.Deploy{
				ImageTag: &rig.ImageTwo, Environment: map[string]*string{"WORKER_CRASH": &crash, "WORKER_LIVES_MS": &lives},
			}, testbed.Patient())
			var failed *client.Error
			if !errors.As(err, &failed) || failed.Code != "deployment_failed" || !strings.Contains(failed.Error(), "service worker") || !strings.Contains(failed.Error(), "exit code 3") {
				t.Errorf("deployment %d, of a worker that lives for %s ms: %v", i+1, lives, err)
			}
			if d := s.latest(org); d.Status != "failed" || d.ErrorMessage == nil || !strings.Contains(*d.ErrorMessage, "exit code 3") {
				t.Errorf("deployment %d is recorded as %+v", i+1, d)
			}
			s.converges(org, "1", made.ExternalPort)
			s.Eventually(30*time.Second, "what ran before is there alone", func() bool { return len(s.Containers(org)) == len(before) })
			for name, was := range before {
				if is := s.started(org)[name]; is != was {
					t.Errorf("deployment %d touched %s: %q, was %q", i+1, name, is, was)
				}
			}
		}
	})
	t.Logf("%d requests meanwhile, the longest took %v", tally.Requests, tally.P(1))
	if v := s.version(made.ExternalPort); v != "1" {
		t.Errorf("version %q runs", v)
	}
	status, body := s.Ask("GET", testbed.At(made.ExternalPort, "/api/health"), "")
	if status != 200 {
		t.Errorf("%d %s", status, body)
	}
}
