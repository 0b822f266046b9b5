package enginetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/reconcile"
)

const ms = time.Millisecond

// withService adds a service beside the main one.
func (x *tenant) withService(name string, change func(*berth.Service)) berth.Stack {
	return x.next(func(s *berth.Stack) {
		svc := s.Services[0]
		svc.Name, svc.Main, svc.Port, svc.Mounts = name, false, 0, nil
		change(&svc)
		s.Services = append([]berth.Service{svc}, s.Services...)
	})
}

func container(o berth.Observed, service string) berth.Instance {
	i := slices.IndexFunc(o.Instances, func(c berth.Instance) bool { return c.Service == service })
	if i < 0 {
		return berth.Instance{}
	}
	return o.Instances[i]
}

func runsOnce(t *testing.T, h Harness) {
	for _, code := range []int{0, 3} {
		x := h.tenant(t)
		s := x.withService("migrate", func(svc *berth.Service) {
			svc.Once, svc.Release, svc.Command = true, 1, []string{"exit:" + string(rune('0'+code))}
		})
		x.apply(s)
		eventually(t, "it has ended", func() bool { return container(x.observe(), "migrate").State == berth.InstanceExited })
		first := container(x.observe(), "migrate")
		if first.ExitCode != code || first.Restarts != 0 {
			t.Errorf("it ended with %d after %d restarts, want %d after none", first.ExitCode, first.Restarts, code)
		}
		again := container(x.apply(s), "migrate")
		if again.ID != first.ID || again.State != berth.InstanceExited || !again.StartedAt.Equal(first.StartedAt) {
			t.Errorf("applied again, it is %+v, was %+v", again, first)
		}
		next := x.apply(x.next(func(s *berth.Stack) { s.Services[0].Release = 2 }))
		if container(next, "migrate").ID == first.ID {
			t.Error("the next release did not run it anew")
		}
	}
}

func leavesDeferredAndDone(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.withService("job", func(svc *berth.Service) { svc.Command = []string{"one"} }))
	job := container(first, "job")
	for _, how := range []func(*berth.Service){
		func(svc *berth.Service) { svc.Deferred = true },
		func(svc *berth.Service) { svc.Deferred, svc.Done = false, true },
	} {
		o := x.apply(x.next(func(s *berth.Stack) {
			s.Services[0].Command = []string{"two"}
			s.Others = []berth.Version{{Service: "job", Hash: job.Hash, Instances: 1}}
			how(&s.Services[0])
		}))
		if got := container(o, "job"); got.ID != job.ID || got.State != berth.InstanceRunning || len(o.Instances) != 2 {
			t.Errorf("it is %+v among %d, was %+v", got, len(o.Instances), job)
		}
	}
	o := x.apply(x.next(func(s *berth.Stack) { s.Services[0].Done, s.Others = false, nil }))
	if container(o, "job").ID == job.ID {
		t.Error("released, it was not made anew")
	}
	x.get(container(o, "app"), "/health")
}

func sayHealth(t *testing.T, h Harness) {
	x := h.tenant(t)
	probe := func(code string) func(*berth.Service) {
		return func(svc *berth.Service) {
			svc.HealthProbe = &berth.HealthProbe{Test: []string{"CMD", "/app", "exit:" + code}, Interval: 100 * ms, Timeout: 10_000 * ms, Retries: 100, StartPeriod: 60_000 * ms}
		}
	}
	x.apply(x.withService("well", probe("0")))
	x.apply(x.withService("unwell", probe("1")))
	eventually(t, "one is healthy", func() bool { return container(x.observe(), "well").Health == berth.InstanceHealthy })
	o := x.observe()
	if got := container(o, "unwell").Health; got != berth.InstanceStarting {
		t.Errorf("the other one is %q", got)
	}
	eventually(t, "it is told why", func() bool {
		return strings.Contains(container(x.observe(), "unwell").HealthCause, "health check ended with exit code 1")
	})
	if got := container(o, "well").HealthCause; got != "" {
		t.Errorf("what is well is told as %q", got)
	}
	if got := container(o, "app").Health; got != berth.InstanceUnchecked {
		t.Errorf("one without a check is %q", got)
	}
}

