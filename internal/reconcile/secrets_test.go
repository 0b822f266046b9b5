package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

const filed = `name: filed
services:
  web:
    image: app:1
    user: "1000:1000"
    ports: ["3000"]
    secrets: [key]
secrets: {key: {environment: KEY}}
`

// provisionFiled makes a tenant whose secret is a file.
func (w *world) provisionFiled(n int) {
	w.t.Helper()
	w.apply([]byte(filed))
	w.completed(w.service.Provision(ctx, w.actor, tenancy.Call{}, tenancy.Provision{
		OrganizationID: orgID(n), Name: "S", Blueprint: "filed", Start: true, Environment: map[string]string{"KEY": "hunter2"},
	}))
}

// No engine starts such an instance: the loop does, with its secrets, and counts.
func TestAServiceThatGetsSecretsAsFilesIsStartedByTheLoopUntilItIsGivenUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.provisionFiled(1)
		for range 7 {
			w.manual.Crash(w.t, w.observed(1).Instances[0].ID, 3)
			w.eventually(time.Minute, "it is started again", func() bool { return w.running(1) })
		}
		w.eventually(time.Minute, "it is well", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
		w.manual.Crash(w.t, w.observed(1).Instances[0].ID, 3)
		w.eventually(time.Minute, "it is given up", func() bool { return strings.HasPrefix(w.tenant(1).Cause, "given up: service web crashed 8 times") })
		<-time.After(10 * time.Minute)
		if w.running(1) {
			t.Error("it was started again by itself")
		}
		w.completed(w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.eventually(time.Minute, "it is well again", func() bool { return w.running(1) && w.tenant(1).Health == berth.HealthHealthy })
	})
}

func TestAnotherValueOfASecretFileIsAnotherInstance(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.provisionFiled(1)
		before := w.observed(1).Instances[0]
		value := "hunter3"
		w.completed(w.service.Configure(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Configure{Environment: map[string]*string{"KEY": &value}}))
		after := w.observed(1).Instances
		if len(after) != 1 || after[0].ID == before.ID || after[0].Hash == before.Hash {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}
