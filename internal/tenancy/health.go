package tenancy

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// MostHealthHours is how far back a summary looks: so long hours are kept.
const MostHealthHours = 90 * 24

// sweepMost is how many rows the answer to a sweep lists at most.
const sweepMost = 1000

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
	now := s.now()
	sum := HealthSummary{Hours: hours}
	err := s.store.View(ctx, actor, func(tx store.Tx) (err error) {
		if sum.Tenant, err = find(ctx, tx, actor, action.Health, ref); err != nil {
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
func probes(ctx context.Context, tx store.Journal, t berth.Tenant, p store.Page) (page []berth.Probe, next string, err error) {
	page, next, err = tx.ListProbes(ctx, t.OrganizationID, p)
	own := slices.DeleteFunc(page, func(p berth.Probe) bool { return p.CheckedAt.Before(t.CreatedAt) })
	if len(own) < len(page) {
		next = ""
	}
	return own, next, err
}

// SweepHealth asks every running tenant once, records the answers and lists up to
// limit of them; 0 is 100, at most 1000.
func (s *Service) SweepHealth(ctx context.Context, actor berth.Actor, limit int) (berth.Sweep, error) {
	if limit < 0 || limit > sweepMost {
		return berth.Sweep{}, berth.Errorf(berth.CodeInvalidRequest, "Limit must be 1 to %d", sweepMost).WithField("limit").WithHint("%d was given", limit)
	}
	if err := authoriseInstallation(actor, action.SweepHealth); err != nil {
		return berth.Sweep{}, err
	}
	return s.health.Sweep(ctx, cmp.Or(limit, 100))
}
