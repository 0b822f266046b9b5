package health

import (
	"container/heap"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	// DefaultInterval is that of a check that names none.
	DefaultInterval = 15 * time.Second

	beat        = time.Second // between looks at the fleet, and between writes
	mostPending = 20_000      // probes that wait to be written; the oldest are dropped
	mostRefused = 60          // writes in a row, until what the store does not take is dropped

	longestWrite = 5 * time.Second
)

// Asker asks one instance once. Prober is one.
type Asker interface {
	Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe
}

// MonitorConfig is what a Monitor works with. Its functions are called from
// the monitor's own goroutine and must not block.
type MonitorConfig struct {
	Fleet  func() []*berth.Member // a list that is not changed: the same one means the same members
	Asker  Asker
	Record func(context.Context, []berth.Probe) (written int, err error) // once a second at most; how many stand, from the first on

	Reading func(organizationID string) (berth.Reading, bool) // optional
	Changed func(organizationID string)                       // optional; an instance's first verdict, and when it became started, ready, unready or dead
	Log     *slog.Logger

	// InFlight bounds the probes under way. Instances that did not answer in
	// time share one half of them, so that the others always find room. 512.
	InFlight int
}

// Monitor probes the fleet. One goroutine keeps the plan; each probe has one of
// its own while it lasts. An instance has at most one probe under way.
type Monitor struct {
	MonitorConfig
	poked chan struct{}

	// Only Run's goroutine changes what it watches, and holds mu while it does.
	mu      sync.RWMutex
	watched map[string]*watch // by instance id

	plan    plan    // of Run's goroutine only, like all below
	lanes   [2]lane // of those that answer, and of those that did not in time
	results chan result
	fleet   []*berth.Member // as it was looked at last
	round   int             // of looks at the fleet
	epoch   time.Time
	pending []berth.Probe
	writing []berth.Probe
	written chan wrote // of writing; nil while nothing is being written
	refused int        // writes in a row
	work    sync.WaitGroup
}

// lane is a queue of instances whose time has come.
type lane struct {
	waiting []*watch
	running int
}

type result struct {
	of    *watch
	lane  uint8
	probe berth.Probe
}

// NewMonitor returns a monitor for Run.
func NewMonitor(c MonitorConfig) *Monitor {
	if c.InFlight < 2 {
		c.InFlight = 512
	}
	return &Monitor{MonitorConfig: c, poked: make(chan struct{}, 1)}
}

