package tenancy

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// Meter tells what tenants use now.
type Meter interface {
	// Now reports ok false for a tenant that nothing was read of.
	Now(organizationID string) (r berth.Reading, ok bool)
	// Readings returns one per tenant that something was read of.
	Readings() []berth.Reading
}

// mostPeriods bounds one answer.
const mostPeriods = 1500

// Metered is a tenant and what it uses now.
type Metered struct {
	Tenant  berth.Tenant
	Reading berth.Reading // nothing but the organization is known unless Read
	Read    bool
}

// UsageReport is a tenant's history over a span.
type UsageReport struct {
	Tenant     berth.Tenant
	From, To   time.Time // as asked for
	Resolution berth.Resolution
	Periods    []berth.Usage // oldest first; those before the first whole period and after the last are shorter
	Average    berth.UsageAverage
}

// UsageSpan says which history is asked for. Zero fields have defaults: To is
// now, From is Hours before it, Hours is 24, and the span picks the resolution.
type UsageSpan struct {
	Hours      int
	From, To   time.Time
	Resolution berth.Resolution
}

// UsageSort is how tenants are sorted: the highest first, names from A.
type UsageSort string

const (
	SortCPU      UsageSort = "cpu"
	SortMemory   UsageSort = "memory"
	SortNetwork  UsageSort = "network"
	SortRequests UsageSort = "requests"
	SortName     UsageSort = "name"
)

func unmetered() error {
	return berth.Errorf(berth.CodeNotSupportedYet, "Usage is not measured").
		WithHint("start Berth with its meter")
}

// Metrics returns what a tenant uses now.
func (s *Service) Metrics(ctx context.Context, actor berth.Actor, ref string) (Metered, error) {
	t, err := s.tenant(ctx, actor, action.Metrics, ref)
	if err != nil {
		return Metered{}, err
	}
	if s.meter == nil {
		return Metered{}, unmetered()
	}
	r, ok := s.meter.Now(t.OrganizationID)
	r.OrganizationID = t.OrganizationID
	return Metered{t, r, ok}, nil
}

