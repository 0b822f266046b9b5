package meter

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Sampler reads the counters of containers that run. ok is false for one that
// it can't see.
type Sampler interface {
	Sample(containerID string, startedAt time.Time) (s berth.Sample, ok bool)
	// Forget drops what it kept of containers that were not sampled since the
	// last call.
	Forget()
}

// Stats is the capability of an engine to read what the kernel counts, for
// where its files can't be seen. It is slow: the engine looks into each
// container by itself.
type Stats interface {
	Stats(ctx context.Context, containerID string) (berth.Sample, error)
}

// Disk is the capability of an engine to tell what each tenant's volumes and
// writable layers hold, one after the other, spread over a time. It does not
// call tell twice at a time, and not after it has returned.
type Disk interface {
	Disk(ctx context.Context, over time.Duration, tell func(organizationID string, bytes int64)) error
}

// Config is how the meter paces itself. Zero fields take the defaults.
type Config struct {
	Interval     time.Duration // between samples; 15 s
	Period       time.Duration // that usage is recorded for, from its multiple to the next; 1 min
	DiskInterval time.Duration // between measurements of disks; 5 min
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(max(c.Interval, 0), 15*time.Second)
	c.Period = cmp.Or(max(c.Period, 0), time.Minute)
	c.DiskInterval = cmp.Or(max(c.DiskInterval, 0), 5*time.Minute)
	return c
}

// Parts are what the meter works with. Stats, Disk, Traffic and Notice may be
// nil.
type Parts struct {
	Store   store.Store
	Sampler Sampler
	Stats   Stats
	Disk    Disk
	Fleet   func() []*berth.Member
	Traffic func() map[string]berth.Traffic
	// Limit is a tenant's disk limit in bytes, 0 if it is not known.
	Limit  func(organizationID string) int64
	Notice func(organizationID string, kind string, message string)
	Log    *slog.Logger
}

// Meter samples the fleet. Now and Readings may be called at any time.
type Meter struct {
	Config
	Parts

	began   time.Time                // of Run
	resumed bool                     // the stored counters were read
	traffic map[string]berth.Traffic // as the edge last told
	turn    int                      // of containers that the engine was asked for; only Run's goroutine uses these

	mu       sync.Mutex
	accounts map[string]*account
	killed   map[string]int64              // processes, for want of memory, that the engine told of since the last round
	disks    map[string]berth.Maybe[int64] // as last measured
	stored   map[string]int64              // the same, by the Berth before this one; until it is measured

	level map[string]int // of the last notice about a disk: 0, 90 or 100; measure's only
}

// New returns a Meter that does nothing until Run.
func New(c Config, p Parts) *Meter {
	return &Meter{Config: c.withDefaults(), Parts: p, traffic: map[string]berth.Traffic{}, accounts: map[string]*account{},
		killed: map[string]int64{}, disks: map[string]berth.Maybe[int64]{}, stored: map[string]int64{}, level: map[string]int{}}
}

// Run samples until ctx ends, and then stores the periods that are open.
func (m *Meter) Run(ctx context.Context) error {
	m.began = time.Now()
	var disks sync.WaitGroup
	defer disks.Wait()
	disks.Go(func() { m.measure(ctx) })
	last := m.slot(time.Now())
	next := time.NewTimer(m.until(last))
	defer next.Stop()
	m.sampleAll(ctx)
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			m.sampleAll(end)
			m.record(end)
			return nil
		case <-next.C:
		}
		slot := m.slot(time.Now())
		m.sampleAll(ctx)
		if !slot.Truncate(m.Period).Equal(last.Truncate(m.Period)) {
			m.record(ctx)
		}
		last = slot
		next.Reset(m.until(m.slot(time.Now())))
	}
}

// lag is how long after the full minute is sampled, so that a clock that is
// slewed is past it.
const lag = 20 * time.Millisecond

// slot is the multiple of the interval, by the wall clock, that is nearest.
func (m *Meter) slot(now time.Time) time.Time { return now.Round(0).Round(m.Interval) }

// until is how long it is until the slot after one is to be sampled.
func (m *Meter) until(slot time.Time) time.Duration {
	return time.Until(slot.Add(m.Interval + lag))
}

// resume takes up the counters where they were last stored, once. Until it has,
// nothing is sampled: it would be counted from nowhere.
func (m *Meter) resume(ctx context.Context) bool {
	if m.resumed {
		return true
	}
	err := m.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		marks, err := tx.Marks(ctx)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		now := time.Now()
		for _, mark := range marks {
			a := newAccount(mark.OrganizationID, now)
			a.resume(mark, now)
			if mark.Disk.Known {
				a.latest.disk, m.stored[mark.OrganizationID] = mark.Disk, mark.Disk.Value
			}
			m.accounts[mark.OrganizationID] = a
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		m.Log.Warn("counters could not be read; nothing is sampled until they are", "error", err)
	}
	m.resumed = err == nil
	return m.resumed
}

