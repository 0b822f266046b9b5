package enginetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/reconcile"
)

// Run runs the suite. The engine may hold other tenants too.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"a fresh stack is made whole":                               freshStack,
		"applying twice changes nothing":                            applyTwice,
		"stopped containers stay and start again":                   stopAndStart,
		"a stack that does not run is made and left stopped":        madeStopped,
		"a changed spec makes containers anew and keeps the volume": changedSpec,
		"replicas come and go":                                      replicas,
		"limits change both ways without a restart":                 liveLimits,
		"environment arrives byte for byte":                         environment,
		"secrets are files before the program starts":               secretFiles,
		"a half-made stack is finished":                             halfMade,
		"an apply whose context ends is finished by the next":       contextEnds,
		"removal refuses another tenant's volume":                   removeOthersVolume,
		"removal leaves the volumes that are not named":             removeKeepsVolumes,
		"removal of nothing is no error":                            removeNothing,
		"a recorded volume that is gone stops everything":           dataMissing,
		"a subnet that is taken is said to be":                      subnetTaken,
		"a container that can't start is refused with the cause":    cantStart,
		"a container whose program fails is seen to":                diesAtOnce,
		"no container runs as root":                                 runsAsRoot,
		"a missing image is said to be":                             imageMissing,
		"eight tenants are applied at the same time":                manyAtOnce,

		"a service that runs once does so, and once per release":  runsOnce,
		"services that are deferred or done are left as they are": leavesDeferredAndDone,
		"what a container's own health check says is seen":        sayHealth,
		"the next generation is made beside, and takes the name":  besideThenAlone,
		"what was made beside goes when it is not wanted":         besideThenGone,
		"a service's name leads to one generation":                oneGenerationNamed,
		"replicas and stopped remains move too":                   besideReplicas,
		"what compose made is taken back, and nothing else":       adopts,
		"nothing is started beside what compose runs":             besideCompose,

		"what manual change on a living container is mended": changedByHand,
		"a volume is another's while that one writes to it":  volumeHeld,

		"what an image keeps is a volume of its tenant":         imageVolumes,
		"what a stack mounts where an image keeps data is used": imageVolumesMounted,
		"each replica keeps what its image keeps for itself":    imageVolumesOfReplicas,

		"what stands in the way is refused and left alone": foreignInTheWay,
		"copied labels are foreign":                        copiedLabels,
		"copied labels under a name of ours are foreign":   forgedLabels,
		"another installation's tenants are foreign":       otherInstallation,
		"a foreign object outlives removal":                foreignOutlivesRemoval,
		"a killed container is started by apply":           killed,
		"a removed container is made again":                removedContainer,
		"a removed network is repaired":                    removedNetwork,
		"the list has everything with its state":           listed,
		"what is listed can be looked at closer":           listedCloser,
		"watching hints at a kill":                         watched,
		"images resolve to what they are pinned by":        resolved,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
	if h.Own == nil {
		return
	}
	for name, test := range map[string]cutTest{
		"an apply cut off at any call is finished by the next":              applyCut,
		"a delivery of secrets cut off at any call is finished by the next": secretsCut,
		"a transition cut off at any call is finished by the next":          transitionCut,
		"a removal cut off at any call is finished by the next":             removeCut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h.cutEverywhere(t, test)
		})
	}
}

