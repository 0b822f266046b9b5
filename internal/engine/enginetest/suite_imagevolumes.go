package enginetest

import (
	"slices"
	"testing"

	"github.com/unite-hub/berth"
)

// keeper is a tenant whose image declares a volume that its stack does not name.
func (h Harness) keeper(t *testing.T) (x *tenant, volume string) {
	x = h.tenant(t)
	x.next(func(s *berth.Stack) {
		s.Volumes, s.Services[0].Mounts, s.Services[0].Image = nil, nil, h.Images.Keeps
	})
	return x, berth.ImageVolumeName(x.org, berth.Slot{Name: "app", Replica: 1}, "/data")
}

func imageVolumes(t *testing.T, h Harness) {
	x, volume := h.keeper(t)
	has := func(what string, o berth.Observed) {
		t.Helper()
		x.runs(o)
		if c := o.Instances[0]; !slices.Equal(o.Volumes, []string{volume}) || !slices.Equal(c.Writes, o.Volumes) || len(o.Foreign) != 0 {
			t.Errorf("%s: volumes %v, written %v, foreign %v; want %s", what, o.Volumes, c.Writes, o.Foreign, volume)
		}
	}
	first := x.apply(x.stack)
	has("first", first)
	x.get(first.Instances[0], "/put?v=bread")
	old := berth.Version{Service: "app", Hash: x.stack.Services[0].Hash(), Instances: 1}
	next := x.next(func(s *berth.Stack) {
		s.Services[0].Environment = append(s.Services[0].Environment, berth.EnvVar{Name: "WHICH", Value: "next"})
	})
	beside := next
	beside.Others = []berth.Version{old}
	x.fails(berth.CodeForeignObject, beside) // two versions would write to it
	second := x.apply(next)
	has("the next version", second)
	if got := x.get(second.Instances[0], "/get"); got != "bread" {
		t.Errorf("the next version finds %q", got)
	}
	if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it stays when nobody ordered it gone", func() bool {
		o := x.observe()
		return len(o.Instances) == 0 && slices.Equal(o.Volumes, []string{volume})
	})
	again := x.apply(next)
	has("again", again)
	if got := x.get(again.Instances[0], "/get"); got != "bread" {
		t.Errorf("again it finds %q", got)
	}
	if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: []string{volume}, Unnamed: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes by order", func() bool { o := x.observe(); return len(o.Instances)+len(o.Volumes) == 0 })
	lost := x.next(func(s *berth.Stack) { s.Volumes = []berth.Volume{{Name: volume, Key: "/data", Recorded: true}} })
	x.fails(berth.CodeDataMissing, lost)
	x.runs(x.apply(x.next(func(s *berth.Stack) { s.Services[0].Image = h.Images.App }))) // which does not want it
}

func imageVolumesMounted(t *testing.T, h Harness) {
	for name, change := range map[string]func(s *berth.Stack, x *tenant){
		"a volume": func(s *berth.Stack, x *tenant) {
			s.Volumes = []berth.Volume{{Name: berth.VolumeName(x.org, "data")}}
			s.Services[0].Mounts = []berth.Mount{{Volume: berth.VolumeName(x.org, "data"), Target: "/data"}}
		},
		"memory": func(s *berth.Stack, _ *tenant) {
			s.Services[0].Tmpfs = append(slices.Clone(s.Services[0].Tmpfs), berth.Tmpfs{Target: "/data", SizeMB: 16})
		},
	} {
		x, volume := h.keeper(t)
		o := x.apply(x.next(func(s *berth.Stack) { change(s, x) }))
		x.runs(o)
		if slices.Contains(o.Volumes, volume) || len(o.Foreign) != 0 {
			t.Errorf("with %s mounted there: volumes %v, foreign %v", name, o.Volumes, o.Foreign)
		}
	}
}

func imageVolumesOfReplicas(t *testing.T, h Harness) {
	x, first := h.keeper(t)
	o := x.apply(x.next(func(s *berth.Stack) { s.Services[0].Replicas = 2 }))
	x.runs(o)
	want := []string{first, berth.ImageVolumeName(x.org, berth.Slot{Name: "app", Replica: 2}, "/data")}
	if !slices.Equal(o.Volumes, want) {
		t.Errorf("two replicas have %v, want %v", o.Volumes, want)
	}
}
