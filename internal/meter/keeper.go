package meter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
	levels := []span{
		{berth.ByMinute, berth.ByHour, time.Hour, k.Minutes},
		{berth.ByHour, berth.ByDay, day, k.Hours},
	}
	var errs []error
	for _, l := range levels {
		orgs, err := k.toSum(ctx, l, now)
		errs = append(errs, err)
		for _, org := range orgs {
			errs = append(errs, k.sumUp(ctx, org, l, now))
		}
	}
	// Nothing goes before it was summed up.
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, l := range levels {
		before := now.Add(-l.kept)
		if over := l.over(now); before.After(over) {
			before = over
		}
		if err := k.forget(ctx, l.from, before); err != nil {
			return err
		}
	}
	return k.forget(ctx, berth.ByDay, now.Add(-k.Days))
}

func orDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// toSum lists the organizations with finer periods that no coarser one holds yet.
// Periods are only added after the newest, so to compare the newest of both levels is
// enough.
func (k *Keeper) toSum(ctx context.Context, s span, now time.Time) (orgs []string, err error) {
	err = k.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		orgs, err = tx.OrganizationsToSum(ctx, s.from, s.to, s.over(now))
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

// of is where the coarser period begins that a time lies in.
func (s span) of(t time.Time) time.Time { return t.UTC().Truncate(s.length) }

// over is where the coarser period begins that is under way.
func (s span) over(now time.Time) time.Time { return s.of(now.Add(-settling)) }

// sumUp makes the coarser periods of one tenant that are over. The two newest
// are made anew, as long as the finer ones are there from the beginning; else what
// came since is added: what was used while Berth was away is stored late, as a period
// that began long ago.
func (k *Keeper) sumUp(ctx context.Context, org string, s span, now time.Time) error {
	over := s.over(now)
	var done, sums []berth.Usage
	begin := over
	err := k.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		oldest, err := tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org, Resolution: s.from, From: time.Unix(0, 0), To: over, Limit: 1})
		if err != nil || len(oldest) == 0 {
			return err
		}
		begin = s.of(oldest[0].Start)
		if done, err = tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org, Resolution: s.to, From: begin, To: over, Limit: 1 << 20}); err != nil {
			return err
		}
		var last time.Time // that what came since is added to
		if n := len(done); n > 0 {
			begin, last = done[n-1].End, done[n-1].Start
			for _, newest := range done[max(n-2, 0):] {
				if !newest.Start.Before(oldest[0].Start) {
					begin, last = s.of(newest.Start), time.Time{}
					break
				}
			}
		}
		sums, err = tx.SumUsage(ctx, store.UsageSum{OrganizationID: org, From: s.from, To: s.to, Begin: begin, End: over, And: last})
		return err
	})
	if err != nil || unchanged(done, sums) {
		return err
	}
	return k.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := tx.DropUsage(ctx, org, s.to, begin, over); err != nil {
			return err
		}
		return tx.PutUsage(ctx, sums)
	})
}

// unchanged reports whether sums are the newest of done: periods are only ever
// added at the end.
func unchanged(done, sums []berth.Usage) bool {
	if len(sums) == 0 {
		return true
	}
	if len(sums) > len(done) {
		return false
	}
	return slices.EqualFunc(done[len(done)-len(sums):], sums, func(a, b berth.Usage) bool {
		return a.Start.Equal(b.Start) && a.End.Equal(b.End)
	})
}

func (k *Keeper) forget(ctx context.Context, resolution berth.Resolution, before time.Time) error {
	return store.Forget(ctx, k.Store, func(tx store.Tx, limit int) (int, error) {
		return tx.ForgetUsage(ctx, resolution, before, limit)
	})
}
