package tenancy

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
	sweepMost     = 1000             // rows that an answer lists
	sweepPage     = 1000

	// MostHealthHours is how far back a summary looks: so long hours are kept.
	MostHealthHours = 90 * 24
)

// HealthSummary is what is known of a tenant's health without asking it.
type HealthSummary struct {
	Tenant berth.Tenant
	Last   []berth.Probe // a page of them, newest first
	Next   string        // cursor of the page after Last
	Newest *berth.Probe  // nil if there is none
	Status berth.Health  // that the last five checks within five minutes show
	Hours  int
	// Period is the sum over the whole hours that are over, of the Hours before
	// now; without a check in it, availability is not known.
	Period berth.HealthPeriod
}

// HealthSummary sums up what the probes of a tenant said, over 1 to
// MostHealthHours hours (0 for 24); with a page of them.
func (s *Service) HealthSummary(ctx context.Context, actor berth.Actor, ref string, hours int, p store.Page) (HealthSummary, error) {
	if hours == 0 {
		hours = 24
	}
	if hours < 0 || hours > MostHealthHours {
		return HealthSummary{}, berth.Errorf(berth.CodeInvalidRequest, "Hours must be 1 to %d", MostHealthHours).WithField("hours").
			WithHint("%d was given; hours are kept for 90 days", hours)
	}
	now := s.Now()
	sum := HealthSummary{Hours: hours}
	err := s.Store.View(ctx, actor, func(tx store.Tx) (err error) {
		if sum.Tenant, err = find(ctx, tx, actor, berth.ScopeRead, ref); err != nil {
			return err
		}
		org := sum.Tenant.OrganizationID
		if sum.Last, sum.Next, err = probes(ctx, tx, sum.Tenant, p); err != nil {
			return err
		}
		newest, _, err := probes(ctx, tx, sum.Tenant, store.Page{Limit: berth.LastChecks})
		if err != nil {
			return err
		}
		if sum.Status = berth.HealthOf(newest, now); len(newest) > 0 {
			sum.Newest = &newest[0]
		}
		begin := now.Truncate(time.Hour).Add(-time.Duration(hours) * time.Hour)
		periods, err := tx.ListHealth(ctx, org, berth.ByHour, begin, now)
		sum.Period = berth.HealthPeriod{TenantID: sum.Tenant.ID, OrganizationID: org, Resolution: berth.ByHour, Start: begin}
		for _, p := range periods {
			if p.TenantID == sum.Tenant.ID { // not of an earlier tenant of the organization
				sum.Period = sum.Period.Plus(p)
			}
		}
		return err
	})
	return sum, err
}

// probes returns a page of a tenant's probes, newest first. Those of an earlier
// tenant of its organization are none of it.
func probes(ctx context.Context, tx store.Tx, t berth.Tenant, p store.Page) (page []berth.Probe, next string, err error) {
	page, next, err = tx.ListProbes(ctx, t.OrganizationID, p)
	own := slices.DeleteFunc(page, func(p berth.Probe) bool { return p.CheckedAt.Before(t.CreatedAt) })
	if len(own) < len(page) {
		next = ""
	}
	return own, next, err
}

// Swept is what a sweep found of one tenant.
type Swept struct {
	Tenant berth.Tenant
	Probe  *berth.Probe // the worst of its containers' answers; nil if none could be asked in time
}

// Sweep is one look at the fleet.
type Sweep struct {
	At        time.Time
	Took      time.Duration
	Healthy   int
	Unhealthy int
	Timeouts  int
	Unknown   int     // could not be asked: nothing runs, the engine does not answer, or the sweep's time was over
	Tenants   []Swept // those that are not well first, then by organization; as many as were asked for
	Omitted   int     // that Tenants leaves out
}

// SweepHealth asks every running tenant once, records the
// answers and lists up to limit of them; 0 is 100, at most 1000. Sweeps go on
// one at a time: a second one waits.
func (s *Service) SweepHealth(ctx context.Context, actor berth.Actor, limit int) (Sweep, error) {
	if limit < 0 || limit > sweepMost {
		return Sweep{}, berth.Errorf(berth.CodeInvalidRequest, "Limit must be 1 to %d", sweepMost).WithField("limit").WithHint("%d was given", limit)
	}
	if err := authoriseInstallation(actor, berth.ScopeInstallation); err != nil {
		return Sweep{}, err
	}
	select {
	case s.sweeping <- struct{}{}:
		defer func() { <-s.sweeping }()
	case <-ctx.Done():
		return Sweep{}, ctx.Err()
	}
	began := s.Now()
	list, err := s.runningTenants(ctx, actor)
	if err != nil {
		return Sweep{}, err
	}
	s.sweep(ctx, actor, list)
	if err := ctx.Err(); err != nil {
		return Sweep{}, err
	}
	var probes []berth.Probe
	for _, one := range list {
		if one.Probe != nil && s.asked.take(*one.Probe) {
			probes = append(probes, *one.Probe)
		}
	}
	for batch := range slices.Chunk(probes, sweepPage) {
		if err := s.Store.InTx(ctx, actor, func(tx store.Tx) error { return tx.RecordProbes(ctx, batch) }); err != nil {
			return Sweep{}, err
		}
	}
	out := counted(list, limit)
	out.At, out.Took = began, s.Now().Sub(began)
	return out, nil
}

