package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/tenancy"
)

func (w *world) events(n int) (kinds []string) {
	w.t.Helper()
	w.must(w.store.View(ctx, w.actor, func(tx store.Tx) error {
		list, _, err := tx.ListEvents(ctx, orgID(n), store.Page{Limit: 100})
		for _, e := range list {
			kinds = append(kinds, e.Kind)
		}
		slices.Reverse(kinds)
		return err
	}))
	return kinds
}

func (w *world) messages(n int) (list []string) {
	w.t.Helper()
	w.must(w.store.View(ctx, w.actor, func(tx store.Tx) error {
		all, _, err := tx.ListEvents(ctx, orgID(n), store.Page{Limit: 100})
		for _, e := range all {
			list = append(list, e.Kind+": "+e.Message)
		}
		slices.Reverse(list)
		return err
	}))
	return list
}

func (w *world) state(n int) berth.RouteState {
	r, _ := w.edge.route(n)
	return r.State
}

// crash lets a tenant's instance crash as often as asked, with time in between
// for the loop to see each.
func (w *world) crash(n, times int) {
	for range times {
		w.manual.Crash(w.t, w.observed(n).Instances[0].ID, 3)
		<-time.After(2 * time.Second)
	}
}

func TestAnInstanceThatCrashesTooOftenIsGivenUpUntilItIsStartedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.crash(1, 7)
		w.eventually(time.Minute, "it is well after seven crashes", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
		w.crash(1, 1)
		w.eventually(time.Minute, "it is given up", func() bool { return strings.HasPrefix(w.tenant(1).Cause, "given up: service app crashed 8 times") })
		if got := w.tenant(1); got.Status != berth.StatusFailed || w.running(1) || w.state(1) == berth.RouteServing {
			t.Errorf("given up: %+v, running %t, route %s", got, w.running(1), w.state(1))
		}
		<-time.After(10 * time.Minute)
		if w.running(1) {
			t.Error("it was started again by itself")
		}
		if kinds := w.events(1); kinds[len(kinds)-1] != berth.EventGaveUp || strings.Count(strings.Join(kinds, " "), berth.EventGaveUp) != 1 {
			t.Errorf("told as %v", kinds)
		}
		w.stop()
		w.wire()
		w.run()
		<-time.After(10 * time.Minute)
		if w.running(1) || strings.Join(w.events(1), " ") != "crashed crashed gave_up" {
			t.Errorf("another Berth started it again: %v", w.events(1))
		}
		w.completed(w.service.Start(ctx, w.actor, tenancy.Call{}, orgID(1)))
		w.crash(1, 3)
		w.eventually(time.Minute, "it is well again", func() bool { return w.running(1) && w.tenant(1).Health == berth.HealthHealthy })
	})
}

// An engine may start an instance again, or put another one in its place.
func TestCrashesCountWhateverInstanceComesAfter(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(w *world, id string){
		"started again": func(w *world, id string) { w.manual.Crash(w.t, id, 3) },
		"replaced":      func(w *world, id string) { w.manual.End(w.t, id, 3, false) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				if name == "replaced" {
					w.engine.SetWillful(true)
				}
				w.run()
				w.completed(w.provision(1, "app:1", true))
				ids := map[string]bool{}
				for n := range 8 {
					id := w.observed(1).Instances[0].ID
					ids[id] = true
					if crash(w, id); n < 7 {
						w.eventually(time.Minute, "it is well again", func() bool { return w.state(1) == berth.RouteServing && w.tenant(1).Health == berth.HealthHealthy })
						<-time.After(10 * time.Second)
					}
				}
				if name == "replaced" && len(ids) != 8 {
					t.Errorf("%d containers", len(ids))
				}
				w.eventually(time.Minute, "it is given up", func() bool { return strings.HasPrefix(w.tenant(1).Cause, "given up: service app crashed 8 times") })
				if got := w.messages(1); len(got) < 2 || !strings.HasPrefix(got[0], "crashed: service app ended with exit code 3") || slices.ContainsFunc(got, func(m string) bool { return strings.HasPrefix(m, "drift") }) {
					t.Errorf("told as %q", got)
				}
			})
		})
	}
}

