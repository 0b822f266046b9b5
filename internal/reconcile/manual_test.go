package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// A stop that may take longer than any other operation of the engine has its
// time, and the operation around it too.
func TestAStopMayTakeAsLongAsTheBlueprintSays(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func(*world) (tenancy.Receipt, error){
		"stop": func(w *world) (tenancy.Receipt, error) { return w.service.Stop(ctx, w.actor, tenancy.Call{}, orgID(1)) },
		"restart": func(w *world) (tenancy.Receipt, error) {
			return w.service.Restart(ctx, w.actor, tenancy.Call{}, orgID(1))
		},
		"deploy": func(w *world) (tenancy.Receipt, error) { return w.deployTag(1, "2") },
		"deprovision": func(w *world) (tenancy.Receipt, error) {
			return w.service.Deprovision(ctx, w.actor, tenancy.Call{}, orgID(1), berth.VolumesKeep)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.apply([]byte(strings.Replace(single, "    ports", "    stop_grace_period: 5m\n    ports", 1)))
				w.provisionOf(1, "single")
				w.engine.SetFaults(func(ctx context.Context, s enginetest.Step) error {
					if s.After || !strings.HasPrefix(s.Op, "stop container") {
						return nil
					}
					select { // its program takes nearly all of its time
					case <-time.After(4*time.Minute + 50*time.Second):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				w.completed(order(w))
			})
		})
	}
}

func TestARepairPullsAnImageThatWasPruned(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.engine.DropImage(imageV1)
		w.engine.InRegistry(imageV1, imageV1, nil)
		w.manual.Remove(t, "container", berth.ContainerName(orgID(1)))
		w.eventually(time.Minute, "it runs again", func() bool {
			o := w.observed(1)
			return len(o.Instances) == 1 && o.Instances[0].State == berth.InstanceRunning && w.tenant(1).Health == berth.HealthHealthy
		})
	})
}

// What is changed by hand on a living instance is mended, whichever service it is of.
func TestManualChangesAreMended(t *testing.T) {
	t.Parallel()
	for _, change := range []string{"cut-off", "join", "unlimit", "pause"} {
		for _, service := range []string{"", "_worker_1"} {
			t.Run(change+service, func(t *testing.T) {
				inBubble(t, func(w *world) {
					w.run()
					w.apply([]byte(strings.Replace(single, "x-berth", "  worker:\n    image: app:1\n    user: \"1000:1000\"\nx-berth", 1)))
					w.provisionOf(1, "single")
					w.manual.TryChange(berth.ContainerName(orgID(1))+service, change)
					w.eventually(time.Minute, "it is as before", func() bool {
						for _, c := range w.observed(1).Instances {
							if len(c.Differs) > 0 || c.State != berth.InstanceRunning {
								return false
							}
						}
						return w.tenant(1).Health == berth.HealthHealthy
					})
				})
			})
		}
	}
}

func TestAVolumeThatARenamedContainerHoldsIsGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(singleData))
		w.provisionOf(1, "single")
		w.manual.Rename(t, berth.ContainerName(orgID(1)), "mine-now")
		w.eventually(time.Minute, "the cause names the holder", func() bool {
			got := w.tenant(1)
			return got.Health != berth.HealthHealthy && strings.Contains(got.Cause, "held by container mine-now")
		})
		if o := w.observed(1); len(o.Instances) != 0 {
			t.Errorf("beside the holder there is %+v", o.Instances)
		}
		w.manual.Rename(t, "mine-now", berth.ContainerName(orgID(1)))
		w.eventually(time.Minute, "it is well again", func() bool { return w.tenant(1).Health == berth.HealthHealthy })
	})
}

// What only an inspection shows, such as a limit, is found although nobody heard of
// the change: when the events are heard again, and within hours if they never are.
func TestAChangeThatNoEventToldOfIsFound(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]time.Duration{"for a while": time.Minute, "for ever": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.run()
				w.completed(w.provision(1, "app:1", true))
				end := time.Now().Add(deaf)
				w.engine.SetFaults(func(_ context.Context, s enginetest.Step) error {
					if s.Op == "watch" && time.Now().Before(end) {
						return berth.Errorf(berth.CodeEngineUnavailable, "the stream broke off")
					}
					return nil
				})
				w.engine.SetDown(true)
				w.engine.SetDown(false)
				<-time.After(30 * time.Second) // whatever looks because of that has looked
				w.manual.TryChange(berth.ContainerName(orgID(1)), "squeeze")
				w.eventually(3*time.Hour, "its limit is as it was", func() bool {
					o := w.engine.Truth(orgID(1))
					return len(o.Instances) == 1 && o.Instances[0].MemoryMB == w.tenant(1).Spec.Limits.MemoryMB
				})
			})
		})
	}
}
