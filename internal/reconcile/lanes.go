package reconcile

import (
	"context"
	"sync"
	"time"
)

// lanes bound what all passes together ask of the engine. Each kind of work has
// a lane of its own, so that tenants that start can't make one wait that is to
// be stopped. How many tenants are under way is bounded by none of them: there
// is one pass at a time for each tenant, and what only waits holds no place.
type lanes struct {
	start *lane // applying a stack that runs
	end   *lane // stopping and removing
	look  *lane // observing, and looking whether an image is there
	pull  *lane // getting an image from its registry
}

func newLanes(width int) lanes {
	return lanes{
		start: newLane(width, 5*time.Second),
		end:   newLane(6*width, time.Second), // stopping is mostly waiting for a grace period
		look:  newLane(2*width, time.Second),
		pull:  newLane(width, 5*time.Second),
	}
}

// forget drops what is known of a tenant that is gone.
func (l lanes) forget(organizationID string) {
	for _, one := range []*lane{l.start, l.end, l.look, l.pull} {
		one.mu.Lock()
		delete(one.slow, organizationID)
		one.mu.Unlock()
	}
}

// urgency says who of those that wait for a place has it first. Nobody starves:
// each urgency gets its share, and twice that of the next.
type urgency int

const (
	urgent     urgency = iota // an order to a tenant that is well, or its repair
	ordered                   // any other order
	background                // looks that nobody waits for, and repeated attempts
	dragging                  // a tenant whose last operation in this lane took too long
	urgencies
)

// lane is a number of places, for operations of one kind at the engine.
//
// A place is for work. An operation that has it for longer than the lane's
// patience only waits by then: for a grace period, a registry, or an engine that
// hangs for this tenant alone. It goes on without the place. Until its tenant
// shows otherwise, it may have one of half of the places only.
type lane struct {
	width    int           // places for everyone
	spare    int           // more places, for what is urgent
	patience time.Duration // that an operation may keep its place

	mu      sync.Mutex
	busy    int // places that are held
	urgents int // of them, by what is urgent
	drags   int // of them, by tenants that drag
	waiting [urgencies][]*place
	turn    [urgencies]int  // the virtual time at which each is next
	now     int             // the virtual time
	slow    map[string]bool // organizations whose last operation took too long
}

// place is one in a lane, wanted or held.
type place struct {
	lane           *lane
	organizationID string
	urgency        urgency
	granted        chan struct{} // closed once it is held
	held           bool
	timer          *time.Timer // takes it back
}

func newLane(width int, patience time.Duration) *lane {
	return &lane{width: width, spare: max(width/4, 1), patience: patience, slow: make(map[string]bool)}
}

// acquire waits for a place. Whoever gets one leaves it.
func (l *lane) acquire(ctx context.Context, organizationID string, u urgency) (*place, error) {
	p := &place{lane: l, organizationID: organizationID, urgency: u, granted: make(chan struct{})}
	l.mu.Lock()
	if l.slow[organizationID] {
		p.urgency = dragging
	}
	if len(l.waiting[p.urgency]) == 0 {
		l.turn[p.urgency] = max(l.turn[p.urgency], l.now)
	}
	l.waiting[p.urgency] = append(l.waiting[p.urgency], p)
	l.grant()
	l.mu.Unlock()
	select {
	case <-p.granted:
		return p, nil
	case <-ctx.Done():
		p.leave()
		return nil, context.Cause(ctx)
	}
}

// grant gives places that are free to those whose turn it is. The lock is held.
func (l *lane) grant() {
	for {
		next := urgencies
		for u := range urgencies {
			if len(l.waiting[u]) > 0 && l.free(u) && (next == urgencies || l.turn[u] < l.turn[next]) {
				next = u
			}
		}
		if next == urgencies {
			return
		}
		l.now = l.turn[next]
		l.turn[next] += 1 << next
		p := l.waiting[next][0]
		l.waiting[next] = l.waiting[next][1:]
		p.held = true
		l.busy++
		switch p.urgency {
		case urgent:
			l.urgents++
		case dragging:
			l.drags++
		}
		p.timer = time.AfterFunc(l.patience, p.overdue)
		close(p.granted)
	}
}

func (l *lane) free(u urgency) bool {
	switch u {
	case urgent:
		return l.busy < l.width+l.spare
	case dragging:
		return l.shared() < l.width && l.drags < max(l.width/2, 1)
	default:
		return l.shared() < l.width
	}
}

// shared is how many of the places for everyone are held: what is urgent has the
// spare ones first, so that however much of it waits, the others get their share.
func (l *lane) shared() int { return l.busy - min(l.urgents, l.spare) }

// leave gives the place back, or stops waiting for it.
func (p *place) leave() {
	l := p.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.held:
		delete(l.slow, p.organizationID)
		p.release()
	case p.timer == nil: // never granted
		for i, other := range l.waiting[p.urgency] {
			if other == p {
				l.waiting[p.urgency] = append(l.waiting[p.urgency][:i:i], l.waiting[p.urgency][i+1:]...)
				break
			}
		}
	}
}

// working says that the operation gets on: it keeps its place for as long again.
func (p *place) working() {
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	if p.held {
		p.timer.Reset(p.lane.patience)
	}
}

// overdue takes the place from an operation that only waits.
func (p *place) overdue() {
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	if p.held {
		p.lane.slow[p.organizationID] = true
		p.release()
	}
}

// release is leave or overdue. The lock is held.
func (p *place) release() {
	p.held = false
	p.timer.Stop()
	p.lane.busy--
	switch p.urgency {
	case urgent:
		p.lane.urgents--
	case dragging:
		p.lane.drags--
	}
	p.lane.grant()
}
