package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// hung is a world in which every step of the engine takes its time, and some
// tenants hang, each kind in its way.
type hung struct {
	*world
	ways []string // in which tenants hang, in turn
	on   atomic.Bool
	met  sync.Map // those of the ways that the engine met
}

const hungTenants = 200

// hangs says how a tenant hangs, for most by how the step of the engine begins that does
// not end; "" for a healthy one.
func (h *hung) hangs(organizationID string) string {
	for n := range hungTenants {
		if organizationID == orgID(n) {
			return h.ways[n%len(h.ways)]
		}
	}
	return ""
}

func (h *hung) faults(ctx context.Context, s enginetest.Step) error {
	if s.After {
		return nil
	}
	pause := 40 * time.Millisecond
	if s.Read {
		pause = 10 * time.Millisecond
	}
	if h.on.Load() {
		how := h.hangs(s.Tenant)
		switch {
		case strings.HasPrefix(s.Op, "pull hang.example/"): // it is no tenant's, for the engine
			how, pause = "pull", time.Hour
		case how == "observe" && s.Op == how:
			pause = time.Hour
		case how != "" && how != "observe" && strings.HasPrefix(s.Op, how):
			pause = 90 * time.Second
		default:
			how = ""
		}
		h.met.Store(how, true)
	}
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Two hundred tenants hang in every way that there is: registries that do not
// answer, programs that ignore their stop signal, starts that take for ever,
// health checks without an answer, an engine that can't say what there is. An
// order to another tenant takes no longer than half as long again as alone.
func TestWhatHangsHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	holdsUpNobody(t, []string{"pull", "stop container", "start container", "probe", "observe"}, 0, 4)
}

// Each of these is a change to a tenant that runs, but for the first, and holds a place
// for starts until it shows that it hangs: for new tenants there is room after that.
func TestChangesThatHangHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	holdsUpNobody(t, []string{"create container", "limit container", "remove container", "look who holds", "last lines"}, 75*time.Second, 2)
}

func holdsUpNobody(t *testing.T, ways []string, first time.Duration, rounds int) {
	inBubble(t, func(w *world) {
		h := &hung{world: w, ways: ways}
		w.config.Patience = 20 * time.Minute
		w.wire()
		w.hangs.Store(true)
		w.engine.SetFaults(h.faults)
		w.run()
		for n := range hungTenants {
			switch h.hangs(orgID(n)) {
			case "pull", "probe", "create container", "start container":
			default:
				w.completed(w.provision(n, "app:1", true))
			}
		}
		alone := h.orders(1000)
		h.on.Store(true)
		w.engine.InRegistry("hang.example/app:1", imageV1, nil)
		for n := range hungTenants {
			w.must(h.order(n))
		}
		<-time.After(first)
		for round := range rounds {
			<-time.After(47 * time.Second)
			for what, took := range h.orders(2000 + 10*round) {
				if took > alone[what]*3/2 {
					t.Errorf("round %d: %s took %v beside tenants that hang, %v alone", round, what, took, alone[what])
				}
			}
		}
		for _, how := range ways {
			if _, ok := h.met.Load(how); !ok && how != "probe" { // which the engine does not meet
				t.Errorf("nobody hangs in %s", how)
			}
		}
	})
}

// order has a tenant begin to hang in its way.
func (h *hung) order(n int) (err error) {
	memory := 4096
	switch h.hangs(orgID(n)) {
	case "pull":
		_, err = h.provision(n, "hang.example/app:1", true)
	case "probe":
		_, err = h.provision(n, "app:sick", true)
	case "create container", "start container":
		_, err = h.provision(n, "app:1", true)
	case "stop container":
		_, err = h.service.Stop(ctx, h.actor, tenancy.Call{}, orgID(n))
	case "observe":
		_, err = h.service.Restart(ctx, h.actor, tenancy.Call{}, orgID(n))
	case "limit container":
		_, err = h.service.Scale(ctx, h.actor, tenancy.Call{}, orgID(n), tenancy.Scale{MemoryMB: &memory})
	case "last lines":
		h.manual.Crash(h.t, h.observed(n).Instances[0].ID, 3)
	default:
		_, err = h.deployTag(n, "app:2")
	}
	return err
}

