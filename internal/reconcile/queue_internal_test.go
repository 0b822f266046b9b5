package reconcile

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/unite-hub/berth/internal/plan"
)

// After a start every tenant is to be looked at, and the lane of looks has few
// places: the passes that only wait for one must not all be there at once.
func TestLooksThatNobodyWaitsForAreTakenUpAsThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tenants = 3*mostAwaiting + 10
		var mu sync.Mutex
		began := map[string]int{}
		look, end := make(chan bool), make(chan bool)
		var q *queue
		q = newQueue(func(_, _ context.Context, key string) verdict {
			mu.Lock()
			began[key]++
			mu.Unlock()
			<-look
			q.looked(key)
			<-end
			return verdict{then: plan.Done}
		})
		keys := make([]string, tenants)
		for i := range keys {
			keys[i] = strconv.Itoa(i)
		}
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(began)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer q.close()
		defer cancel()
		q.open(ctx)
		q.addBacklog(keys)
		if n := count(); n != mostAwaiting {
			t.Fatalf("%d passes at once", n)
		}
		q.preempt(keys[tenants-1]) // somebody waits for this one
		if n := count(); n != mostAwaiting+1 || began[keys[tenants-1]] != 1 {
			t.Errorf("an order waits for looks: %d passes", n)
		}
		for range 5 { // each that has looked makes room, though none has ended
			look <- true
		}
		if n := count(); n < mostAwaiting+5 || n > mostAwaiting+6 { // the order may have been among the five
			t.Errorf("%d passes after five have looked", n)
		}
		close(look)
		if n := count(); n != tenants {
			t.Errorf("%d passes of %d", n, tenants)
		}
		close(end)
		synctest.Wait()
		for _, key := range keys {
			if began[key] != 1 {
				t.Errorf("%d passes of %s", began[key], key)
			}
		}
	})
}

// The next scan finds what has not looked yet unlooked once more. What of that fails
// to look makes room for those behind it, and is itself due after its back-off.
func TestALookThatFailsMakesRoomForAnotherTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		began := map[string]int{}
		fail := make(chan struct{})
		q := newQueue(func(ctx, _ context.Context, key string) verdict {
			mu.Lock()
			began[key]++
			mu.Unlock()
			if key == "0" {
				<-fail
				return verdict{then: plan.Retry}
			}
			<-ctx.Done()
			return verdict{then: plan.Done}
		})
		keys := make([]string, mostAwaiting+1)
		for i := range keys {
			keys[i] = strconv.Itoa(i)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer q.close()
		defer cancel()
		q.open(ctx)
		q.addBacklog(slices.Clone(keys))
		q.addBacklog(slices.Clone(keys))
		synctest.Wait()
		close(fail)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if last := keys[mostAwaiting]; began[last] != 1 || began["0"] != 1 {
			t.Errorf("%d passes of the one that waits for room, %d of the one that failed to look", began[last], began["0"])
		}
	})
}