func freshStack(t *testing.T, h Harness) {
	x := h.tenant(t)
	o := x.apply(x.stack)
	x.runs(o)
	if !o.Network || o.Subnet != x.stack.Subnet || len(o.Foreign) != 0 {
		t.Errorf("network %v %v, foreign %v", o.Network, o.Subnet, o.Foreign)
	}
	if !slices.Equal(o.Volumes, []string{x.stack.Volumes[0].Name}) {
		t.Errorf("volumes %v", o.Volumes)
	}
	c, svc := o.Instances[0], x.stack.Services[0]
	want := berth.Instance{
		StopGrace: 5 * time.Second, ID: c.ID, Name: berth.ContainerName(x.org), Service: "app", Replica: 1, Generation: 1, Hash: svc.Hash(), Image: svc.Image,
		State: berth.InstanceRunning, StartedAt: c.StartedAt, Address: c.Address, CPU: 0.5, MemoryMB: 256, Writes: []string{x.stack.Volumes[0].Name},
	}
	if diff := cmp.Diff(want, c, cmp.Comparer(sameAddress)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(o, x.observe(), cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("apply and observe differ:\n%s", diff)
	}
	if observer, ok := h.Engine.(reconcile.InstanceObserver); ok {
		alone, err := observer.ObserveInstances(x.ctx, x.org)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(berth.Observed{OrganizationID: x.org, Instances: o.Instances}, alone, cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" {
			t.Errorf("the instances alone differ:\n%s", diff)
		}
	}
	labels, _ := h.Manual.Labels(t, kindContainer, c.Name)
	for label, value := range map[string]string{
		berth.LabelTenantID: x.org, berth.LabelTenantName: x.stack.Name, berth.LabelService: "app", "traefik.enable": "true",
	} {
		if labels[label] != value {
			t.Errorf("label %s is %q", label, labels[label])
		}
	}
}

func applyTwice(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack)
	x.stack.Volumes[0].Recorded = true
	if diff := cmp.Diff(first, x.apply(x.stack), cmp.Comparer(sameAddress), cmp.Comparer(samePrefix)); diff != "" {
		t.Error(diff)
	}
}

func stopAndStart(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack)
	x.runs(first)
	stopped := x.apply(x.next(func(s *berth.Stack) { s.Run = false }))
	if c := stopped.Instances[0]; c.State != berth.InstanceExited || c.Address.IsValid() {
		t.Errorf("container is %s at %v", c.State, c.Address)
	}
	again := x.apply(x.next(func(s *berth.Stack) { s.Run = true }))
	x.runs(again)
	if !slices.Equal(ids(first), ids(stopped)) || !slices.Equal(ids(first), ids(again)) {
		t.Errorf("containers changed: %v, %v, %v", ids(first), ids(stopped), ids(again))
	}
}

func madeStopped(t *testing.T, h Harness) {
	x := h.tenant(t)
	o := x.apply(x.next(func(s *berth.Stack) { s.Run = false }))
	if c := o.Instances[0]; c.State != berth.InstanceCreated || c.Address.IsValid() || !c.StartedAt.IsZero() {
		t.Errorf("container is %s at %v, started %v", c.State, c.Address, c.StartedAt)
	}
	o2 := x.apply(x.next(func(s *berth.Stack) { s.Run = true }))
	x.runs(o2)
	if !slices.Equal(ids(o), ids(o2)) {
		t.Error("the container was made anew")
	}
}

func changedSpec(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack)
	x.runs(first)
	x.get(first.Instances[0], "/put?v=bread")
	second := x.apply(x.next(func(s *berth.Stack) {
		s.Services[0].Image = h.Images.Next
		s.Volumes[0].Recorded = true
	}))
	x.runs(second)
	c := second.Instances[0]
	if c.ID == first.Instances[0].ID || c.Image != h.Images.Next || c.Generation != 2 || len(second.Instances) != 1 {
		t.Errorf("after a new image: %+v", second.Instances)
	}
	if got := x.get(c, "/get"); got != "bread" {
		t.Errorf("the volume holds %q", got)
	}
}

