package health

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	sweepDeadline = 30 * time.Second // of a whole sweep
	sweepAtOnce   = 64               // tenants
	sweepPage     = 1000             // rows that are written at a time
	mostRecent    = 1000             // tenants whose answer is remembered to be on record
)

// SweeperConfig is what a Sweeper works with. Its functions may be called
// concurrently.
type SweeperConfig struct {
	Store store.Store
	Asker Asker
	Now   func() time.Time

	// Members are what runs, as the loop last saw it; ok is false while none runs
	// here. Then, and if it is nil, Look asks the engine for each tenant.
	Members func() (list []*berth.Member, ok bool)
	Look    func(ctx context.Context, organizationID string) (berth.Observed, error)
	// Check is how the service that takes requests is asked, by blueprint.
	Check func(ctx context.Context, tx store.Blueprints, blueprint string) (berth.HealthCheck, error)
}

// Sweeper asks because somebody wants to know now, and puts what is answered on
// record. One answer decides nothing: whether a tenant is well follows from
// several in a row.
type Sweeper struct {
	SweeperConfig
	sweeping chan struct{} // holds one while a sweep goes on
	recorded recent
}

// NewSweeper returns a Sweeper. Its methods may be called concurrently.
func NewSweeper(c SweeperConfig) *Sweeper {
	return &Sweeper{SweeperConfig: c, sweeping: make(chan struct{}, 1)}
}

// Ask asks instances of one tenant one after the other and returns the worst
// answer; nil if there is none to be had.
func (s *Sweeper) Ask(ctx context.Context, organizationID string, list []berth.Instance, check berth.HealthCheck) (*berth.Probe, error) {
	var worst *berth.Probe
	for _, c := range list {
		p, ok := ask(ctx, s.Asker, c, check)
		if !ok {
			continue
		}
		p.OrganizationID = organizationID
		if worst == nil || worst.Status == berth.ProbeHealthy {
			worst = &p
		}
	}
	if worst == nil {
		return nil, nil
	}
	return worst, s.record(ctx, []berth.Probe{*worst})
}

// record puts answers on record, of each tenant one a second at most.
func (s *Sweeper) record(ctx context.Context, probes []berth.Probe) error {
	probes = slices.DeleteFunc(probes, func(p berth.Probe) bool { return !s.recorded.take(p) })
	for batch := range slices.Chunk(probes, sweepPage) {
		if err := s.Store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.RecordProbes(ctx, batch) }); err != nil {
			return err
		}
	}
	return nil
}

// Sweep asks every running tenant once, records the answers and lists up to
// limit of them. Sweeps go on one at a time: a second one waits.
func (s *Sweeper) Sweep(ctx context.Context, limit int) (berth.Sweep, error) {
	select {
	case s.sweeping <- struct{}{}:
		defer func() { <-s.sweeping }()
	case <-ctx.Done():
		return berth.Sweep{}, ctx.Err()
	}
	began := s.Now()
	list, err := s.runningTenants(ctx)
	if err != nil {
		return berth.Sweep{}, err
	}
	s.askAll(ctx, list)
	if err := ctx.Err(); err != nil {
		return berth.Sweep{}, err
	}
	var probes []berth.Probe
	for _, one := range list {
		if one.Probe != nil {
			probes = append(probes, *one.Probe)
		}
	}
	if err := s.record(ctx, probes); err != nil {
		return berth.Sweep{}, err
	}
	out := counted(list, limit)
	out.At, out.Took = began, s.Now().Sub(began)
	return out, nil
}

func (s *Sweeper) runningTenants(ctx context.Context) (list []berth.Swept, err error) {
	err = s.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		list = nil
		for t, err := range store.EachTenant(ctx, tx, store.TenantFilter{Status: berth.StatusRunning}) {
			if err != nil {
				return err
			}
			list = append(list, berth.Swept{Tenant: t})
		}
		return nil
	})
	return list, err
}

