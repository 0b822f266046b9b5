package enginetest

import (
	"slices"
	"testing"

	"github.com/unite-hub/berth"
)

// withSecrets gives the stack's service two secrets as files.
func withSecrets(s berth.Stack, version, value string) berth.Stack {
	s.Services = slices.Clone(s.Services)
	s.Services[0].Secrets = []berth.SecretFile{
		{Name: "key", Version: version, Value: value}, {Name: "other.pem", Version: "o1", Value: "line\n\x01\u00e9\n"},
	}
	return s
}

// gets fails the test unless every container found its secrets when it started.
func (x *tenant) gets(o berth.Observed, want string) {
	x.t.Helper()
	x.runs(o)
	for _, c := range o.Instances {
		if got := x.get(c, "/secret?name=key"); got != "0400 65532:65532 "+want {
			x.t.Errorf("%s: the secret was %q", c.Name, got)
		}
		if got := x.get(c, "/secret?name=other.pem"); got != "0400 65532:65532 line\n\x01\u00e9\n" {
			x.t.Errorf("%s: the other was %q", c.Name, got)
		}
		if got := x.get(c, "/env?name=key"); got != "" {
			x.t.Errorf("%s: it is in the environment: %q", c.Name, got)
		}
	}
}

func secretFiles(t *testing.T, h Harness) {
	x := h.tenant(t)
	one := withSecrets(x.stack, "v1", "hunter2")
	first := x.apply(one)
	x.gets(first, "hunter2")
	if !slices.Equal(first.Volumes, []string{x.stack.Volumes[0].Name}) || len(first.Instances) != 1 || len(first.Foreign) != 0 {
		t.Errorf("how they are delivered is seen: %+v", first)
	}
	// Whatever ended the process: they are there again before the next one.
	h.Manual.Kill(t, first.Instances[0].ID)
	x.ended(first.Instances[0])
	again := x.apply(one)
	x.gets(again, "hunter2")
	if slices.Equal(ids(first), ids(again)) == h.Replaces {
		t.Error("the container was made anew")
	}
	one.Run = false
	x.apply(one)
	one.Run = true
	x.gets(x.apply(one), "hunter2")
	// More of it, beside one that runs.
	one.Services[0].Replicas = 3
	three := x.apply(one)
	x.gets(three, "hunter2")
	if len(three.Instances) != 3 {
		t.Errorf("containers: %+v", three.Instances)
	}
	one.Services[0].Replicas = 1
	x.apply(one)
	// Another value makes another container; another stack without any, none.
	x.stack = one
	two := x.next(func(s *berth.Stack) { *s = withSecrets(*s, "v2", "hunter3") })
	second := x.apply(two)
	x.gets(second, "hunter3")
	if slices.Equal(ids(first), ids(second)) {
		t.Error("the container stayed with another secret")
	}
	x.stack = two
	none := x.next(func(s *berth.Stack) { s.Services[0].Secrets = nil })
	last := x.apply(none)
	x.runs(last)
	if got := x.get(last.Instances[0], "/secret?name=key"); got != "" {
		t.Errorf("the secret is still there: %q", got)
	}
	if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: last.Volumes}); err != nil {
		t.Fatal(err)
	}
	if o := x.observe(); len(o.Instances)+len(o.Volumes)+len(o.Foreign) != 0 {
		t.Errorf("left: %+v", o)
	}
}

func secretsCut(t *testing.T, h Harness) func(cutNext) bool {
	return func(cut cutNext) bool {
		x := h.tenant(t)
		stack := withSecrets(x.stack, "v1", "hunter2")
		reached := cut()
		o, err := x.Engine.Apply(x.ctx, stack)
		if !reached() {
			if err != nil {
				t.Fatalf("apply: %v", err)
			}
			return false
		}
		if err == nil {
			x.gets(o, "hunter2")
		}
		o = x.apply(stack)
		x.gets(o, "hunter2")
		if len(o.Instances) != 1 || len(o.Foreign) != 0 || len(o.Volumes) != 1 {
			t.Errorf("after a cut: %+v", o)
		}
		if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: o.Volumes}); err != nil {
			t.Fatal(err)
		}
		return true
	}
}
