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
	saw   time.Time     // when the pass last looked at the engine; zero if it did not
}

// queue runs passes: one at a time for each tenant, any number of tenants at
// once. What a pass costs the engine is bounded elsewhere (see lanes), so that
// tenants that wait for one resource do not block those that need another.
//
// Keys, not events, are queued: however often a key is added while its pass
// runs, one more pass follows. A pass that is due later never keeps one from
// being run earlier for another reason.
type queue struct {
	pass passFunc

	mu     sync.Mutex
	ctx    context.Context // of all passes; nil before open and after close
	items  map[string]*item
	active sync.WaitGroup

	backlog  []string // keys whose pass nobody waits for, until there is room
	awaiting int      // passes of these that have not looked yet
}

type item struct {
	running    bool
	awaitsLook bool               // its pass is of the backlog, and has not looked yet
	again      bool               // added during the pass, which may have looked before
	heard      time.Time          // when something was last heard of it during the pass
	interrupt  context.CancelFunc // ends what of the pass may be cut short
	timer      *time.Timer        // of the next pass, if one is due later
	due        time.Time          // when that is
	failures   int
	notBefore  time.Time // back-off, which only an order overrides, and news now and then
	spent      time.Time // when all overrides of back-off by news will have been earned back; each costs backoffMost
}

const (
	backoffBase = 250 * time.Millisecond
	backoffMost = 20 * time.Second

	// newsMost is how often in a row news may override back-off. One more may
	// after each backoffMost: what a pass does that fails is news itself.
	newsMost = 3

	// mostAwaiting is how many passes of the backlog there are that have not looked
	// yet. The lane of looks has room for far fewer: more would only hold memory, a
	// goroutine's and what they loaded. One that hangs leaves that lane in time.
	mostAwaiting = 512
)

// passFunc runs one pass. soft ends, before ctx does, when the key is preempted:
// it is for what may be cut short by a new order, such as waiting and pulling.
// Changes in the engine are carried through under ctx.
type passFunc func(ctx, soft context.Context, key string) verdict

func newQueue(pass passFunc) *queue {
	return &queue{pass: pass, items: make(map[string]*item)}
}

// open lets passes run under ctx. What was added before is not lost.
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
	q.ctx, q.backlog = nil, nil
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

// add runs a pass soon, and another one if one runs: what it is about may have
// come after that one looked. It interrupts nothing.
func (q *queue) add(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.item(key); it.running {
		it.again = true
	} else {
		q.news(key, it, 0)
	}
}

// addAfter runs a pass after a delay, because of news from the engine. If a
// pass runs that looks at the engine afterwards, that one has seen it.
func (q *queue) addAfter(key string, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.item(key); it.running {
		it.heard = time.Now()
	} else {
		q.news(key, it, delay)
	}
}

// addRateLimited runs a pass when back-off allows it, unless one runs or is due:
// nothing is new that the last one did not know.
func (q *queue) addRateLimited(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.item(key); !it.running && it.timer == nil {
		q.schedule(key, it, time.Until(it.notBefore))
	}
}

// addBacklog runs a pass of each key that has none under way or due, as there is
// room for them. It takes the place of the backlog before.
func (q *queue) addBacklog(keys []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.backlog = keys
	q.takeUp()
}

// takeUp starts as many passes of the backlog as there is room for. q.mu is held.
func (q *queue) takeUp() {
	for q.ctx != nil && q.ctx.Err() == nil && q.awaiting < mostAwaiting && len(q.backlog) > 0 {
		key := q.backlog[0]
		q.backlog = q.backlog[1:]
		switch it := q.item(key); {
		case it.running || it.timer != nil:
		case it.notBefore.After(time.Now()):
			q.schedule(key, it, time.Until(it.notBefore))
		default:
			it.awaitsLook = true
			q.awaiting++
			q.start(key, it)
		}
	}
}

// looked says that a pass has looked, and makes room for the next of the backlog.
func (q *queue) looked(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[key]; it != nil && it.awaitsLook {
		it.awaitsLook = false
		q.awaiting--
		q.takeUp()
	}
}

// news brings the next pass forward, because something happened to the tenant. It
// overrides back-off too, as often as a token bucket of newsMost allows, which
// regains one each backoffMost.
func (q *queue) news(key string, it *item, delay time.Duration) {
	now := time.Now()
	if until := it.notBefore; until.After(now.Add(delay)) {
		if spent := later(it.spent, now); spent.Before(now.Add(newsMost * backoffMost)) {
			it.spent, it.notBefore = spent.Add(backoffMost), time.Time{}
		}
	}
	q.schedule(key, it, max(delay, it.notBefore.Sub(now)))
}

// newsSince reports whether the pass may not have seen what was heard during it.
func (it *item) newsSince(saw time.Time) bool { return !it.heard.IsZero() && !it.heard.Before(saw) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// knows reports whether a pass runs, or is due.
func (q *queue) knows(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items[key] != nil
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
	it.running, it.again, it.heard, it.interrupt = true, false, time.Time{}, cancel
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
	if it.awaitsLook { // it failed to; the next scan's backlog may hold it once more
		it.awaitsLook = false
		q.awaiting--
		defer q.takeUp() // after it is settled when this one is due again
	}
	if q.ctx == nil || q.ctx.Err() != nil {
		return
	}
	if it.again {
		q.start(key, it)
		return
	}
	switch v.then {
	case plan.Done:
		if it.newsSince(v.saw) {
			q.schedule(key, it, hintDelay)
			return
		}
		delete(q.items, key)
		return
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
	if it.newsSince(v.saw) && it.notBefore.Before(time.Now()) { // what failed is news itself
		q.news(key, it, hintDelay)
	}
}

// schedule runs the next pass after a delay, unless one is due before.
func (q *queue) schedule(key string, it *item, delay time.Duration) {
	if q.ctx == nil {
		return
	}
	delay = max(delay, 0)
	due := time.Now().Add(delay)
	if it.timer != nil {
		if !due.Before(it.due) {
			return
		}
		it.timer.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if it.timer == timer && q.items[key] == it {
			it.timer = nil
			q.start(key, it)
		}
	})
	it.timer, it.due = timer, due
}

// backoff doubles from a quarter of a second to twenty, give or take a fifth,
// so that tenants that failed together do not come back together.
func backoff(failures int) time.Duration {
	d := backoffBase << min(failures-1, 10)
	d = min(d, backoffMost)
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}