// An engine with controllers of its own does not miss what was removed by hand.
func TestWhatIsRemovedByHandTenTimesDidNotCrash(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.engine.SetWillful(true)
		w.run()
		w.completed(w.provision(1, "app:1", true))
		for range 10 {
			w.manual.Remove(t, "container", w.observed(1).Instances[0].Name)
			w.eventually(time.Minute, "it is back and well", func() bool { return w.running(1) && w.state(1) == berth.RouteServing })
			<-time.After(10 * time.Second)
		}
		if kinds := w.events(1); slices.Contains(kinds, berth.EventCrashed) || w.tenant(1).Status != berth.StatusRunning {
			t.Errorf("told as %v, and it is %s", kinds, w.tenant(1).Status)
		}
	})
}

// However fast the engine starts it again.
func TestACrashIsToldWithExitCodeAndLastLinesAndIsNoDrift(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		<-time.After(2 * time.Minute)
		for _, code := range []int{3, 4, 5} {
			w.manual.Crash(w.t, w.observed(1).Instances[0].ID, code)
			<-time.After(5 * time.Second)
		}
		w.eventually(3*time.Minute, "all are told", func() bool { return len(w.messages(1)) == 2 })
		want := []string{
			"crashed: service app ended with exit code 3; its last lines: exit code 3",
			"crashed: service app crashed 2 times, and last ended with exit code 5; its last lines: exit code 5",
		}
		if got := w.messages(1); !slices.Equal(got, want) {
			t.Errorf("told as %q", got)
		}
	})
}

// What an instance wrote goes with it when its deployment goes back.
func TestAnEngineThatIsSlowOrFailsOnceLosesNoLastLines(t *testing.T) {
	for name, fault := range map[string]func(ctx context.Context, asked int) error{
		"slow": func(ctx context.Context, _ int) error {
			select {
			case <-ctx.Done():
			case <-time.After(6 * time.Second):
			}
			return ctx.Err()
		},
		"failing": func(_ context.Context, asked int) error {
			if asked == 1 {
				return errors.New("EOF")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				asked := 0
				w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
					if s.Op != "last lines" || s.After {
						return nil
					}
					asked++
					return fault(ctx, asked)
				})
				w.run()
				w.completed(w.provision(1, "app:1", true))
				<-time.After(2 * time.Minute)
				w.manual.Crash(w.t, w.observed(1).Instances[0].ID, 3)
				w.eventually(3*time.Minute, "it is told", func() bool { return len(w.messages(1)) == 1 })
				if got := w.messages(1); !strings.HasSuffix(got[0], "exit code 3; its last lines: exit code 3") {
					t.Errorf("told as %q", got)
				}
			})
		})
	}
}

func TestFiveGoodMinutesMakeUpForCrashes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		for range 3 {
			w.crash(1, 6)
			<-time.After(6 * time.Minute)
		}
		if !w.running(1) || w.tenant(1).Status != berth.StatusRunning {
			t.Errorf("given up: %+v", w.tenant(1))
		}
	})
}

func TestWhatIsNotReadyGetsNoRequestsUntilItIs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		id := w.observed(1).Instances[0].ID
		w.say(1, id, berth.Vital{Started: true, Cause: "answered 503"})
		w.eventually(time.Minute, "its route is closed", func() bool { return w.state(1) == berth.RouteUnready })
		w.eventually(time.Minute, "it is unhealthy", func() bool { return w.tenant(1).Health == berth.HealthUnhealthy && w.tenant(1).Cause == "answered 503" })
		w.say(1, id, berth.Vital{Started: true, Ready: true})
		w.eventually(time.Minute, "it serves again", func() bool { return w.state(1) == berth.RouteServing && w.tenant(1).Health == berth.HealthHealthy })
		if got := strings.Join(w.events(1), " "); got != "unhealthy recovered" {
			t.Errorf("told as %s", got)
		}
		if got := w.observed(1).Instances[0]; got.ID != id || got.Restarts != 0 {
			t.Errorf("it was restarted: %+v", got)
		}
	})
}

