package meter

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

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

// Disk is the capability of an engine to say what a tenant's volumes and
// writable layers hold, in bytes.
type Disk interface {
	Disk(ctx context.Context) (map[string]int64, error) // by organization id
}

// Config is how the meter paces itself. Zero fields take the defaults.
type Config struct {
	Interval     time.Duration // between samples; 15 s
	Period       time.Duration // that usage is recorded for; 1 min
	DiskInterval time.Duration // between measurements of disks; 5 min
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Interval, 15*time.Second)
	def(&c.Period, time.Minute)
	def(&c.DiskInterval, 5*time.Minute)
	return c
}

// Parts are what the meter works with. Stats, Disk, Traffic and Notice may be
// nil.
type Parts struct {
	Store   store.Store
	Sampler Sampler
	Stats   Stats
	Disk    Disk
	Fleet   func() []berth.Member
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

	mu       sync.Mutex
	accounts map[string]*account
	disks    map[string]int64
	level    map[string]int // of the last notice about a disk: 0, 90 or 100
}

// New returns a Meter that does nothing until Run.
func New(c Config, p Parts) *Meter {
	return &Meter{Config: c.withDefaults(), Parts: p, accounts: map[string]*account{}, disks: map[string]int64{}, level: map[string]int{}}
}

// Run samples until ctx ends, and then stores the periods that are open.
func (m *Meter) Run(ctx context.Context) error {
	if err := m.resume(ctx); err != nil && ctx.Err() == nil {
		m.Log.Warn("counters could not be read; usage begins anew", "error", err)
	}
	var disks sync.WaitGroup
	defer disks.Wait()
	disks.Go(func() { m.measure(ctx) })
	tick := time.NewTicker(m.Interval)
	defer tick.Stop()
	closed := time.Now()
	m.sweep(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			m.sweep(last)
			m.record(last)
			return nil
		case <-tick.C:
		}
		m.sweep(ctx)
		if time.Since(closed) >= m.Period-m.Interval/2 {
			closed = time.Now()
			m.record(ctx)
		}
	}
}

// resume takes up the counters where they were last stored.
func (m *Meter) resume(ctx context.Context) error {
	return m.Store.View(ctx, berth.System(), func(tx store.Tx) error {
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
			m.accounts[mark.OrganizationID] = a
		}
		return nil
	})
}

// sweep samples every container that runs, once.
func (m *Meter) sweep(ctx context.Context) {
	fleet := m.Fleet()
	byOrg := make(map[string][]berth.Sample, len(fleet))
	for _, member := range fleet {
		org := member.OrganizationID
		list := byOrg[org] // a tenant of which nothing can be seen is swept too
		if s, ok := m.sample(ctx, member.Container); ok {
			list = append(list, s)
		}
		byOrg[org] = list
	}
	m.Sampler.Forget()
	var traffic map[string]berth.Traffic
	if m.Traffic != nil {
		traffic = m.Traffic()
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for org, samples := range byOrg {
		a := m.accounts[org]
		if a == nil {
			a = newAccount(org, now)
			m.accounts[org] = a
		}
		if bytes, ok := m.disks[org]; ok {
			a.reading.DiskBytes = berth.Known(bytes)
		}
		a.sweep(samples, now)
	}
	for org, a := range m.accounts {
		if _, runs := byOrg[org]; !runs {
			a.sweep(nil, now)
		}
	}
	for org, t := range traffic {
		if a := m.accounts[org]; a != nil {
			a.route(t)
		}
	}
}

const statsDeadline = 3 * time.Second

func (m *Meter) sample(ctx context.Context, c berth.Container) (berth.Sample, bool) {
	if s, ok := m.Sampler.Sample(c.ID, c.StartedAt); ok || m.Stats == nil {
		return s, ok
	}
	ctx, cancel := context.WithTimeout(ctx, statsDeadline)
	defer cancel()
	s, err := m.Stats.Stats(ctx, c.ID)
	s.StartedAt = c.StartedAt
	return s, err == nil
}

// record stores the period of every tenant and begins the next. A period that
// could not be stored goes on.
func (m *Meter) record(ctx context.Context) {
	now := time.Now()
	usage, marks := m.periods(now)
	err := m.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := tx.PutUsage(ctx, usage); err != nil {
			return err
		}
		if err := tx.PutMarks(ctx, marks); err != nil {
			return err
		}
		return tx.ForgetMarks(ctx)
	})
	if err != nil {
		if ctx.Err() == nil {
			m.Log.Warn("usage could not be stored", "error", err, "tenants", len(usage))
		}
		return
	}
	m.mu.Lock()
	for _, u := range usage {
		a := m.accounts[u.OrganizationID]
		if len(a.last) == 0 && u.Requests.Value == 0 {
			delete(m.accounts, u.OrganizationID) // it does not run: its next period begins when it does
		} else {
			a.begin(u.End, now)
		}
	}
	m.mu.Unlock()
	m.tell(usage)
}

// periods are those that are open, by organization.
func (m *Meter) periods(now time.Time) (usage []berth.Usage, marks []berth.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, org := range slices.Sorted(maps.Keys(m.accounts)) {
		u, mark := m.accounts[org].sumUp(now)
		usage, marks = append(usage, u), append(marks, mark)
	}
	return usage, marks
}

// tell notices what the kernel killed.
func (m *Meter) tell(usage []berth.Usage) {
	if m.Notice == nil {
		return
	}
	for _, u := range usage {
		if u.OOMKills.Value > 0 {
			m.Notice(u.OrganizationID, berth.EventOOM, "a process was killed for using more than its limit of memory; raise it, or find the leak")
		}
	}
}

// Now returns a tenant's reading. ok is false before its first sample.
func (m *Meter) Now(organizationID string) (r berth.Reading, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[organizationID]
	if a == nil || a.reading.At.IsZero() {
		return berth.Reading{}, false
	}
	return a.reading, true
}

// Readings returns the reading of every tenant that runs, by organization.
func (m *Meter) Readings() []berth.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]berth.Reading, 0, len(m.accounts))
	for _, a := range m.accounts {
		if !a.reading.At.IsZero() {
			list = append(list, a.reading)
		}
	}
	slices.SortFunc(list, func(a, b berth.Reading) int { return strings.Compare(a.OrganizationID, b.OrganizationID) })
	return list
}