// adopts is for engines with the capability; Docker has it.
func adopts(t *testing.T, h Harness) {
	engine, ok := h.Engine.(reconcile.Adopter)
	if !ok {
		t.Fatal("the engine can't adopt")
	}
	x := h.tenant(t)
	name := x.apply(x.stack).Instances[0].Name
	x.stack.Volumes[0].Recorded = true
	order := berth.Adoption{OrganizationID: x.org, Project: x.stack.Project, Volumes: []string{x.stack.Volumes[0].Name}}
	labels := map[string]string{berth.LabelTenantID: x.org, "com.docker.compose.project": x.stack.Project}

	for what, wrong := range map[string]map[string]string{
		"another tenant's id":   {berth.LabelTenantID: berth.NewID(), "com.docker.compose.project": x.stack.Project},
		"another project":       {berth.LabelTenantID: x.org, "com.docker.compose.project": "other"},
		"no labels of any kind": nil,
	} {
		h.Manual.Remove(t, kindContainer, name)
		h.Manual.Add(t, kindContainer, name, wrong)
		err := engine.Adopt(x.ctx, order)
		wantCode(t, err, berth.CodeForeignObject)
		if _, there := h.Manual.Labels(t, kindContainer, name); !there {
			t.Errorf("%s: refused and removed", what)
		}
	}
	h.Manual.Remove(t, kindContainer, name)
	h.Manual.Add(t, kindContainer, name, labels)
	x.fails(berth.CodeForeignObject, x.stack)
	for range 2 { // it is safe to repeat
		if err := engine.Adopt(x.ctx, order); err != nil {
			t.Fatal(err)
		}
	}
	x.runs(x.apply(x.stack))

	h.Manual.Remove(t, kindContainer, name)
	h.Manual.Remove(t, kindVolume, order.Volumes[0])
	h.Manual.Add(t, kindVolume, order.Volumes[0], nil)
	h.Manual.Add(t, kindContainer, name, labels)
	wantCode(t, engine.Adopt(x.ctx, order), berth.CodeForeignObject)
	if _, there := h.Manual.Labels(t, kindContainer, name); !there {
		t.Error("refused for its volume and removed all the same")
	}
}

// besideCompose is what happens beside containers that Compose runs of the rendered file
// under names that are not ours: Compose 2 joins the parts of a name by hyphens.
func besideCompose(t *testing.T, h Harness) {
	engine, ok := h.Engine.(reconcile.Adopter)
	if !ok {
		t.Fatal("the engine can't adopt")
	}
	x := h.tenant(t)
	x.apply(x.stack)
	idle := x.stack
	idle.Run = false
	second := x.withService("worker", func(*berth.Service) {})
	add := func(name string, labels map[string]string) {
		labels[berth.LabelTenantID] = x.org
		h.Manual.Add(t, kindContainer, berth.ContainerName(x.org)+name, labels)
	}
	worker := map[string]string{"com.docker.compose.project": x.stack.Project, "com.docker.compose.service": "worker"}
	for _, made := range []string{"-worker-1", "-worker-2"} {
		add(made, worker)
		err := x.fails(berth.CodeForeignObject, second)
		var said *berth.Error
		if !errors.As(err, &said) || !strings.Contains(said.Message, berth.ContainerName(x.org)+made) || !strings.Contains(said.Hint, "berth adopt") {
			t.Errorf("%s: it does not name it and the way: %v", made, err)
		}
		if len(x.observe().Instances) > 1 {
			t.Errorf("a worker was made beside %s", made)
		}
		x.apply(idle) // a stop starts nothing
		h.Manual.Remove(t, kindContainer, berth.ContainerName(x.org)+made)
	}
	add("-worker-1", worker)
	if err := engine.Adopt(x.ctx, berth.Adoption{OrganizationID: x.org, Project: x.stack.Project, Volumes: []string{x.stack.Volumes[0].Name}}); err != nil {
		t.Fatal(err)
	}
	add("-debug", map[string]string{})
	add("-watch", map[string]string{"com.docker.compose.project": "metrics"})
	add("-worker-run-ab12", map[string]string{"com.docker.compose.project": x.stack.Project, "com.docker.compose.service": "worker", "com.docker.compose.oneoff": "True"})
	add("-renamed-1", map[string]string{"com.docker.compose.project": x.stack.Project, "com.docker.compose.service": "renamed"})
	if got := len(x.apply(second).Instances); got != 2 {
		t.Errorf("%d instances after it was taken back, beside what is none of the stack's", got)
	}
	// A removal ends beside what is nobody's, not beside what Compose runs.
	removal := berth.Removal{OrganizationID: x.org, Volumes: []string{x.stack.Volumes[0].Name}}
	wantCode(t, h.Engine.Remove(x.ctx, removal), berth.CodeForeignObject)
	h.Manual.Remove(t, kindContainer, berth.ContainerName(x.org)+"-renamed-1")
	if err := h.Engine.Remove(x.ctx, removal); err != nil {
		t.Error(err)
	}
}