// orders gives a healthy tenant every kind of order, one after the other, and
// tells how long each took.
func (h *hung) orders(n int) map[string]time.Duration {
	h.t.Helper()
	image := fmt.Sprintf("registry.example/app:%d", n)
	h.engine.InRegistry(image, fmt.Sprintf("sha256:%064d", n), nil)
	took := map[string]time.Duration{}
	for _, order := range []struct {
		name string
		give func() (tenancy.Receipt, error)
	}{
		{"provision", func() (tenancy.Receipt, error) { return h.provision(n, "app:1", true) }},
		{"stop", func() (tenancy.Receipt, error) { return h.service.Stop(ctx, h.actor, tenancy.Call{}, orgID(n)) }},
		{"start", func() (tenancy.Receipt, error) { return h.service.Start(ctx, h.actor, tenancy.Call{}, orgID(n)) }},
		{"restart", func() (tenancy.Receipt, error) { return h.service.Restart(ctx, h.actor, tenancy.Call{}, orgID(n)) }},
		{"deploy", func() (tenancy.Receipt, error) { return h.deployTag(n, "app:2") }},
		{"deploy with a pull", func() (tenancy.Receipt, error) { return h.deployTag(n, image) }},
		{"rollback", func() (tenancy.Receipt, error) { return h.service.Rollback(ctx, h.actor, tenancy.Call{}, orgID(n), "") }},
	} {
		began := time.Now()
		h.completed(order.give())
		took[order.name] = time.Since(began)
	}
	began := time.Now()
	h.manual.TryKill(h.tenant(n).ContainerID)
	h.eventually(10*time.Minute, "it is repaired", func() bool { return h.running(n) && h.tenant(n).Health == berth.HealthHealthy })
	took["repair"] = time.Since(began)
	began = time.Now()
	h.completed(h.service.Deprovision(ctx, h.actor, tenancy.Call{}, orgID(n), berth.VolumesDelete))
	took["deprovision"] = time.Since(began)
	return took
}

// stubborn makes what some tenants are told to do take its time at the engine.
func stubborn(op string, most int, long time.Duration) enginetest.Faults {
	return func(ctx context.Context, s enginetest.Step) error {
		pause := 10 * time.Millisecond
		for n := range most {
			if s.Tenant == orgID(n) && strings.HasPrefix(s.Op, op) {
				pause = long
			}
		}
		if s.After {
			return nil
		}
		select {
		case <-time.After(pause):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestNineThatIgnoreTheirStopSignalDelayNoOther(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		for n := range 10 {
			w.completed(w.provision(n, "app:1", true))
		}
		w.engine.SetFaults(stubborn("stop container", 9, 23*time.Second))
		for n := range 9 {
			_, err := w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(n))
			w.must(err)
		}
		<-time.After(100 * time.Millisecond)
		began := time.Now()
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(9)))
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestEightSlowStartsDelayNoRepair(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(20, "app:1", true))
		w.engine.SetFaults(stubborn("start container", 16, 31*time.Second))
		for n := range 16 {
			_, err := w.provision(n, "app:1", true)
			w.must(err)
		}
		<-time.After(100 * time.Millisecond)
		w.manual.Kill(t, w.observed(20).Instances[0].ID)
		w.eventually(soon, "it runs again", func() bool { return w.running(20) })
	})
}

// A registry that gives nothing ends the deployment with its patience, and no
// sooner than that a new order is taken up.
func TestPatienceCountsDuringAPull(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		image := "registry.example/app:9"
		w.engine.InRegistry(image, imageV2, nil)
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if strings.HasPrefix(s.Op, "pull") {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		began := time.Now()
		d := w.done(w.deployTag(1, image))
		if took := time.Since(began); d.Status != berth.DeploymentFailed || took < w.config.Patience || took > w.config.Patience+time.Second {
			t.Errorf("%s after %v of %v: %s", d.Status, took, w.config.Patience, d.Error)
		}
		if !strings.Contains(d.Error, "does not get on") {
			t.Errorf("the cause is %q", d.Error)
		}
	})
}

// Bytes that come too slowly are no progress, and an image that never is whole
// has the time of one pull, however often it is begun anew.
func TestARegistryThatTricklesEndsTheDeployment(t *testing.T) {
	const megabyte = 1 << 20
	for name, c := range map[string]struct {
		size, rate int64
		least      time.Duration // that the deployment takes beyond its patience
		status     berth.DeploymentStatus
	}{
		"a byte a second":             {10 * megabyte, 1, 0, berth.DeploymentFailed},
		"as little as may be":         {40 * 600 * megabyte, 20 << 10, 10 * time.Minute, berth.DeploymentFailed},
		"a large image, not too slow": {300 * megabyte, megabyte, 4 * time.Minute, berth.DeploymentCompleted},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				image := "registry.example/app:9"
				w.engine.ComesSlowly(image, imageV2, c.size, c.rate)
				began := time.Now()
				d := w.done(w.deployTag(1, image))
				took := time.Since(began)
				if d.Status != c.status || took < c.least || took > c.least+2*w.config.Patience+time.Minute {
					t.Errorf("%s after %v: %s", d.Status, took, d.Error)
				}
			})
		})
	}
}

func TestAPullIsAbandonedWithItsOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.config.Patience = time.Hour
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		image := "registry.example/app:9"
		w.engine.InRegistry(image, imageV2, nil)
		pulls, abandoned := make(chan struct{}), make(chan struct{})
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if strings.HasPrefix(s.Op, "pull") {
				close(pulls)
				<-ctx.Done()
				close(abandoned)
				return ctx.Err()
			}
			return nil
		})
		_, err := w.deployTag(1, image)
		w.must(err)
		<-pulls
		began := time.Now()
		w.completed(w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)))
		<-abandoned
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
