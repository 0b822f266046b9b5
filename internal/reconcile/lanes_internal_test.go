package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// However much waits that is urgent.
func TestWhatIsUrgentStarvesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // ends who still waits
		l := newLane(4, time.Hour)
		var held []*place
		defer func() {
			for _, p := range held {
				p.leave()
			}
		}()
		acquire := func(org string, u urgency) chan *place {
			got := make(chan *place, 1)
			go func() {
				if p, err := l.acquire(ctx, org, u); err == nil {
					got <- p
				}
			}()
			synctest.Wait()
			return got
		}
		for range 5 {
			held = append(held, <-acquire("u", urgent))
		}
		other := acquire("o", ordered)
		for range 1000 { // there is always another urgent one
			next := acquire("u", urgent)
			held[0].leave()
			held = held[1:]
			synctest.Wait()
			select {
			case p := <-next:
				held = append(held, p)
			case p := <-other:
				held = append(held, p)
				return
			}
		}
		t.Error("1000 urgent ones went before one that is ordered")
	})
}