// rowEvery is the shortest time between two answers of a tenant that are put on
// record because somebody asked: asking all the time fills no table.
const rowEvery = time.Second

// rows remembers whose answer was put on record lately.
type rows struct {
	mu   sync.Mutex
	last map[string]time.Time // by organization
}

// take reports whether an answer is to be put on record.
func (r *rows) take(p berth.Probe) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, there := r.last[p.OrganizationID]
	if since := p.CheckedAt.Sub(last); there && since >= 0 && since < rowEvery {
		return false
	}
	if len(r.last) >= sweepMost {
		maps.DeleteFunc(r.last, func(_ string, at time.Time) bool { return p.CheckedAt.Sub(at) >= rowEvery })
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[p.OrganizationID] = p.CheckedAt
	return true
}

func (s *Service) runningTenants(ctx context.Context, actor berth.Actor) (list []Swept, err error) {
	err = s.Store.View(ctx, actor, func(tx store.Tx) error {
		list = nil
		for cursor := ""; ; {
			page, next, err := tx.ListTenants(ctx, store.TenantFilter{Status: berth.StatusRunning, Page: store.Page{Cursor: cursor, Limit: sweepPage}})
			if err != nil {
				return err
			}
			for _, t := range page {
				list = append(list, Swept{Tenant: t})
			}
			if cursor = next; cursor == "" {
				return nil
			}
		}
	})
	return list, err
}

// sweep fills in the probes. A tenant that fails or hangs costs its own row.
func (s *Service) sweep(ctx context.Context, actor berth.Actor, list []Swept) {
	limited, cancel := context.WithTimeout(ctx, sweepDeadline)
	defer cancel()
	members := map[string][]berth.Member{}
	known := false
	if s.Members != nil {
		var all []berth.Member
		all, known = s.Members()
		for _, m := range all {
			if m.Main {
				members[m.OrganizationID] = append(members[m.OrganizationID], m)
			}
		}
	}
	// Those that may hang come last: they take the sweep's time from nobody.
	slices.SortStableFunc(list, func(a, b Swept) int { return cmp.Compare(unwell(a.Tenant), unwell(b.Tenant)) })
	var all errgroup.Group
	all.SetLimit(sweepAtOnce)
	for i := range list {
		all.Go(func() error {
			own := members[list[i].Tenant.OrganizationID]
			if !known {
				own = s.look(limited, actor, list[i].Tenant)
			}
			list[i].Probe = s.worst(limited, own)
			return nil
		})
	}
	_ = all.Wait() // none returns an error
}

func unwell(t berth.Tenant) int {
	if t.Health == berth.HealthHealthy {
		return 0
	}
	return 1
}

// look finds a tenant's containers by asking the engine; none if it does not answer.
func (s *Service) look(ctx context.Context, actor berth.Actor, t berth.Tenant) (list []berth.Member) {
	if ctx.Err() != nil {
		return nil
	}
	var b Blueprint
	err := s.Store.View(ctx, actor, func(tx store.Tx) (err error) {
		b, err = s.Catalog.Get(ctx, tx, t.Spec.Blueprint)
		return err
	})
	if err != nil {
		return nil
	}
	seen, err := s.Loop.Look(ctx, t.OrganizationID)
	if err != nil {
		return nil
	}
	for _, c := range seen.Instances {
		if c.State == berth.InstanceRunning && c.Address.IsValid() {
			list = append(list, berth.Member{OrganizationID: t.OrganizationID, Instance: c, Main: true, Check: b.Defaults().Health, Settled: true})
		}
	}
	return list
}

// worst asks a tenant's containers one after the other, up to the first that
// is not well. During a deployment they are of two generations, one of which may
// be starting: then up to the first that is well. What the sweep's end cut short
// says nothing.
func (s *Service) worst(ctx context.Context, members []berth.Member) *berth.Probe {
	var worst *berth.Probe
	for _, m := range members {
		p, ok := s.ask(ctx, m.Instance, m.Check)
		if ctx.Err() != nil {
			return worst
		}
		if !ok {
			continue
		}
		p.OrganizationID = m.OrganizationID
		worst = &p
		if m.Settled != (p.Status == berth.ProbeHealthy) {
			break
		}
	}
	return worst
}

// ask asks one container by its check's kind; ok is false if there is no
// answer to be had yet.
func (s *Service) ask(ctx context.Context, c berth.Instance, check berth.HealthCheck) (p berth.Probe, ok bool) {
	if check.Kind == berth.ProbeEngine {
		return berth.EngineProbe(c, s.Now())
	}
	if !c.Address.IsValid() {
		return berth.Probe{}, false
	}
	return s.Prober.Probe(ctx, c.Address, check), true
}

func counted(list []Swept, limit int) Sweep {
	if limit == 0 {
		limit = 100
	}
	var out Sweep
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
	well := func(one Swept) int {
		if one.Probe != nil && one.Probe.Status == berth.ProbeHealthy {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b Swept) int {
		return cmp.Or(cmp.Compare(well(a), well(b)), cmp.Compare(a.Tenant.OrganizationID, b.Tenant.OrganizationID))
	})
	out.Tenants = list[:min(limit, len(list))]
	out.Omitted = len(list) - len(out.Tenants)
	return out
}
