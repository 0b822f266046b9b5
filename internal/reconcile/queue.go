package reconcile

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/unite-hub/berth/internal/plan"
)

// verdict is how a pass over one tenant ended.
type verdict struct {
	then  plan.Then
	after time.Duration
	by    time.Duration // with Retry: however long back-off would be; 0 for no bound
}

// queue runs passes: one at a time for each tenant, any number of tenants at
// once. What a pass costs the engine is bounded elsewhere (see lanes), so that
// tenants that wait for one resource do not block those that need another.
//
// Keys, not events, are queued: however often a tenant is rung while its pass
// runs, one more pass follows.
type queue struct {
	pass passFunc

	mu     sync.Mutex
	ctx    context.Context // of all passes; nil before open and after close
	items  map[string]*item
	active sync.WaitGroup
}

type item struct {
	running   bool
	again     bool               // rung during the pass
	interrupt context.CancelFunc // ends what of the pass may be cut short
	timer     *time.Timer        // of the next pass, if one is due later
	failures  int
	notBefore time.Time // back-off, which only an order overrides
}

const (
	backoffBase = 250 * time.Millisecond
	backoffMost = 20 * time.Second
)

// passFunc runs one pass. soft ends, before ctx does, when the tenant is rung:
// it is for what may be cut short by a new order, such as waiting and pulling.
// Changes in the engine are carried through under ctx.
type passFunc func(ctx, soft context.Context, key string) verdict

func newQueue(pass passFunc) *queue {
	return &queue{pass: pass, items: make(map[string]*item)}
}

// open lets passes run under ctx. What was rung before is not lost.
func (q *queue) open(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ctx = ctx
	for key, it := range q.items {
		q.start(key, it)
	}
}

// close waits for the passes that run. Their context must have ended.
func (q *queue) close() {
	q.mu.Lock()
	q.ctx = nil
	for _, it := range q.items {
		if it.timer != nil {
			it.timer.Stop()
		}
	}
	q.mu.Unlock()
	q.active.Wait()
}

// preempt runs a pass now. If one runs, what of it may be cut short is, and
// another follows. Back-off is forgotten: an order may have mended the cause.
func (q *queue) preempt(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.item(key)
	it.failures, it.notBefore = 0, time.Time{}
	if it.running {
		it.again = true
		it.interrupt()
		return
	}
	q.start(key, it)
}

// addAfter runs a pass after a delay, unless one runs or is due by then.
func (q *queue) addAfter(key string, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.item(key)
	if it.running || it.timer != nil {
		return
	}
	q.schedule(key, it, max(delay, time.Until(it.notBefore)))
}

// add runs a pass soon, and another one if one runs: what it is about may have
// come after that one looked. It interrupts nothing.
func (q *queue) add(key string) {
	q.mu.Lock()
	if it := q.item(key); it.running {
		it.again = true
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	q.addAfter(key, 0)
}

func (q *queue) item(key string) *item {
	it := q.items[key]
	if it == nil {
		it = &item{}
		q.items[key] = it
	}
	return it
}

func (q *queue) start(key string, it *item) {
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
	if q.ctx == nil || it.running {
		return
	}
	ctx := q.ctx
	soft, cancel := context.WithCancel(ctx)
	it.running, it.again, it.interrupt = true, false, cancel
	q.active.Go(func() {
		v := q.pass(ctx, soft, key)
		cancel()
		q.finish(key, v)
	})
}

func (q *queue) finish(key string, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[key]
	it.running = false
	if q.ctx == nil || q.ctx.Err() != nil {
		return
	}
	if it.again {
		q.start(key, it)
		return
	}
	switch v.then {
	case plan.Done:
		delete(q.items, key)
	case plan.Wait:
		it.failures = 0
		q.schedule(key, it, v.after)
	default:
		it.failures++
		delay := max(backoff(it.failures), v.after)
		if v.by > 0 {
			delay = min(delay, v.by)
		}
		it.notBefore = time.Now().Add(delay)
		q.schedule(key, it, delay)
	}
}

func (q *queue) schedule(key string, it *item, delay time.Duration) {
	if q.ctx == nil {
		return
	}
	it.timer = time.AfterFunc(max(delay, 0), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		it.timer = nil
		if q.items[key] == it {
			q.start(key, it)
		}
	})
}

// backoff doubles from a quarter of a second to twenty, give or take a fifth,
// so that tenants that failed together do not come back together.
func backoff(failures int) time.Duration {
	d := backoffBase << min(failures-1, 10)
	d = min(d, backoffMost)
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}

// lanes bound what all passes together ask of the engine. Each kind of work
// has its own lane, first come, first served: two hundred tenants that start
// can't make one wait that is to be stopped.
type lanes struct {
	start chan struct{} // applying a stack that runs
	end   chan struct{} // stopping and removing
	look  chan struct{} // observing and resolving
}

func newLanes(width int) lanes {
	return lanes{make(chan struct{}, width), make(chan struct{}, width), make(chan struct{}, 2*width)}
}

// acquire waits for a place in lane. The returned function leaves it.
func acquire(ctx context.Context, lane chan struct{}) (leave func(), err error) {
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