// askAll fills in the probes. A tenant that fails or hangs costs its own row.
func (s *Sweeper) askAll(ctx context.Context, list []berth.Swept) {
	limited, cancel := context.WithTimeout(ctx, sweepDeadline)
	defer cancel()
	members := map[string][]*berth.Member{}
	var all []*berth.Member
	known := false
	if s.Members != nil {
		all, known = s.Members()
	}
	for _, m := range all {
		if m.Main {
			members[m.OrganizationID] = append(members[m.OrganizationID], m)
		}
	}
	// Those that may hang come last: they take the sweep's time from nobody.
	slices.SortStableFunc(list, func(a, b berth.Swept) int { return cmp.Compare(unwell(a.Tenant), unwell(b.Tenant)) })
	var work errgroup.Group
	work.SetLimit(sweepAtOnce)
	for i := range list {
		work.Go(func() error {
			own := members[list[i].Tenant.OrganizationID]
			if !known {
				own = s.look(limited, list[i].Tenant)
			}
			list[i].Probe = s.worst(limited, own)
			return nil
		})
	}
	_ = work.Wait() // none returns an error
}

func unwell(t berth.Tenant) int {
	if t.Health == berth.HealthHealthy {
		return 0
	}
	return 1
}

// look finds a tenant's instances by asking the engine; none if it does not answer.
func (s *Sweeper) look(ctx context.Context, t berth.Tenant) (list []*berth.Member) {
	if ctx.Err() != nil {
		return nil
	}
	var check berth.HealthCheck
	err := s.Store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		check, err = s.Check(ctx, tx, t.Spec.Blueprint)
		return err
	})
	if err != nil {
		return nil
	}
	seen, err := s.Look(ctx, t.OrganizationID)
	if err != nil {
		return nil
	}
	for _, c := range seen.Instances {
		if c.State == berth.InstanceRunning && c.Address.IsValid() {
			list = append(list, &berth.Member{OrganizationID: t.OrganizationID, InstanceID: c.ID, Name: c.Name, Health: c.Health, HealthCause: c.HealthCause, StartedAt: c.StartedAt,
				Address: c.Address, Main: true, Check: &check, Steady: true})
		}
	}
	return list
}

// worst asks a tenant's instances one after the other, up to the first that
// is not well. During a deployment they are of two generations, one of which may
// be starting: then up to the first that is well. What the sweep's end cut short
// says nothing.
func (s *Sweeper) worst(ctx context.Context, members []*berth.Member) *berth.Probe {
	var worst *berth.Probe
	for _, m := range members {
		p, ok := ask(ctx, s.Asker, m.Instance(), *m.Check)
		if ctx.Err() != nil {
			return worst
		}
		if !ok {
			continue
		}
		p.OrganizationID = m.OrganizationID
		worst = &p
		if m.Steady != (p.Status == berth.ProbeHealthy) {
			break
		}
	}
	return worst
}

func counted(list []berth.Swept, limit int) berth.Sweep {
	var out berth.Sweep
	for _, one := range list {
		switch {
		case one.Probe == nil:
			out.Unknown++
		case one.Probe.Status == berth.ProbeHealthy:
			out.Healthy++
		case one.Probe.Status == berth.ProbeTimeout:
			out.Timeouts++
		default:
			out.Unhealthy++
		}
	}
	well := func(one berth.Swept) int {
		if one.Probe != nil && one.Probe.Status == berth.ProbeHealthy {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b berth.Swept) int {
		return cmp.Or(cmp.Compare(well(a), well(b)), cmp.Compare(a.Tenant.OrganizationID, b.Tenant.OrganizationID))
	})
	out.Tenants = list[:min(limit, len(list))]
	out.Omitted = len(list) - len(out.Tenants)
	return out
}

// recordEvery is the shortest time between two answers of a tenant that are put
// on record because somebody asked: asking all the time fills no table.
const recordEvery = time.Second

// recent remembers whose answer was put on record lately.
type recent struct {
	mu   sync.Mutex
	last map[string]time.Time // by organization
}

// take reports whether an answer is to be put on record.
func (r *recent) take(p berth.Probe) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, there := r.last[p.OrganizationID]
	if since := p.CheckedAt.Sub(last); there && since >= 0 && since < recordEvery {
		return false
	}
	if len(r.last) >= mostRecent {
		maps.DeleteFunc(r.last, func(_ string, at time.Time) bool { return p.CheckedAt.Sub(at) >= recordEvery })
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[p.OrganizationID] = p.CheckedAt
	return true
}