// Fleet returns every tenant that the actor sees, oldest first, and what each
// uses now. Without a meter nothing is read.
func (s *Service) Fleet(ctx context.Context, actor berth.Actor) ([]Metered, error) {
	if err := authoriseOwn(actor, action.FleetUsage); err != nil {
		return nil, err
	}
	var tenants []berth.Tenant
	err := s.store.View(ctx, actor, func(tx store.Tx) error {
		tenants = nil
		f := store.TenantFilter{Page: store.Page{Limit: 1000}}
		for {
			page, next, err := tx.ListTenants(ctx, f)
			if err != nil {
				return err
			}
			tenants = append(tenants, page...)
			if f.Cursor = next; next == "" {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	read := map[string]berth.Reading{}
	if s.meter != nil {
		for _, r := range s.meter.Readings() {
			read[r.OrganizationID] = r
		}
	}
	fleet := make([]Metered, len(tenants))
	for i, t := range tenants {
		r, ok := read[t.OrganizationID]
		r.OrganizationID = t.OrganizationID
		fleet[i] = Metered{t, r, ok}
	}
	return fleet, nil
}

// FleetPage returns a page of Fleet as sorted, and the next cursor. Figures
// change between two pages, so a tenant that changes its rank may be missed
// or come twice.
func (s *Service) FleetPage(ctx context.Context, actor berth.Actor, by UsageSort, cursor string, limit int) ([]Metered, string, error) {
	if err := authoriseOwn(actor, action.FleetUsage); err != nil {
		return nil, "", err
	}
	if s.meter == nil {
		return nil, "", unmetered()
	}
	if by == "" {
		by = SortCPU
	}
	after, err := parseRank(by, cursor)
	if err != nil {
		return nil, "", err
	}
	fleet, err := s.Fleet(ctx, actor)
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(fleet, func(a, b Metered) int { return rankOf(by, a).compare(rankOf(by, b)) })
	if after != nil {
		from, _ := slices.BinarySearchFunc(fleet, *after, func(m Metered, p rank) int {
			if rankOf(by, m).compare(p) <= 0 {
				return -1
			}
			return 1
		})
		fleet = fleet[from:]
	}
	if len(fleet) <= limit {
		return fleet, "", nil
	}
	return fleet[:limit], rankOf(by, fleet[limit-1]).cursor(), nil
}

// rank is where a tenant stands in a sorted list: the highest value first, what is
// not known last.
type rank struct {
	By    UsageSort `json:"b"`
	Known bool      `json:"k,omitempty"`
	Value float64   `json:"v,omitempty"`
	Name  string    `json:"n,omitempty"`
	ID    string    `json:"i"`
}

func rankOf(by UsageSort, m Metered) rank {
	p := rank{By: by, ID: m.Tenant.OrganizationID}
	r := m.Reading
	switch by {
	case SortMemory:
		p.Known, p.Value = r.MemoryBytes.Known, float64(r.MemoryBytes.Value)
	case SortNetwork:
		p.Known, p.Value = r.NetworkRx.Known || r.NetworkTx.Known, float64(r.NetworkRx.Value)+float64(r.NetworkTx.Value)
	case SortRequests:
		p.Known, p.Value = m.Read, float64(r.Traffic.Requests)
	case SortName:
		p.Name = m.Tenant.Slug
	default:
		p.Known, p.Value = r.CPUPercent.Known, r.CPUPercent.Value
	}
	return p
}

func (p rank) compare(q rank) int {
	known := map[bool]int{true: 0, false: 1}
	return cmp.Or(cmp.Compare(known[p.Known], known[q.Known]), cmp.Compare(q.Value, p.Value),
		cmp.Compare(p.Name, q.Name), cmp.Compare(p.ID, q.ID))
}

func (p rank) cursor() string {
	data, _ := json.Marshal(p) // figures are finite
	return base64.RawURLEncoding.EncodeToString(data)
}

func parseRank(by UsageSort, cursor string) (*rank, error) {
	if cursor == "" {
		return nil, nil
	}
	var p rank
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || p.By != by || p.ID == "" {
		return nil, berth.Errorf(berth.CodeInvalidRequest, "cursor is not one of this list").WithField("cursor").
			WithHint("take nextCursor of the page before, with the same sort")
	}
	return &p, nil
}

// Usage returns what an organization used over a span, tombstones included.
// Unless a resolution is asked for, periods that are not over yet, or that began
// before the span, are shown by the shorter ones in them.
func (s *Service) Usage(ctx context.Context, actor berth.Actor, ref string, span UsageSpan) (UsageReport, error) {
	from, to, err := s.bounds(span)
	if err != nil {
		return UsageReport{}, err
	}
	out := UsageReport{From: from, To: to, Resolution: span.Resolution}
	if out.Resolution == "" {
		out.Resolution = berth.ResolutionFor(to.Sub(from))
	}
	length := out.Resolution.Length()
	if length == 0 {
		return UsageReport{}, berth.Errorf(berth.CodeInvalidRequest, "resolution must be minute, hour or day").WithField("resolution").
			WithHint("%s was given; leave it out to have the span decide", berth.Quote(string(span.Resolution)))
	}
	if to.Sub(from)/length > mostPeriods {
		return UsageReport{}, berth.Errorf(berth.CodeInvalidRequest, "The span has more than %d periods of one %s", mostPeriods, out.Resolution).
			WithField("resolution").WithHint("ask for a shorter span or a coarser resolution")
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		org, err := findOrganization(ctx, tx, actor, action.Usage, ref)
		if err != nil {
			return err
		}
		if out.Tenant, err = tx.Tenant(ctx, org); berth.Is(err, berth.CodeContainerNotFound) {
			out.Tenant, err = tx.Tombstone(ctx, org)
		}
		return err
	})
	if err != nil {
		return UsageReport{}, err
	}
	finer := []berth.Resolution{out.Resolution}
	if span.Resolution == "" {
		all := []berth.Resolution{berth.ByDay, berth.ByHour, berth.ByMinute}
		finer = all[slices.Index(all, out.Resolution):]
	}
	if out.Periods, err = s.periods(ctx, actor, out.Tenant.OrganizationID, finer, interval{from, to}); err != nil {
		return UsageReport{}, err
	}
	out.Average = berth.AverageUsage(out.Periods)
	return out, nil
}

// interval is [from, to).
type interval struct{ from, to time.Time }

// periods returns those of the first resolution that begin in an interval; what
// lies before the first and after the last of them by the next resolution.
func (s *Service) periods(ctx context.Context, actor berth.Actor, organizationID string, by []berth.Resolution, in interval) (list []berth.Usage, err error) {
	if len(by) == 0 || !in.from.Before(in.to) {
		return nil, nil
	}
	err = s.store.View(ctx, actor, func(tx store.Tx) (err error) {
		list, err = tx.ListUsage(ctx, store.UsageQuery{OrganizationID: organizationID, Resolution: by[0], From: in.from, To: in.to, Limit: mostPeriods + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return s.periods(ctx, actor, organizationID, by[1:], in)
	}
	before, err := s.periods(ctx, actor, organizationID, by[1:], interval{in.from, list[0].Start})
	if err != nil {
		return nil, err
	}
	after, err := s.periods(ctx, actor, organizationID, by[1:], interval{list[len(list)-1].End, in.to})
	return slices.Concat(before, list, after), err
}

// bounds returns the span that is asked for.
func (s *Service) bounds(span UsageSpan) (from, to time.Time, err error) {
	if span.Hours != 0 && !span.From.IsZero() {
		return from, to, berth.Errorf(berth.CodeInvalidRequest, "hours and from can't be given together").WithField("hours").
			WithHint("give hours, or from and to")
	}
	if span.Hours == 0 {
		span.Hours = 24
	}
	to = span.To
	if to.IsZero() {
		to = s.now()
	}
	from = span.From
	if from.IsZero() {
		from = to.Add(-time.Duration(span.Hours) * time.Hour)
	}
	for _, bound := range []struct {
		field string
		at    time.Time
	}{{"from", from}, {"to", to}} {
		if year := bound.at.UTC().Year(); year < 1 || year > 9999 { // RFC 3339 has four digits for it
			return from, to, berth.Errorf(berth.CodeInvalidRequest, "%s must lie within the years 1 to 9999", bound.field).WithField(bound.field).
				WithHint("give another time, or hours; by default it is the last 24 hours; the year %d was given", year)
		}
	}
	if !from.Before(to) {
		return from, to, berth.Errorf(berth.CodeInvalidRequest, "from must be before to").WithField("from").
			WithHint("leave to out for now")
	}
	return from.UTC(), to.UTC(), nil
}
