package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// product is a blueprint of four services: a database, a migration, and two
// that come after it. The fake runs commands as the engine's suite says.
const product = `name: product
services:
  web:
    image: app:1
    user: "1000:1000"
    ports: ["3000"]
  worker:
    image: app:1
    user: "1000:1000"
    command: [work]
  migrate:
    image: app:1
    user: "1000:1000"
    command: ["exit:${MIGRATION:-0}"]
    restart: "no"
    depends_on: {db: {condition: service_healthy}}
  db:
    image: db:1
    user: "999:999"
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, check]}
volumes: {data: {}}
x-berth: {tenant_environment: []}
`

// withProduct plays a test on a world whose tenants are made from product.
func withProduct(t *testing.T, f func(m *model)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &model{world: newWorld(t, dir)}
		m.config.Observe = 2 * time.Second
		defer func() {
			m.close()
			if held := m.engine.HeldTwice(); len(held) > 0 {
				t.Errorf("two generations held one volume: %v", held)
			}
		}()
		db := "sha256:" + strings.Repeat("d", 64)
		m.engine.SetImage(db, enginetest.Program{})
		m.engine.Tag("db:1", db)
		m.boot()
		m.apply([]byte(product))
		f(m)
	})
}

func (m *model) provisionProduct(start bool) berth.Deployment {
	m.t.Helper()
	return m.completed(m.service.Provision(ctx, m.actor, tenancy.Call{}, tenancy.Provision{
		OrganizationID: orgID(1), Name: "Product", Blueprint: "product", Start: start,
	}))
}

func (m *model) deploy(tag string, migration *string) (tenancy.Receipt, error) {
	return m.service.Deploy(ctx, m.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{
		ImageTag: &tag, Environment: map[string]*string{"MIGRATION": migration},
	})
}

func (m *model) migrations() int {
	return m.engine.Starts(berth.ContainerName(orgID(1)) + "_migrate_1")
}

// ids are the instances that there are, by service.
func (m *model) ids() map[string]string {
	out := map[string]string{}
	for _, c := range m.observed(1).Instances {
		out[c.Service] = c.ID
	}
	return out
}

// whole checks that all services run as they should, and the migration ended.
func (m *model) whole(image string) {
	m.t.Helper()
	m.eventually(2*time.Minute, "all services run "+image, func() bool {
		right := 0
		for _, c := range m.observed(1).Instances {
			switch {
			case c.Service == "db" && c.State == berth.InstanceRunning,
				c.Service == "migrate" && c.State == berth.InstanceExited,
				(c.Service == "web" || c.Service == "worker") && c.State == berth.InstanceRunning && c.Image == image:
				right++
			}
		}
		t := m.tenant(1)
		return right == 4 && t.Status == berth.StatusRunning && t.Health == berth.HealthHealthy && t.Cause == ""
	})
}

func TestAMigrationRunsOncePerRelease(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		runs := 0
		check := func(after string, more int) {
			t.Helper()
			runs += more
			if got := m.migrations(); got != runs {
				t.Fatalf("after %s the migration ran %d times, want %d", after, got, runs)
			}
		}
		m.provisionProduct(false)
		check("provisioning without a start", 0)
		m.completed(m.service.Start(ctx, m.actor, tenancy.Call{}, orgID(1)))
		m.whole(imageV1)
		check("the first start", 1)
		database := m.ids()["db"]
		m.completed(m.service.Restart(ctx, m.actor, tenancy.Call{}, orgID(1)))
		check("a restart", 0)
		replicas := 2
		m.completed(m.service.Scale(ctx, m.actor, tenancy.Call{}, orgID(1), tenancy.Scale{Replicas: &replicas}))
		check("scaling", 0)
		m.completed(m.deploy("2", nil))
		check("a deployment", 1)
		m.completed(m.service.Rollback(ctx, m.actor, tenancy.Call{}, orgID(1), ""))
		check("a rollback", 1)
		m.completed(m.service.Stop(ctx, m.actor, tenancy.Call{}, orgID(1)))
		m.completed(m.service.Start(ctx, m.actor, tenancy.Call{}, orgID(1)))
		check("a stop and a start", 0)
		m.manual.Remove(t, "container", berth.ContainerName(orgID(1))+"_migrate_1")
		<-time.After(time.Minute)
		check("the loss of its container", 0)
		if m.ids()["db"] != database {
			t.Error("the database, which did not change, was made anew")
		}
	})
}

