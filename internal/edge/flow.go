package edge

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/unite-hub/berth"
)

// flow is one request on its way through a listener: which upstream has it, and
// what came of it. Only the request's own goroutine uses it.
type flow struct {
	http.ResponseWriter

	listener *listener
	began    time.Time
	held     time.Duration // that it was kept waiting in all
	host     string        // the upstream that has it; "" while none does
	switched bool          // to another protocol: it may last for ever
	status   int           // of the answer; 0 while there is none
	took     time.Duration // from began to the end of the answer's headers
}

// Unwrap is for http.ResponseController.
func (f *flow) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// WriteHeader writes the head of an answer, or of one that only informs.
func (f *flow) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		dropSetCookies(f.Header(), "")
	}
	f.ResponseWriter.WriteHeader(status)
}

type flowKey struct{} // of a request's context: its *flow

// counters are read while requests write them.
type counters struct {
	requests, errors, nanoseconds, held atomic.Int64
}

func (l *listener) traffic() berth.Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	return berth.Traffic{
		Requests: l.count.requests.Load(), Errors: l.count.errors.Load(),
		Time: time.Duration(l.count.nanoseconds.Load()), UnderWay: int64(l.requests), Held: l.count.held.Load(),
	}
}

// answered notes the head of the answer.
func (f *flow) answered(status int) {
	if f.status != 0 {
		return
	}
	f.status, f.took = status, time.Since(f.began)
	if status == http.StatusSwitchingProtocols && f.host != "" {
		f.listener.mu.Lock()
		defer f.listener.mu.Unlock()
		f.switched = true
		f.listener.switched[f.host]++
		f.listener.announceMove()
	}
}

// end gives the upstream back and counts the request. One whose client went
// before there was an answer is no error of the tenant's.
func (f *flow) end(r *http.Request) {
	f.release()
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
	l.announceMove()
}

func drop(counts map[string]int, host string) {
	if counts[host]--; counts[host] == 0 {
		delete(counts, host)
	}
}

// announceMove tells who waits that less may be left elsewhere. l.mu is held.
func (l *listener) announceMove() {
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// awaitMoved waits until every request is with an upstream of the route in
// force, or ctx ends.
func (l *listener) awaitMoved(ctx context.Context) (left int) {
	for {
		l.mu.Lock()
		left = l.elsewhere()
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
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