// Poke makes the monitor look at the fleet now. It never blocks.
func (m *Monitor) Poke() {
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// Vital returns the verdict on one start of an instance; ok is false before
// its first probe, and when the instance is gone.
func (m *Monitor) Vital(instanceID string, startedAt time.Time) (v berth.Vital, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	w := m.watched[instanceID]
	if w == nil || !w.member.StartedAt.Equal(startedAt) {
		return berth.Vital{}, false
	}
	return w.series.Vital()
}

// Run probes until ctx ends, writes what was learnt, and returns nil. It must
// not run twice at once.
func (m *Monitor) Run(ctx context.Context) error {
	m.mu.Lock()
	m.watched = map[string]*watch{}
	m.mu.Unlock()
	m.plan, m.lanes, m.fleet = nil, [2]lane{}, nil
	m.results = make(chan result, m.InFlight) // one slot each: no probe waits for Run
	m.epoch = time.Now()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	defer m.finish(ctx)

	m.refresh()
	for {
		m.launch(ctx)
		if len(m.plan) > 0 {
			next.Reset(m.plan[0].due - time.Since(m.epoch))
		} else {
			next.Stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.poked:
			m.refresh()
		case <-tick.C:
			m.refresh()
			m.flush(ctx)
		case w := <-m.written:
			m.took(w)
		case r := <-m.results:
			m.take(ctx, r)
		case <-next.C:
		}
	}
}

// finish waits for the probes under way, which ctx has cut short, and writes
// what is left.
func (m *Monitor) finish(ctx context.Context) {
	m.work.Wait()
	if m.written != nil {
		m.took(<-m.written)
	}
	if len(m.pending) == 0 {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestWrite)
	defer cancel()
	if _, err := m.Record(last, m.pending); err != nil {
		m.Log.Warn("the last probes were not written", "error", err)
	}
	m.pending, m.written = nil, nil
}

// refresh brings what is watched in line with the fleet. Most of the time it is
// the same list as the last time, and there is nothing to do.
func (m *Monitor) refresh() {
	fleet := m.Fleet()
	if len(fleet) > 0 && len(fleet) == len(m.fleet) && &fleet[0] == &m.fleet[0] {
		return
	}
	m.fleet = fleet
	m.round++
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, member := range fleet {
		if !member.Main {
			continue
		}
		id := member.InstanceID
		w := m.watched[id]
		if w != nil && w.sameStart(member) {
			w.update(member, m.round)
			continue
		}
		if w != nil {
			m.leave(w)
		}
		w = newWatch(member)
		w.round = m.round
		m.watched[id] = w
		m.schedule(w)
	}
	for id, w := range m.watched {
		if w.round != m.round {
			m.leave(w)
			delete(m.watched, id)
		}
	}
}

// leave forgets an instance and ends its probe. m.mu is held.
func (m *Monitor) leave(w *watch) {
	w.gone = true
	if w.cancel != nil {
		w.cancel()
	}
	if w.index >= 0 {
		heap.Remove(&m.plan, w.index)
	}
}

func (m *Monitor) schedule(w *watch) {
	w.due = w.next(time.Since(m.epoch))
	heap.Push(&m.plan, w)
}

// launch begins the probes whose time has come, as far as the bounds allow.
func (m *Monitor) launch(ctx context.Context) {
	now := time.Since(m.epoch)
	for len(m.plan) > 0 && m.plan[0].due <= now {
		w := heap.Pop(&m.plan).(*watch)
		switch {
		case !w.askable():
			m.schedule(w)
		case w.member.Check.Kind == berth.ProbeEngine: // nobody has to be waited for
			if p, ok := ask(ctx, m.Asker, w.member.Instance(), *w.member.Check); ok {
				m.judge(w, p)
			}
			m.schedule(w)
		default:
			l := &m.lanes[w.lane]
			l.waiting = append(l.waiting, w)
		}
	}
	for i := range uint8(len(m.lanes)) {
		l := &m.lanes[i]
		for len(l.waiting) > 0 && m.hasCapacity(i) {
			w := l.waiting[0]
			l.waiting = l.waiting[1:]
			if w.gone {
				continue
			}
			l.running++
			m.begin(ctx, w, i)
		}
	}
}

func (m *Monitor) hasCapacity(lane uint8) bool {
	return m.lanes[0].running+m.lanes[1].running < m.InFlight && (lane == 0 || m.lanes[1].running < m.InFlight/2)
}

func (m *Monitor) begin(ctx context.Context, w *watch, lane uint8) {
	own, cancel := context.WithCancel(ctx)
	w.cancel = cancel
	member := w.member
	m.work.Go(func() {
		defer cancel()
		p, _ := ask(own, m.Asker, member.Instance(), *member.Check) // it has an address: see askable
		m.results <- result{of: w, lane: lane, probe: p}
	})
}

// take judges an answer. What was cut short, or belongs to an instance that is
// gone or being replaced by now, says nothing.
func (m *Monitor) take(ctx context.Context, r result) {
	m.lanes[r.lane].running--
	w := r.of
	if w.gone || ctx.Err() != nil {
		return
	}
	w.cancel = nil
	w.lane = 0
	if r.probe.Status == berth.ProbeTimeout {
		w.lane = 1
	}
	if w.member.Steady {
		m.judge(w, r.probe)
	}
	m.schedule(w)
}

func (m *Monitor) judge(w *watch, p berth.Probe) {
	p.OrganizationID = w.member.OrganizationID
	if m.Reading != nil {
		if r, ok := m.Reading(p.OrganizationID); ok {
			p = p.With(r)
		}
	}
	before, known := w.series.Vital()
	m.mu.Lock()
	v := w.series.Next(p, time.Now().Add(-p.ResponseTime))
	m.mu.Unlock()
	if m.Changed != nil && (!known || v.Started != before.Started || v.Ready != before.Ready || v.Dead != before.Dead) {
		m.Changed(p.OrganizationID)
	}
	if len(m.pending) >= mostPending {
		m.pending = m.pending[1:]
	}
	m.pending = append(m.pending, p)
}

// flush writes what came since the last write, unless that is still under way.
func (m *Monitor) flush(ctx context.Context) {
	if m.written != nil || len(m.pending) == 0 {
		return
	}
	batch, done := m.pending, make(chan wrote, 1)
	m.pending, m.writing, m.written = make([]berth.Probe, 0, len(batch)), batch, done
	m.work.Go(func() {
		// Begun is begun: the end of ctx does not lose what was learnt.
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestWrite)
		defer cancel()
		n, err := m.Record(write, batch)
		done <- wrote{n, err}
	})
}

// wrote is how a write ended.
type wrote struct {
	rows int
	err  error
}

// took ends a write. What was refused is written with what came since.
func (m *Monitor) took(w wrote) {
	batch := m.writing
	m.writing, m.written = nil, nil
	if w.err == nil {
		m.refused = 0
		return
	}
	batch = batch[w.rows:]
	m.Log.Warn("probes were not written", "error", w.err, "probes", len(batch))
	if m.refused++; m.refused == mostRefused {
		m.refused = 0
		return
	}
	m.pending = append(batch, m.pending...)
	m.pending = m.pending[max(0, len(m.pending)-mostPending):]
}

// Recorder returns a Record for a store.
func Recorder(s store.Store) func(context.Context, []berth.Probe) (int, error) {
	return func(ctx context.Context, list []berth.Probe) (int, error) {
		return store.InBatches(ctx, s, list, func(tx store.Tx, part []berth.Probe) error { return tx.RecordProbes(ctx, part) })
	}
}
