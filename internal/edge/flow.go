package edge

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

// flow is one request on its way through a listener: which upstream has it, and
// what came of it. Only the request's own goroutine uses it, but for WriteHeader
// before the answer, and begun.
type flow struct {
	http.ResponseWriter

	listener  *listener
	conn      *conn
	began     time.Time
	way       way
	overTLS   bool          // as a trusted proxy says
	client    *source       // of a request that a trusted proxy brought
	account   *budget       // what its memory is charged to
	memory    int64         // that it holds
	held      time.Duration // that it was kept waiting in all
	host      string        // the upstream that has it; "" while none does
	upstream  *upstream     // the connection it went out on; nil: none
	switched  bool          // to another protocol: it may last for ever
	upgraded  *budget       // what it is counted in as such; nil: it is not
	informed  int           // answers that only inform
	status    int           // of the answer; 0 while there is none
	took      time.Duration // from began to the end of the answer's headers
	begun     atomic.Bool   // the answer
	malformed atomic.Bool   // the request's body: nobody knows where it ends
	paced     bool          // the request has a body that must come at some rate
}

// enter counts a request in, and says why it is not taken: its client, or its
// tenant, has too much under way. f is given back by end all the same.
func (f *flow) enter(r *http.Request) (refused *problem) {
	l := f.listener
	f.account = f.conn.account()
	f.way = l.edge.opts.way(r, f.conn.peer())
	proto := r.Header["X-Forwarded-Proto"]
	f.overTLS = f.way.trusted && len(proto) == 1 && strings.EqualFold(proto[0], "https")
	if f.way.trusted && !l.edge.opts.trusts(f.way.client) {
		l.mu.Lock()
		s := l.sourceOf(f.way.client)
		if !s.requests.take(1) {
			l.leave(s)
			l.mu.Unlock()
			return clientBusy()
		}
		f.client, f.account = s, &s.memory
		l.mu.Unlock()
	}
	need := int64(requestMemory)
	if r.ContentLength != 0 {
		need += copyMemory
	}
	if !f.hold(need) {
		return tenantBusy()
	}
	return nil
}

// upgrade counts a request whose connection speaks another protocol from here on.
func (f *flow) upgrade() error {
	in := &f.listener.upgraded
	switch {
	case f.client != nil:
		in = &f.client.upgraded
	case f.conn.source != nil:
		in = &f.conn.source.upgraded
	}
	switch {
	case in.take(1):
		f.upgraded = in
		return nil
	case f.listener.upgraded.left() > 0:
		return errClient
	}
	return errUpgraded
}

// hold charges memory to the request until it ends.
func (f *flow) hold(n int64) bool {
	if !f.account.take(n) {
		return false
	}
	f.memory += n
	return true
}

// Unwrap is for http.ResponseController.
func (f *flow) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// WriteHeader writes the head of an answer, or of one that only informs: those
// come from the goroutine that reads the upstream, before the answer.
func (f *flow) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		f.ResponseWriter.WriteHeader(status)
		return
	}
	if f.informed++; f.informed > f.listener.edge.opts.MaxInforming {
		f.upstream.fail(errInforming)
		return
	}
	f.dropReaching(f.Header(), "")
	f.upstream.paused()
	f.ResponseWriter.WriteHeader(status)
}

// headDone says that an upstream has answered, or will not. It returns why the
// connection to it was cut off, if it was.
func (f *flow) headDone() error {
	if f.upstream == nil {
		return nil
	}
	held, cause := f.upstream.headDone()
	f.memory += held
	return cause
}

// flowOf returns the flow of a request, or of one that was made from it. Only the
// goroutine of the request may ask.
func flowOf(ctx context.Context) *flow {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil
	}
	return c.flow
}

// counters are read while requests write them.
type counters struct {
	requests, errors, nanoseconds, held atomic.Int64
}

func (l *listener) traffic() berth.Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	return berth.Traffic{
		Requests: l.count.requests.Load(), Errors: l.count.errors.Load(),
		Time: time.Duration(l.count.nanoseconds.Load()), UnderWay: int64(l.underWay), Held: l.count.held.Load(),
	}
}