func replicas(t *testing.T, h Harness) {
	x := h.tenant(t)
	one := x.apply(x.stack)
	three := x.apply(x.next(func(s *berth.Stack) { s.Services[0].Replicas = 3 }))
	x.runs(three)
	name := berth.ContainerName(x.org)
	var names []string
	for i, c := range three.Instances {
		names = append(names, c.Name)
		if c.Replica != i+1 {
			t.Errorf("container %s is replica %d", c.Name, c.Replica)
		}
	}
	if !slices.Equal(names, []string{name, name + "_app_2", name + "_app_3"}) {
		t.Errorf("containers %v", names)
	}
	back := x.apply(x.next(func(s *berth.Stack) { s.Services[0].Replicas = 1 }))
	if !slices.Equal(ids(one), ids(back)) || three.Instances[0].ID != one.Instances[0].ID {
		t.Errorf("the first replica was touched: %v, %v, %v", ids(one), ids(three), ids(back))
	}
}

func liveLimits(t *testing.T, h Harness) {
	x := h.tenant(t)
	first := x.apply(x.stack).Instances[0]
	for _, l := range []berth.Limits{{CPU: 1, MemoryMB: 1024}, {CPU: 0.25, MemoryMB: 256}, {CPU: 0.25, MemoryMB: 512}} {
		c := x.apply(x.next(func(s *berth.Stack) { s.Services[0].Limits = l })).Instances[0]
		if c.CPU != l.CPU || c.MemoryMB != l.MemoryMB {
			t.Errorf("limits in force are %v and %v, not %+v", c.CPU, c.MemoryMB, l)
		}
		if c.ID != first.ID || !c.StartedAt.Equal(first.StartedAt) || c.State != berth.InstanceRunning {
			t.Errorf("the container was restarted: %+v", c)
		}
		if seen := x.observe().Instances[0]; seen.CPU != l.CPU || seen.MemoryMB != l.MemoryMB {
			t.Errorf("observed %v and %v", seen.CPU, seen.MemoryMB)
		}
	}
	x.runs(x.observe())
	stopped := x.apply(x.next(func(s *berth.Stack) { s.Run, s.Services[0].Limits = false, berth.Limits{CPU: 0.75, MemoryMB: 300} }))
	if c := stopped.Instances[0]; c.ID != first.ID || c.CPU != 0.75 || c.MemoryMB != 300 {
		t.Errorf("stopped and limited: %+v", c)
	}
}

func environment(t *testing.T, h Harness) {
	x := h.tenant(t)
	o := x.apply(x.stack)
	if got, want := x.get(o.Instances[0], "/env?name=ODD"), x.stack.Services[0].Environment[0].Value; got != want {
		t.Errorf("the container has %q, not %q", got, want)
	}
}

func halfMade(t *testing.T, h Harness) {
	for name, unmake := range map[string]func(*tenant, berth.Observed){
		"network only": func(x *tenant, o berth.Observed) {
			for _, c := range o.Instances {
				h.Manual.Remove(x.t, kindContainer, c.Name)
			}
		},
		"containers that never started": func(*tenant, berth.Observed) {},
		"containers without a network":  func(x *tenant, _ berth.Observed) { h.Manual.Remove(x.t, kindNetwork, x.stack.Network) },
		"one of two replicas":           func(x *tenant, o berth.Observed) { h.Manual.Remove(x.t, kindContainer, o.Instances[0].Name) },
		"volume only": func(x *tenant, o berth.Observed) {
			for _, c := range o.Instances {
				h.Manual.Remove(x.t, kindContainer, c.Name)
			}
			h.Manual.Remove(x.t, kindNetwork, x.stack.Network)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := h.tenant(t)
			unmake(x, x.apply(x.next(func(s *berth.Stack) { s.Run, s.Services[0].Replicas = false, 2 })))
			x.stack.Volumes[0].Recorded = true
			o := x.apply(x.next(func(s *berth.Stack) { s.Run = true }))
			x.runs(o)
			if len(o.Instances) != 2 || !o.Network || o.Subnet != x.stack.Subnet {
				t.Errorf("observed %+v", o)
			}
		})
	}
}