func TestOnlyTheReplicaThatIsNotReadyGetsNoRequests(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		three := 3
		w.completed(w.service.Scale(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Scale{Replicas: &three}))
		w.say(1, w.observed(1).Instances[1].ID, berth.Vital{Started: true, Cause: "answered 503"})
		w.eventually(time.Minute, "two serve", func() bool {
			r, _ := w.edge.route(1)
			return r.State == berth.RouteServing && len(r.Upstreams) == 2
		})
		<-time.After(time.Minute)
		if got := w.tenant(1).Cause; got != "1 of 3 replicas are not ready: answered 503" {
			t.Errorf("cause %q", got)
		}
	})
}

func TestWhatGivesNoSignOfLifeIsRestartedLessAndLessOften(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		name := w.observed(1).Instances[0].Name
		began := w.engine.Starts(name)
		var at []time.Duration
		since := time.Now()
		for w.tenant(1).Status == berth.StatusRunning && len(at) < 20 {
			starts := w.engine.Starts(name)
			w.say(1, w.observed(1).Instances[0].ID, berth.Vital{Started: true, Dead: true, Cause: "no answer within 5s"})
			w.eventually(10*time.Minute, "it is restarted or given up", func() bool {
				w.loop.Recheck(orgID(1))
				return w.engine.Starts(name) > starts || w.tenant(1).Status == berth.StatusFailed
			})
			at = append(at, time.Since(since))
			since = time.Now()
		}
		if n := w.engine.Starts(name) - began; n != 8 || !strings.HasPrefix(w.tenant(1).Cause, "given up") {
			t.Errorf("restarted %d times, then: %q", n, w.tenant(1).Cause)
		}
		if len(at) < 8 || at[7] < 10*at[1] {
			t.Errorf("pauses %v", at)
		}
	})
}

// While an engine is away, the monitor finds what it stopped without a sign of life.
// That says nothing about the next start of it.
func TestWhatDiedWithTheEngineIsStartedOnceWhenThatIsBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		c := w.observed(1).Instances[0]
		began := w.engine.Starts(c.Name)
		w.engine.SetDown(true)
		w.manual.Kill(t, c.ID)
		w.say(1, c.ID, berth.Vital{Started: true, Dead: true, Cause: "no answer within 5s"})
		<-time.After(time.Minute)
		w.engine.SetDown(false)
		w.eventually(time.Minute, "it is well again", func() bool { return w.running(1) && w.tenant(1).Health == berth.HealthHealthy })
		<-time.After(2 * time.Minute)
		if n := w.engine.Starts(c.Name) - began; n != 1 {
			t.Errorf("started %d times, told as %q", n, w.messages(1))
		}
	})
}

// Whoever asks for the status in the middle of a restart must not find a failure.
func TestALookInTheMiddleOfARestartFindsNoDrift(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		looked := make(chan struct{})
		w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
			if !s.After && strings.HasPrefix(s.Op, "start container") {
				<-looked
			}
			return nil
		})
		r, err := w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1))
		w.must(err)
		w.eventually(time.Minute, "it is down", func() bool { return !w.running(1) })
		if _, err := w.loop.Look(ctx, orgID(1)); err != nil {
			t.Error(err)
		}
		if got := w.tenant(1); got.Status != berth.StatusRunning || got.Cause != "" {
			t.Errorf("found %s: %s", got.Status, got.Cause)
		}
		close(looked)
		w.completed(r, nil)
		if kinds := w.events(1); len(kinds) > 0 {
			t.Errorf("told as %v", kinds)
		}
	})
}

// Its address may be another tenant's as soon as its network is gone.
func TestWhatIsRemovedIsNotWatchedAnyMore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		var left atomic.Int32
		w.left = func() { left.Add(1) }
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		if len(w.loop.Fleet()) != 1 {
			t.Fatalf("the fleet is %+v", w.loop.Fleet())
		}
		w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
			if !s.Read && len(w.loop.Fleet()) > 0 {
				t.Errorf("at %q (after: %t) it is still watched", s.Op, s.After)
			}
			return nil
		})
		w.completed(w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesDelete))
		if left.Load() != 1 {
			t.Errorf("told %d times", left.Load())
		}
	})
}