func TestAMigrationThatFailsMovesNothing(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(true)
		m.whole(imageV1)
		before := m.ids()
		three := "3"
		d := m.done(m.deploy("2", &three))
		if d.Status != berth.DeploymentFailed || !strings.Contains(d.Error, "migrate") || !strings.Contains(d.Error, "exit code 3") {
			t.Fatalf("the deployment: %+v", d)
		}
		m.whole(imageV1)
		after := m.ids()
		for _, service := range []string{"db", "web", "worker"} {
			if before[service] != after[service] {
				t.Errorf("%s was made anew", service)
			}
		}
		if m.migrations() != 2 {
			t.Errorf("the way back ran a migration: %d in all", m.migrations())
		}
		m.completed(m.deploy("2", nil))
		m.whole(imageV2)
	})
}

// A first migration that failed is tried again by a start, which is no release.
func TestAFirstMigrationThatFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		d := m.done(m.service.Provision(ctx, m.actor, tenancy.Call{}, tenancy.Provision{
			OrganizationID: orgID(1), Name: "Product", Blueprint: "product", Start: true, Environment: map[string]string{"MIGRATION": "3"},
		}))
		if d.Status != berth.DeploymentFailed || m.tenant(1).Status != berth.StatusFailed {
			t.Fatalf("%+v; %+v", d, m.tenant(1))
		}
		<-time.After(5 * time.Minute)
		if m.migrations() != 1 {
			t.Errorf("without an order it ran %d times", m.migrations())
		}
		if d := m.done(m.service.Start(ctx, m.actor, tenancy.Call{}, orgID(1))); d.Status != berth.DeploymentFailed || m.migrations() != 2 {
			t.Errorf("a start: %+v, %d runs", d, m.migrations())
		}
		zero := "0"
		m.completed(m.service.Configure(ctx, m.actor, tenancy.Call{}, orgID(1), tenancy.Configure{Environment: map[string]*string{"MIGRATION": &zero}}))
		m.completed(m.service.Restart(ctx, m.actor, tenancy.Call{}, orgID(1)))
		m.whole(imageV1)
	})
}

// Faults 1 and 2 for several services: whatever change of the engine the
// process dies at, before its effect or after it, the next one ends where a
// clean run ends, the migration did not run more than once more than in a clean
// run, and two generations never hold the database's volume.
func TestACrashAtAnyStepOfAReleaseEndsWhereACleanOneEnds(t *testing.T) {
	t.Parallel()
	newDatabase := strings.Replace(product, "image: db:1", "image: db:1\n    command: [another]", 1)
	for name, c := range map[string]struct {
		blueprint, tag, image string
		ends                  berth.DeploymentStatus
		steps                 int // that there are at least
	}{
		"another version":                    {"", "2", imageV2, berth.DeploymentCompleted, 8},
		"another database":                   {newDatabase, "2", imageV2, berth.DeploymentCompleted, 10},
		"a bad version with a database back": {newDatabase, "sick", imageV1, berth.DeploymentFailed, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				reached := false
				t.Run(fmt.Sprint("step ", n), func(t *testing.T) {
					withProduct(t, func(m *model) {
						reached = m.crashInRelease(n, c.blueprint, c.tag, c.ends)
						m.whole(c.image)
						if got := m.migrations(); got < 2 || got > 3 {
							t.Errorf("the migration ran %d times", got)
						}
					})
				})
				if !reached {
					if n < c.steps {
						t.Errorf("only %d changes of the engine in a release", n-1)
					}
					return
				}
			}
		})
	}
}

// crashInRelease deploys, lets the process die at the n-th change of the engine,
// and starts it again. It reports whether there were that many.
func (m *model) crashInRelease(n int, blueprint, tag string, ends berth.DeploymentStatus) bool {
	m.t.Helper()
	m.provisionProduct(true)
	m.whole(imageV1)
	if blueprint != "" {
		m.apply([]byte(blueprint))
	}
	reached := make(chan struct{})
	m.engine.SetFaults(nthDo(n, func() error {
		m.dead.Store(true)
		close(reached)
		return enginetest.ErrCrash
	}))
	r, err := m.deploy(tag, nil)
	m.must(err)
	crashed := false
	select {
	case <-reached:
		crashed = true
		m.crash()
	case <-time.After(2 * time.Minute):
		m.engine.SetFaults(nil)
	}
	if d := m.done(r, nil); d.Status != ends {
		m.t.Fatalf("the deployment: %+v", d)
	}
	return crashed
}
