package reconcile

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
)

func TestAnOOMIsNotHeldAgainstTheNextCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := histories{byOrg: map[string]*tenantHistory{}}
		never := func(berth.Instance) bool { return false }
		started := time.Now()
		c := berth.Instance{ID: "c", Service: "app", State: berth.InstanceRunning, StartedAt: started}
		seen := func() berth.Observed { return berth.Observed{OrganizationID: "o", Instances: []berth.Instance{c}} }
		s.recall(berth.Tenant{OrganizationID: "o"}, false, seen())
		s.ofInstances("o", seen(), never)
		// It is killed for want of memory, and the look finds it ended.
		s.hintEnd(berth.Hint{OrganizationID: "o", InstanceID: "c", OOM: true})
		s.hintEnd(berth.Hint{OrganizationID: "o", InstanceID: "c", Ended: true, ExitCode: 137})
		c.State, c.Restarts, c.ExitCode, c.OOMKilled = berth.InstanceRestarting, 1, 137, true
		t.Logf("first: %s", s.ofInstances("o", seen(), never)["c"].Last.How())
		s.told("o", c)
		<-time.After(time.Hour)
		// An hour later it ends with 3, and runs again when it is looked at.
		s.hintEnd(berth.Hint{OrganizationID: "o", InstanceID: "c", Ended: true, ExitCode: 3})
		c = berth.Instance{ID: "c", Service: "app", State: berth.InstanceRunning, StartedAt: time.Now(), Restarts: 2}
		l := s.ofInstances("o", seen(), never)["c"]
		t.Logf("second: %s", l.Last.How())
		if l.Last.OOM {
			t.Error("a crash with exit code 3 is told as a kill for want of memory")
		}
	})
}