func applyCut(t *testing.T, h Harness) func(cutNext) bool {
	return func(cut cutNext) bool {
		x := h.tenant(t)
		reached := cut()
		o, err := x.Engine.Apply(x.ctx, x.stack)
		more := reached()
		if !more && err != nil {
			t.Fatalf("apply: %v", err)
		}
		if err == nil { // a client may repeat a call that only reads
			x.runs(o)
		}
		x.runs(x.apply(x.stack))
		// A change of spec, cut at the same call.
		changed := x.next(func(s *berth.Stack) { s.Services[0].Image = h.Images.Next })
		reached = cut()
		_, _ = x.Engine.Apply(x.ctx, changed)
		more = reached() || more
		o = x.apply(changed)
		x.runs(o)
		if len(o.Instances) != 1 || len(o.Foreign) != 0 || len(o.Volumes) != 1 || o.Subnet != changed.Subnet {
			t.Errorf("after a cut: %+v", o)
		}
		if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: o.Volumes}); err != nil {
			t.Fatal(err)
		}
		return more
	}
}

// contextEnds leaves calls behind that the engine still works on when the next
// apply begins.
func contextEnds(t *testing.T, h Harness) {
	x := h.tenant(t)
	for _, after := range []time.Duration{0, 5, 15, 40, 80, 130, 200, 300} {
		ctx, cancel := context.WithTimeout(x.ctx, after*time.Millisecond)
		_, err := h.Engine.Apply(ctx, x.stack)
		cancel()
		if err != nil {
			wantCode(t, err, berth.CodeEngineUnavailable)
		}
		o := x.apply(x.stack)
		x.runs(o)
		if len(o.Instances) != 1 || len(o.Foreign) != 0 || o.Subnet != x.stack.Subnet {
			t.Errorf("ended after %d ms: %+v", after, o)
		}
		if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: o.Volumes}); err != nil {
			t.Fatal(err)
		}
	}
}

func removeOthersVolume(t *testing.T, h Harness) {
	x, y := h.tenant(t), h.tenant(t)
	y.apply(y.stack)
	theirs := y.stack.Volumes[0].Name
	wantCode(t, h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: []string{theirs}}), berth.CodeForeignObject)
	if _, ok := h.Manual.Labels(t, kindVolume, theirs); !ok {
		t.Error("it was removed")
	}
}

func removeCut(t *testing.T, h Harness) func(cutNext) bool {
	return func(cut cutNext) bool {
		x := h.tenant(t)
		r := berth.Removal{OrganizationID: x.org, Volumes: x.apply(x.stack).Volumes}
		reached := cut()
		err := h.Engine.Remove(x.ctx, r)
		more := reached()
		if !more && err != nil {
			t.Fatalf("remove: %v", err)
		}
		if err := h.Engine.Remove(x.ctx, r); err != nil {
			t.Fatalf("after a cut: %v", err)
		}
		if o := x.observe(); o.Network || len(o.Instances)+len(o.Volumes) != 0 {
			t.Errorf("after a cut: %+v", o)
		}
		return more
	}
}

func removeKeepsVolumes(t *testing.T, h Harness) {
	x := h.tenant(t)
	volume := x.stack.Volumes[0].Name
	o := x.apply(x.stack)
	x.get(o.Instances[0], "/put?v=kept")
	if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org}); err != nil {
		t.Fatal(err)
	}
	if o := x.observe(); o.Network || len(o.Instances) != 0 || !slices.Equal(o.Volumes, []string{volume}) {
		t.Errorf("after removal: %+v", o)
	}
	// Provisioned again, the tenant finds its data.
	x.stack.Volumes[0].Recorded = true
	o = x.apply(x.stack)
	if got := x.get(o.Instances[0], "/get"); got != "kept" {
		t.Errorf("the volume holds %q", got)
	}
	if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: []string{volume}}); err != nil {
		t.Fatal(err)
	}
	if o := x.observe(); o.Network || len(o.Instances)+len(o.Volumes) != 0 {
		t.Errorf("after removal: %+v", o)
	}
}

