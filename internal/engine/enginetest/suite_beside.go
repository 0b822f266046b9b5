package enginetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unite-hub/berth"
)

// beside returns the next stack, whose main service runs Next beside App.
func (x *tenant) beside() berth.Stack {
	var before berth.Version
	for _, svc := range x.stack.Services {
		if svc.Main {
			before = berth.Version{Service: svc.Name, Hash: svc.Hash(), Instances: svc.Replicas}
		}
	}
	return x.next(func(s *berth.Stack) {
		s.Others = []berth.Version{before}
		for i := range s.Volumes {
			s.Volumes[i].Shared = true // or the next one had to wait for its end
		}
		for i := range s.Services {
			if svc := &s.Services[i]; svc.Main {
				svc.Image, svc.NameLeadsTo = x.Images.Next, before.Hash
			}
		}
	})
}

// alone is stack without what came before it.
func alone(s berth.Stack) berth.Stack {
	s.Services, s.Others = slices.Clone(s.Services), nil
	for i := range s.Services {
		s.Services[i].NameLeadsTo = ""
	}
	return s
}

func byImage(o berth.Observed, image string) berth.Instance {
	i := slices.IndexFunc(o.Instances, func(c berth.Instance) bool { return c.Image == image })
	if i < 0 {
		return berth.Instance{}
	}
	return o.Instances[i]
}

func besideThenAlone(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack).Instances[0]
	stack := x.beside()
	both := x.apply(stack)
	x.runs(both)
	old, staged := byImage(both, h.Images.App), byImage(both, h.Images.Next)
	if len(both.Instances) != 2 || old.ID != first.ID || !old.StartedAt.Equal(first.StartedAt) || old.Name != first.Name {
		t.Fatalf("beside each other: %+v, before: %+v", both.Instances, first)
	}
	if !staged.Beside || old.Beside || staged.Generation != stack.Generation {
		t.Errorf("the next one is %+v, the one before %+v", staged, old)
	}
	if diff := cmp.Diff(both, x.apply(stack), cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("applied again, it differs:\n%s", diff)
	}
	x.get(staged, "/health")
	o := x.apply(alone(stack))
	x.runs(o)
	c := o.Instances[0]
	if len(o.Instances) != 1 || c.ID != staged.ID || !c.StartedAt.Equal(staged.StartedAt) || c.Beside || c.Name != first.Name || len(o.Foreign) != 0 {
		t.Errorf("alone: %+v and %+v, staged: %+v", o.Instances, o.Foreign, staged)
	}
	if diff := cmp.Diff(o, x.observe(), cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("apply and observe differ:\n%s", diff)
	}
}

func besideThenGone(t *testing.T, h Harness) {
	x := h.tenant(t)
	before := x.stack
	first := x.apply(before)
	x.apply(x.beside())
	before.Generation += 2
	back := x.apply(before)
	x.runs(back)
	if !slices.Equal(ids(first), ids(back)) || !back.Instances[0].StartedAt.Equal(first.Instances[0].StartedAt) {
		t.Errorf("the way back touched what ran: %+v, was %+v", back.Instances, first.Instances)
	}
}

func besideReplicas(t *testing.T, h Harness) {
	x := h.tenant(t)
	x.stack.Services[0].Replicas = 3
	first := x.apply(x.stack)
	h.Manual.Kill(t, first.Instances[2].ID)
	x.ended(first.Instances[2])
	stack := x.beside()
	both := x.apply(stack)
	if len(both.Instances) != 6 {
		t.Fatalf("%d containers", len(both.Instances))
	}
	stack.Services = slices.Clone(stack.Services)
	stack.Services[0].Replicas = 2
	o := x.apply(alone(stack))
	x.runs(o)
	var names []string
	for _, c := range o.Instances {
		names = append(names, c.Name)
		if c.Image != h.Images.Next {
			t.Errorf("%s runs %s", c.Name, c.Image)
		}
	}
	if want := []string{berth.ContainerName(x.org), berth.ContainerName(x.org) + "_app_2"}; !slices.Equal(names, want) {
		t.Errorf("containers %v, want %v", names, want)
	}
}

func oneGenerationNamed(t *testing.T, h Harness) {
	x := h.tenant(t)
	old := container(x.apply(x.withService("job", func(*berth.Service) {})), "app")
	names := func(from berth.Instance) []string { return strings.Fields(x.get(from, "/lookup?name=app")) }
	first := names(old)
	if len(first) != 1 {
		t.Fatalf("at first the name leads to %v", first)
	}
	stack := x.beside()
	staged := byImage(x.apply(stack), h.Images.Next)
	x.get(staged, "/health")
	if got := names(staged); !slices.Equal(got, first) {
		t.Errorf("while the next one is not ready the name leads to %v, not to %v", got, first)
	}
	for i := range stack.Services {
		stack.Services[i].NameLeadsTo = ""
	}
	named := byImage(x.apply(stack), h.Images.Next)
	if named.ID != staged.ID || !named.StartedAt.Equal(staged.StartedAt) {
		t.Errorf("named, it is %+v, was %+v", named, staged)
	}
	both := names(named)
	if len(both) != 2 || !slices.Contains(both, first[0]) {
		t.Errorf("while traffic moves the name leads to %v", both)
	}
	last := byImage(x.apply(alone(stack)), h.Images.Next)
	if got := names(last); len(got) != 1 || got[0] == first[0] || !slices.Contains(both, got[0]) {
		t.Errorf("afterwards the name leads to %v, before to %v", got, both)
	}
}

// transitionCut cuts both halves of a transition at the same call.
func transitionCut(t *testing.T, h Harness) func(cutNext) bool {
	x := h.tenant(t)
	x.apply(x.withService("job", func(*berth.Service) {}))
	return func(cut cutNext) (more bool) {
		stack := x.beside()
		for _, s := range []berth.Stack{stack, alone(stack)} {
			reached := cut()
			_, _ = x.Engine.Apply(x.ctx, s)
			more = reached() || more
			o := x.apply(s)
			x.get(byImage(o, x.Images.Next), "/health")
			want := 3
			if len(s.Others) == 0 {
				want = 2
			}
			if len(o.Instances) != want || len(o.Foreign) != 0 {
				t.Errorf("after a cut: %+v", o)
			}
			x.stack = s
		}
		x.Images.App, x.Images.Next = x.Images.Next, x.Images.App // and back again
		return more
	}
}
