package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
)

// A pull that gets on for a while and fails, again and again: ten minutes of that
// count for nothing, all else does.
func TestPatienceEndsThoughEachAttemptGetsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pass{Loop: New(Config{}, Parts{}), soft: context.Background()}
		p.Tenant.OrganizationID = "o"
		p.Deployment = &berth.Deployment{ID: "d", OrganizationID: "o"}
		for n := range 100 { // each: begins, gets on for ten seconds, stalls for half a minute, fails, backs off
			place, _ := p.lanes.look.acquire(p.soft, "o", urgent)
			pu := &pull{pass: p, place: place, end: func() {}, watch: time.NewTimer(time.Hour)}
			pu.progress(berth.Progress{Step: "pull"})
			<-time.After(10 * time.Second)
			pu.progress(berth.Progress{Step: "pull", Done: int64(n+1) << 20})
			<-time.After(30 * time.Second)
			pu.place.leave()
			pu.watch.Stop()
			<-time.After(20 * time.Second)
		}
		if w := p.deployments.recall(p.Deployment).waited(0); w < time.Hour || w > 5410*time.Second {
			t.Errorf("after an hour and more of stalls and pauses it waited %v", w)
		}
	})
}