func removeNothing(t *testing.T, h Harness) {
	x := h.tenant(t)
	if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: []string{berth.VolumeName(x.org, "data")}}); err != nil {
		t.Error(err)
	}
	if o := x.observe(); o.OrganizationID != x.org || o.Network || len(o.Instances) != 0 {
		t.Errorf("observed %+v", o)
	}
}

func dataMissing(t *testing.T, h Harness) {
	x := h.tenant(t)
	x.apply(x.stack)
	h.Manual.Remove(t, kindContainer, berth.ContainerName(x.org))
	h.Manual.Remove(t, kindVolume, x.stack.Volumes[0].Name)
	x.stack.Volumes[0].Recorded = true
	x.fails(berth.CodeDataMissing, x.stack)
	if o := x.observe(); len(o.Instances) != 0 && !h.Replaces || len(o.Volumes) != 0 {
		t.Errorf("something was made: %+v", o)
	}
}

func subnetTaken(t *testing.T, h Harness) {
	x, y := h.tenant(t), h.tenant(t)
	x.apply(x.stack)
	taken := y.stack
	taken.Subnet = x.stack.Subnet
	y.fails(berth.CodeSubnetTaken, taken)
	y.runs(y.apply(y.stack))
}

func cantStart(t *testing.T, h Harness) {
	x := h.tenant(t)
	broken := x.next(func(s *berth.Stack) { s.Services[0].User = "no-such-user" })
	x.fails(berth.CodeEngineRefused, broken)
	x.fails(berth.CodeEngineRefused, broken)
	if o := x.observe(); len(o.Instances) != 1 || o.Instances[0].State == berth.InstanceRunning {
		t.Errorf("the container is not there to be looked at: %+v", o)
	}
	x.runs(x.apply(x.next(func(s *berth.Stack) { s.Services[0].User = "65532" })))
}

func diesAtOnce(t *testing.T, h Harness) {
	x := h.tenant(t)
	_, err := h.Engine.Apply(x.ctx, x.next(func(s *berth.Stack) { s.Services[0].Image = h.Images.Broken }))
	if err != nil {
		wantCode(t, err, berth.CodeEngineRefused)
	}
	eventually(t, "the container is seen to have failed", func() bool {
		c := x.observe().Instances[0]
		return c.State != berth.InstanceRunning && c.ExitCode != 0 && !c.Address.IsValid()
	})
	x.runs(x.apply(x.next(func(s *berth.Stack) { s.Services[0].Image = h.Images.App })))
}

func runsAsRoot(t *testing.T, h Harness) {
	for _, user := range []string{"", "0", "root", "0:65532", "00"} {
		x := h.tenant(t)
		x.fails(berth.CodeEngineRefused, x.next(func(s *berth.Stack) { s.Services[0].User = user }))
		if o := x.observe(); len(o.Instances) != 0 {
			t.Errorf("user %q: %+v", user, o)
		}
	}
}

func imageMissing(t *testing.T, h Harness) {
	x := h.tenant(t)
	x.fails(berth.CodeImageNotFound, x.next(func(s *berth.Stack) {
		s.Services[0].Image = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
	}))
}

func manyAtOnce(t *testing.T, h Harness) {
	var all sync.WaitGroup
	for range 8 {
		x := h.tenant(t)
		all.Go(func() {
			o, err := h.Engine.Apply(x.ctx, x.stack)
			if err != nil {
				t.Errorf("apply: %v", err)
				return
			}
			if len(o.Instances) != 1 || o.Instances[0].State != berth.InstanceRunning || o.Subnet != x.stack.Subnet {
				t.Errorf("observed %+v", o)
			}
			if err := h.Engine.Remove(x.ctx, berth.Removal{OrganizationID: x.org, Volumes: o.Volumes}); err != nil {
				t.Errorf("remove: %v", err)
			}
		})
	}
	all.Wait()
}
