package plan_test

import (
	"slices"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

// A volume that two services wrote to and that only the first writes to from now
// on: what is left of the second goes before the first is made or started, for
// nothing else may write to the volume then. What runs keeps it.
func TestWhatWritesToTheVolumeOfAServiceThatIsToStartGoesFirst(t *testing.T) {
	const data = "data"
	for name, is := range map[string]struct {
		state berth.InstanceState // of the service that keeps its version and the volume
		goes  bool                // the former version of the other one
	}{
		"it runs": {berth.InstanceRunning, false}, "it is paused": {berth.InstancePaused, false},
		"it ended": {berth.InstanceExited, true}, "it never ran": {berth.InstanceCreated, true}, "it is not there": {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := base(true)
			s.Stack.Volumes = []berth.Volume{{Name: data, Key: data}}
			s.Stack.Services[0].Mounts = []berth.Mount{{Volume: data, Target: "/data"}}
			s.Stack.Services = append(s.Stack.Services, berth.Service{Name: "worker", Image: "sha256:1", Replicas: 1})
			s.Deployment = deployment(berth.DeployUpdate)
			s.Holding, s.Drained = true, true
			app := s.Seen.Instances[0]
			app.Hash, app.Writes, app.State = s.Stack.Services[0].Hash(), []string{data}, is.state
			former := berth.Instance{ID: "w", Name: "w", Service: "worker", Replica: 1, Hash: "former", State: berth.InstanceRunning, Writes: []string{data}}
			s.Seen.Instances = []berth.Instance{app, former}
			if is.state == "" {
				s.Seen.Instances = s.Seen.Instances[1:]
			}
			next := plan.Decide(s)
			i := slices.IndexFunc(next.Steps, func(s plan.Step) bool { return s.Kind == plan.StepApply })
			if i < 0 {
				t.Fatalf("nothing is applied: %+v", next.Steps)
			}
			if goes := !next.Steps[i].Stack.MayStand(former); goes != is.goes {
				t.Errorf("what wrote to the volume goes: %t", goes)
			}
		})
	}
}