// sampleAll samples every container that runs, once.
func (m *Meter) sampleAll(ctx context.Context) {
	if !m.resume(ctx) {
		return
	}
	m.mu.Lock()
	killed := m.killed // before the kernel is asked: what comes later, it may not show yet
	m.killed = map[string]int64{}
	m.mu.Unlock()
	fleet := m.Fleet()
	byOrg := m.sample(ctx, fleet)
	m.Sampler.Forget()
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, member := range fleet {
		// A tenant that was started since the meter was: it is the meter that is
		// late, and what was used before the first look counts.
		if org := member.OrganizationID; m.accounts[org] == nil {
			a := newAccount(org, now)
			if started := member.StartedAt; started.After(m.began) {
				a.since(started, now)
			}
			m.accounts[org] = a
		}
	}
	for org, a := range m.accounts {
		if bytes, ok := m.disks[org]; ok {
			a.latest.disk = bytes
		}
		a.killed += killed[org]
		a.take(byOrg[org], now)
	}
	m.route(now)
}

// route takes in what the edge has counted. m.mu is held.
func (m *Meter) route(now time.Time) {
	if m.Traffic == nil {
		return
	}
	traffic := m.Traffic()
	for org, t := range traffic {
		used := rose(m.traffic[org], t)
		if m.accounts[org] == nil && used.Requests > 0 {
			m.accounts[org] = newAccount(org, now) // it does not run, and is asked all the same
		}
		if a := m.accounts[org]; a != nil {
			a.route(used, t)
		}
	}
	m.traffic = traffic
}

const (
	statsAtOnce = 8           // containers that the engine is asked for at the same time
	statsShare  = 3           // a third of the interval is for that
	statsLimit  = time.Second // for one container
)

// sample reads the containers that the kernel shows, and asks the engine for the
// others. What neither tells in time is left out.
func (m *Meter) sample(ctx context.Context, fleet []*berth.Member) map[string][]berth.Sample {
	byOrg := make(map[string][]berth.Sample, len(fleet))
	var unseen []*berth.Member
	for _, member := range fleet {
		if s, ok := m.Sampler.Sample(member.InstanceID, member.StartedAt); ok {
			byOrg[member.OrganizationID] = append(byOrg[member.OrganizationID], s)
		} else {
			unseen = append(unseen, member)
		}
	}
	if m.Stats == nil || len(unseen) == 0 {
		return byOrg
	}
	ctx, cancel := context.WithTimeout(ctx, m.Interval/statsShare)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(statsAtOnce)
	var mu sync.Mutex
	first := m.turn % len(unseen) // after those that were asked the last time
	for _, member := range slices.Concat(unseen[first:], unseen[:first]) {
		if ctx.Err() != nil {
			break
		}
		m.turn++
		g.Go(func() error {
			own, cancel := context.WithTimeout(ctx, statsLimit)
			defer cancel()
			s, err := m.Stats.Stats(own, member.InstanceID)
			if err != nil {
				return nil // unknown this time
			}
			s.StartedAt = member.StartedAt
			mu.Lock()
			defer mu.Unlock()
			byOrg[member.OrganizationID] = append(byOrg[member.OrganizationID], s)
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	return byOrg
}

// record stores the period of every tenant and begins the next. A period that
// could not be stored goes on.
func (m *Meter) record(ctx context.Context) {
	if !m.resumed {
		return
	}
	now := time.Now()
	list := m.over(now)
	n, err := store.InBatches(ctx, m.Store, list, func(tx store.Tx, part []*account) error {
		usage, marks := make([]berth.Usage, len(part)), make([]berth.Mark, len(part))
		m.mu.Lock()
		for i, a := range part { // nothing changes it until all are stored; summed up all at once, they would be large
			usage[i], marks[i] = a.sumUp(now)
		}
		m.mu.Unlock()
		if err := tx.PutUsage(ctx, usage); err != nil {
			return err
		}
		return tx.PutMarks(ctx, marks)
	})
	m.mu.Lock()
	for _, a := range list[:n] {
		u, _ := a.sumUp(now)
		a.begin(u.End, now)
	}
	m.mu.Unlock()
	if err == nil {
		err = m.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.ForgetMarks(ctx) })
	}
	if err != nil && ctx.Err() == nil {
		m.Log.Warn("usage could not be stored", "error", err, "tenants", len(list)-n)
	}
}

// leastPeriod is the shortest that is stored: one that has hardly begun goes on.
const leastPeriod = time.Second

// over returns the tenants whose period is to be stored, by organization. What has
// nothing to tell begins its next one.
func (m *Meter) over(now time.Time) (list []*account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, org := range slices.Sorted(maps.Keys(m.accounts)) {
		a := m.accounts[org]
		start, end := a.span(now)
		switch {
		case a.away || end.Sub(start) < leastPeriod:
			continue
		case a.idle() && len(a.containers) == 0:
			delete(m.accounts, org) // its next period begins when it runs
			continue
		case a.idle():
			a.begin(end, now)
			continue
		}
		list = append(list, a)
	}
	return list
}

// Killed notes that the engine told of a process that the kernel killed for want
// of memory.
func (m *Meter) Killed(organizationID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts[organizationID] != nil {
		m.killed[organizationID]++
	}
}

// Now returns a tenant's reading. ok is false before its first sample.
func (m *Meter) Now(organizationID string) (r berth.Reading, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[organizationID]
	if a == nil || a.latest.at.IsZero() {
		return berth.Reading{}, false
	}
	return a.reading(), true
}

// Readings returns the reading of every tenant that runs, by organization.
func (m *Meter) Readings() []berth.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]berth.Reading, 0, len(m.accounts))
	for _, a := range m.accounts {
		if !a.latest.at.IsZero() {
			list = append(list, a.reading())
		}
	}
	slices.SortFunc(list, func(a, b berth.Reading) int { return strings.Compare(a.OrganizationID, b.OrganizationID) })
	return list
}