// answered notes the head of the answer.
func (f *flow) answered(status int) {
	if f.status != 0 {
		return
	}
	f.status, f.took = status, time.Since(f.began)
	if !f.begun.Swap(true) && f.paced { // from here on the body may come when it likes
		_ = f.conn.SetReadDeadline(time.Time{})
	}
	if status == http.StatusSwitchingProtocols && f.host != "" {
		f.listener.mu.Lock()
		defer f.listener.mu.Unlock()
		f.switched = true
		f.listener.switched[f.host]++
		f.listener.announceFlowEnd()
	}
}

// end gives the upstream back and counts the request. One whose client went
// before there was an answer is no error of the tenant's.
func (f *flow) end(r *http.Request) {
	f.release()
	f.account.give(f.memory)
	f.upgraded.give(1)
	if f.client != nil {
		f.client.requests.give(1)
		f.listener.mu.Lock()
		f.listener.leave(f.client)
		f.listener.mu.Unlock()
	}
	if f.status == 0 {
		f.took = time.Since(f.began)
	}
	c := &f.listener.count
	c.requests.Add(1)
	c.nanoseconds.Add(int64(f.took))
	if f.status >= http.StatusInternalServerError || f.status == 0 && r.Context().Err() == nil {
		c.errors.Add(1)
	}
}

// take counts the request to an upstream of t. It says no if t is not in force
// any more: whoever drains an upstream then sees every request that has it.
func (f *flow) take(t *target, host string) bool {
	l := f.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target() != t {
		return false
	}
	f.host = host
	l.flows[host]++
	return true
}

func (f *flow) release() {
	if f.host == "" {
		return
	}
	l := f.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	drop(l.flows, f.host)
	if f.switched {
		drop(l.switched, f.host)
	}
	f.host = ""
	l.announceFlowEnd()
}

func drop(counts map[string]int, host string) {
	if counts[host]--; counts[host] == 0 {
		delete(counts, host)
	}
}

// announceFlowEnd tells who waits that less may be left elsewhere. l.mu is held.
func (l *listener) announceFlowEnd() {
	if l.flowEnded != nil {
		close(l.flowEnded)
		l.flowEnded = nil
	}
}

// awaitFlowEnds waits until every request is with an upstream of the route in
// force, or ctx ends.
func (l *listener) awaitFlowEnds(ctx context.Context) (left int) {
	for {
		l.mu.Lock()
		left = l.elsewhere()
		if l.flowEnded == nil {
			l.flowEnded = make(chan struct{})
		}
		moved := l.flowEnded
		l.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return left
		}
	}
}

// elsewhere counts the requests with upstreams that the route in force does
// not lead to. While requests are held, upgraded connections don't count: they
// may last for ever, and everybody would wait for them. l.mu is held.
func (l *listener) elsewhere() (n int) {
	t := l.target()
	holds := t != nil && t.route.State == berth.RouteHolding
	for host, flows := range l.flows {
		if t == nil || !t.leadsTo(host) {
			n += flows
			if holds {
				n -= l.switched[host]
			}
		}
	}
	return n
}

// awaitRoute returns the target of a request: it waits while the route holds
// requests, up to the deadline. late means that it holds still.
func (l *listener) awaitRoute(ctx context.Context, f *flow) (t *target, late bool) {
	var deadline <-chan time.Time
	for {
		t = l.target()
		if t == nil || t.route.State != berth.RouteHolding {
			return t, false
		}
		if deadline == nil {
			began := time.Now()
			l.count.held.Add(1)
			defer func() { l.count.held.Add(-1); f.held += time.Since(began) }()
			timer := time.NewTimer(l.edge.opts.HoldDeadline - f.held)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-t.replaced:
		case <-deadline:
			return t, true
		case <-l.edge.ending:
			return t, true
		case <-ctx.Done():
			return t, true
		}
	}
}
