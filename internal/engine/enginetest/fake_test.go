package enginetest_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ reconcile.Engine = (*enginetest.Fake)(nil)

func pin(n string) string { return "sha256:" + strings.Repeat(n, 64) }

func newFake() *enginetest.Fake {
	f := enginetest.NewFake()
	f.SetImage(pin("a"), enginetest.Program{})
	f.SetImage(pin("b"), enginetest.Program{})
	f.SetImage(pin("c"), enginetest.Program{ExitCode: 127})
	f.SetImage(pin("d"), enginetest.Program{Volumes: []string{"/data"}})
	f.Tag("app:v1", pin("a"))
	return f
}

// suite runs the suite on one fake, and what cuts calls on fakes of its own.
func suite(t *testing.T, made func() *enginetest.Fake, replaces bool) {
	h := harness(made())
	h.Replaces = replaces
	h.Own = func(*testing.T) (enginetest.Harness, enginetest.Cut) {
		f := made()
		own := harness(f)
		own.Replaces = replaces
		return own, func(n int, after bool) func() bool {
			var left atomic.Int64
			left.Store(int64(n))
			f.SetFaults(func(_ context.Context, s enginetest.Step) error {
				if s.After == after && left.Add(-1) == 0 {
					return enginetest.ErrCrash
				}
				return nil
			})
			return func() bool {
				f.SetFaults(nil)
				return left.Load() <= 0
			}
		}
	}
	enginetest.Run(t, h)
}

func harness(f *enginetest.Fake) enginetest.Harness {
	var subnets atomic.Uint32
	return enginetest.Harness{
		Engine: f, Stranger: f.Stranger("other-installation"), Manual: f.Manual(),
		Images: enginetest.Images{App: pin("a"), Next: pin("b"), Broken: pin("c"), Keeps: pin("d"), Local: "app:v1"},
		Subnet: func() netip.Prefix {
			n := subnets.Add(1)
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 70, byte(n >> 4), byte(n&15) << 4}), berth.SubnetBits)
		},
	}
}

func TestTheFakePassesTheSuite(t *testing.T) { suite(t, newFake, false) }

func TestTheFakePassesTheSuiteWhenItsAddressesCantBeReached(t *testing.T) {
	suite(t, func() *enginetest.Fake {
		f := newFake()
		f.SetRouted(false)
		return f
	}, false)
}

func stack(f *enginetest.Fake) berth.Stack {
	org := "550e8400-e29b-41d4-a716-446655440001"
	return berth.Stack{
		OrganizationID: org, Generation: 1, Run: true, Network: berth.NetworkName(org), Subnet: netip.MustParsePrefix("10.70.0.0/28"),
		Services: []berth.Service{{Name: "app", Main: true, Image: pin("a"), Replicas: 1, Port: 3000, User: "1000"}},
	}
}

func TestAHangingStepEndsWithItsContext(t *testing.T) {
	f := newFake()
	f.SetFaults(func(ctx context.Context, s enginetest.Step) error {
		if s.Op == "create network" && !s.After {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.Apply(ctx, stack(f))
		done <- err
	}()
	cancel(errors.New("enough"))
	if err := <-done; !berth.Is(err, berth.CodeEngineUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The volume is made anew while a container that nobody knows any more holds the one
// before it.
func TestAVolumeThatMayBeSharedIsNeverHeldTwice(t *testing.T) {
	f := newFake()
	s := stack(f)
	data := berth.VolumeName(s.OrganizationID, "data")
	s.Volumes = []berth.Volume{{Name: data, Shared: true}}
	s.Services[0].Mounts = []berth.Mount{{Volume: data, Target: "/data"}}
	if _, err := f.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.Manual().Rename(t, berth.ContainerName(s.OrganizationID), "another")
	if err := f.Remove(t.Context(), berth.Removal{OrganizationID: s.OrganizationID, Volumes: []string{data}}); err != nil {
		t.Fatal(err)
	}
	s.Generation = 2
	if _, err := f.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if held := f.HeldTwice(); len(held) > 0 {
		t.Errorf("held twice: %v", held)
	}
}

func TestAnEngineThatIsDownFailsEveryCallAndKeepsItsContainers(t *testing.T) {
	f := newFake()
	if _, err := f.Apply(t.Context(), stack(f)); err != nil {
		t.Fatal(err)
	}
	before := f.Dump()
	f.SetDown(true)
	_, err := f.List(t.Context())
	if !berth.Is(err, berth.CodeEngineUnavailable) {
		t.Errorf("error %v", err)
	}
	f.SetDown(false)
	if after := f.Dump(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestAProgramThatIsSickOrDeafIsNotHealthy(t *testing.T) {
	for name, p := range map[string]enginetest.Program{"sick": {Sick: true}, "deaf": {Deaf: true}, "well": {}} {
		f := newFake()
		f.SetImage(pin("a"), p)
		o, err := f.Apply(t.Context(), stack(f))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Healthy(o.Instances[0].Address); got != (name == "well") {
			t.Errorf("%s: healthy is %t", name, got)
		}
	}
}

func TestAnEngineWithControllersOfItsOwnPassesTheSuite(t *testing.T) {
	suite(t, func() *enginetest.Fake {
		f := newFake()
		f.SetWillful(false)
		return f
	}, true)
}

func TestALateLookShowsNothingThatARemovalSawToBeGone(t *testing.T) {
	f := newFake()
	f.SetWillful(true)
	s := stack(f)
	look := func() berth.Observed {
		o, err := f.Observe(t.Context(), s.OrganizationID)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	look()
	if _, err := f.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if o := look(); len(o.Instances) > 0 {
		t.Fatalf("a look was not late: %+v", o)
	}
	look()
	r := berth.Removal{OrganizationID: s.OrganizationID}
	for _, v := range s.Volumes {
		r.Volumes = append(r.Volumes, v.Name)
	}
	err := f.Remove(t.Context(), r)
	for berth.Is(err, berth.CodeEngineUnavailable) { // it met a conflict
		err = f.Remove(t.Context(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if o := look(); o.Network || len(o.Instances)+len(o.Volumes) > 0 {
		t.Errorf("a look shows %+v", o)
	}
}
