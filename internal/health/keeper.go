package health

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// KeeperConfig says how long the record of probes is kept. Zero fields get the
// defaults.
type KeeperConfig struct {
	Probes time.Duration // single ones; 24 h
	Hours  time.Duration // 90 days
	Days   time.Duration // 3 years
	Every  time.Duration // between rounds; 5 min
	Batch  int           // rows that one transaction writes at most, so that no writer waits long; 500
}

func (c *KeeperConfig) defaults() {
	const day = 24 * time.Hour
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Probes, day}, {&c.Hours, 90 * day}, {&c.Days, 3 * 365 * day}, {&c.Every, 5 * time.Minute}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if c.Batch <= 0 {
		c.Batch = 500
	}
}

// A period is summed a little after its end, because probes are written in
// batches, and for a while once more in each round, for what comes late.
const (
	lateness = time.Minute
	sumAgain = 15 * time.Minute
)

// Keeper sums probes to hours and hours to days, and drops what is older than
// its time. Nothing is dropped before it was summed.
type Keeper struct {
	KeeperConfig
	store  store.Store
	log    *slog.Logger
	summed map[berth.Resolution]time.Time // begin of the newest period that this keeper has summed
}

// NewKeeper returns a keeper for Run.
func NewKeeper(c KeeperConfig, s store.Store, log *slog.Logger) *Keeper {
	c.defaults()
	return &Keeper{KeeperConfig: c, store: s, log: log, summed: map[berth.Resolution]time.Time{}}
}

// Run keeps the record until ctx ends, and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.Every)
	defer tick.Stop()
	for {
		if err := k.Round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.log.Warn("the record of health was not kept", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round sums and drops once, as of now. It may be cut short at any place: the
// next one goes on there.
func (k *Keeper) Round(ctx context.Context, now time.Time) error {
	for _, l := range []level{
		{"", berth.ByHour, time.Minute, time.Hour, k.Probes},
		{berth.ByHour, berth.ByDay, time.Hour, 24 * time.Hour, k.Hours},
	} {
		if err := k.sum(ctx, l, now); err != nil {
			return err
		}
		// What is summed again must be whole still, so only whole periods go.
		if err := k.drop(ctx, l.from, now.Add(-l.keep).Truncate(l.length)); err != nil {
			return err
		}
	}
	return k.drop(ctx, berth.ByDay, now.Add(-k.Days))
}

// level is one way of summing up.
type level struct {
	from, to berth.Resolution // from "" are single probes
	slice    time.Duration    // that the database sums at once, so that it holds few rows
	length   time.Duration    // of a period of to
	keep     time.Duration    // of rows of from
}

// sum writes the periods that are over, from the last one that was written on:
// that one once more, for what came late or was cut short. What a clock that was
// ahead wrote into the future waits until it is over.
func (k *Keeper) sum(ctx context.Context, l level, now time.Time) error {
	until := now.Add(-lateness).Truncate(l.length)
	var oldest, last time.Time
	err := k.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		if oldest, _, err = tx.HealthSpan(ctx, l.from, until); err == nil {
			_, last, err = tx.HealthSpan(ctx, l.to, until)
		}
		return err
	})
	if err != nil || oldest.IsZero() {
		return err
	}
	begin := later(oldest.Truncate(l.length), last)
	if begin.Equal(k.summed[l.to]) && now.After(begin.Add(l.length+sumAgain)) {
		begin = begin.Add(l.length)
	}
	for !begin.Add(l.length).After(until) {
		if err := k.sumOne(ctx, l, begin); err != nil {
			return err
		}
		k.summed[l.to] = begin
		begin = begin.Add(l.length)
	}
	return nil
}

// sumOne reads one period slice by slice and writes it in batches. What is cut
// short is done again: the newest period there is always is.
func (k *Keeper) sumOne(ctx context.Context, l level, begin time.Time) error {
	sums := map[string]berth.HealthPeriod{} // by tenant
	for at := begin; at.Before(begin.Add(l.length)); at = at.Add(l.slice) {
		err := k.store.View(ctx, berth.System(), func(tx store.Tx) error {
			parts, err := tx.SumHealth(ctx, l.to, at, at.Add(l.slice))
			for _, p := range parts {
				sums[p.TenantID] = together(sums[p.TenantID], p, begin)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	periods := slices.SortedFunc(maps.Values(sums), func(a, b berth.HealthPeriod) int { return strings.Compare(a.TenantID, b.TenantID) })
	for batch := range slices.Chunk(periods, k.Batch) {
		err := k.store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.PutHealth(ctx, batch) })
		if err != nil {
			return err
		}
	}
	return nil
}

// together is the sum of two parts of the period that begins then.
func together(a, b berth.HealthPeriod, begin time.Time) berth.HealthPeriod {
	b.Start = begin
	b.Healthy += a.Healthy
	b.Unhealthy += a.Unhealthy
	b.Timeouts += a.Timeouts
	b.ResponseTotal += a.ResponseTotal
	b.ResponseMax = max(a.ResponseMax, b.ResponseMax)
	return b
}

func (k *Keeper) drop(ctx context.Context, r berth.Resolution, before time.Time) error {
	return store.Forget(ctx, k.store, func(tx store.Tx, limit int) (int, error) {
		return tx.ForgetHealth(ctx, r, before, limit)
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
