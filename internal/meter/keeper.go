package meter

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Keeper sums periods up to hours and days, and forgets what is older than it
// is to be kept.
type Keeper struct {
	Store   store.Store
	Minutes time.Duration // that periods of a minute are kept; 48 h
	Hours   time.Duration // the same of an hour; 90 days
	Days    time.Duration // the same of a day; 3 years
	Log     *slog.Logger
}

const (
	keepPause = 5 * time.Minute
	settling  = 2 * time.Minute // after an hour's end, for its last period to be stored
	batch     = 2000            // rows dropped in one transaction: others write in between
	day       = 24 * time.Hour
)

// Run keeps until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(keepPause)
	defer tick.Stop()
	for {
		if err := k.Keep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.Log.Warn("usage could not be summed up", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Keep does what is due. It may be cut off anywhere and repeated.
func (k *Keeper) Keep(ctx context.Context, now time.Time) error {
	orDefault(&k.Minutes, 48*time.Hour)
	orDefault(&k.Hours, 90*day)
	orDefault(&k.Days, 3*365*day)
	orgs, err := k.organizations(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, org := range orgs {
		errs = append(errs, k.sumUp(ctx, org, span{berth.ByMinute, berth.ByHour, time.Hour, k.Minutes}, now),
			k.sumUp(ctx, org, span{berth.ByHour, berth.ByDay, day, k.Hours}, now))
	}
	// Nothing goes before it was summed up.
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, r := range []struct {
		resolution berth.Resolution
		kept       time.Duration
	}{{berth.ByMinute, k.Minutes}, {berth.ByHour, k.Hours}, {berth.ByDay, k.Days}} {
		if err := k.forget(ctx, r.resolution, now.Add(-r.kept)); err != nil {
			return err
		}
	}
	return nil
}

func orDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

func (k *Keeper) organizations(ctx context.Context) (orgs []string, err error) {
	err = k.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		orgs, err = tx.UsageOrganizations(ctx)
		return err
	})
	return orgs, err
}

// span is one way of summing up.
type span struct {
	from, to berth.Resolution
	length   time.Duration
	kept     time.Duration // how long the finer periods are there
}

// sumUp makes the coarser periods of one tenant that are over and were not made
// yet. The two newest are made anew each time: what was used while Berth was
// away is stored late, as a period that began long ago.
func (k *Keeper) sumUp(ctx context.Context, org string, s span, now time.Time) error {
	over := now.Add(-settling).UTC().Truncate(s.length) // where the one under way begins
	return k.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		begin := over.Add(-s.kept).Truncate(s.length)
		done, err := tx.ListUsage(ctx, org, s.to, begin, over, 1<<20)
		if err != nil {
			return err
		}
		if n := len(done); n > 0 {
			begin = done[n-1].Start.UTC().Truncate(s.length).Add(s.length)
			for _, newest := range done[max(n-2, 0):] {
				// Only what all finer periods are still there of is made anew.
				if at := newest.Start.UTC().Truncate(s.length); !at.Before(now.Add(-s.kept)) {
					begin = at
					break
				}
			}
		}
		if !begin.Before(over) {
			return nil
		}
		fine, err := tx.ListUsage(ctx, org, s.from, begin, over, 1<<20)
		if err != nil {
			return err
		}
		var sums []berth.Usage
		for len(fine) > 0 {
			end := fine[0].Start.UTC().Truncate(s.length).Add(s.length)
			n := 0
			for n < len(fine) && fine[n].Start.Before(end) {
				n++
			}
			sums = append(sums, berth.RollUp(s.to, fine[:n]))
			fine = fine[n:]
		}
		if len(sums) == 0 {
			return nil
		}
		if err := tx.DropUsage(ctx, org, s.to, begin, over); err != nil {
			return err
		}
		return tx.PutUsage(ctx, sums)
	})
}

func (k *Keeper) forget(ctx context.Context, resolution berth.Resolution, before time.Time) error {
	for {
		n := 0
		err := k.Store.InTx(ctx, berth.System(), func(tx store.Tx) (err error) {
			n, err = tx.ForgetUsage(ctx, resolution, before, batch)
			return err
		})
		if err != nil || n < batch {
			return err
		}
	}
}
