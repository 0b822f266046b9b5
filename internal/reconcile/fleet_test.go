package reconcile_test

import (
	"context"
	"testing"
	"time"

	"github.com/unite-hub/berth/internal/tenancy"
)

func TestTheFleetIsTheSameListUntilSomethingChanges(t *testing.T) {
	inBubble(t, func(w *world) {
		w.run()
		defer w.stop()
		for n := range 3 {
			w.completed(w.provision(n, "app:1", true))
		}
		<-time.After(time.Minute) // an order is over before its pass is
		before := w.loop.Fleet()
		w.loop.Recheck(orgID(1)) // a look that finds what was there
		<-time.After(time.Minute)
		again := w.loop.Fleet()
		if len(before) != 3 || len(again) != 3 || &before[0] != &again[0] {
			t.Errorf("%d members, then %d, of another list", len(before), len(again))
		}
		w.completed(w.service.Stop(context.Background(), w.actor, tenancy.Call{}, orgID(1)))
		<-time.After(time.Minute)
		if after := w.loop.Fleet(); len(after) != 2 || len(before) != 3 || before[1].OrganizationID != orgID(1) {
			t.Errorf("after a stop: %+v; the list of before is %+v", after, before)
		}
	})
}
