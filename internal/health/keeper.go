package health

import (
	"context"
	"log/slog"
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
	Batch  int           // rows that one transaction drops at most; 2,000
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
		c.Batch = 2000
	}
}

// lateness is how long after its end a period is summed: probes are written in
// batches, a little after they were made.
const lateness = time.Minute

// Keeper sums probes to hours and hours to days, and drops what is older than
// its time. Nothing is dropped before it was summed.
type Keeper struct {
	KeeperConfig
	store store.Store
	log   *slog.Logger
}

// NewKeeper returns a keeper for Run.
func NewKeeper(c KeeperConfig, s store.Store, log *slog.Logger) *Keeper {
	c.defaults()
	return &Keeper{KeeperConfig: c, store: s, log: log}
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
	for _, level := range []struct {
		from, to berth.Resolution // from "" are single probes
		length   time.Duration    // of a period of to
		keep     time.Duration    // of rows of from
	}{
		{"", berth.ByHour, time.Hour, k.Probes},
		{berth.ByHour, berth.ByDay, 24 * time.Hour, k.Hours},
	} {
		// What is summed again must be whole still, so only whole periods go.
		before := now.Add(-level.keep).Truncate(level.length)
		if err := k.sum(ctx, level.from, level.to, span{level.length, before, now.Add(-lateness).Truncate(level.length)}); err != nil {
			return err
		}
		if err := k.drop(ctx, level.from, before); err != nil {
			return err
		}
	}
	return k.drop(ctx, berth.ByDay, now.Add(-k.Days))
}

// span is what periods of a length may be summed: those that end at until or
// before; and, again, those whose rows are all there because they begin at
// whole or later.
type span struct {
	length       time.Duration
	whole, until time.Time
}

// sum writes the periods that are over, from the last one that was written on:
// that one once more, for what came late. What a clock that was ahead wrote into
// the future waits until it is over.
func (k *Keeper) sum(ctx context.Context, from, to berth.Resolution, s span) error {
	var oldest, last time.Time
	err := k.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		if oldest, _, err = tx.HealthSpan(ctx, from, s.until); err == nil {
			_, last, err = tx.HealthSpan(ctx, to, s.until)
		}
		return err
	})
	if err != nil || oldest.IsZero() {
		return err
	}
	begin := oldest.Truncate(s.length)
	switch {
	case last.IsZero():
	case last.Before(s.whole): // rows of it may be dropped already
		begin = later(begin, last.Add(s.length))
	default:
		begin = later(begin, last)
	}
	for !begin.Add(s.length).After(s.until) {
		err := k.sumOne(ctx, to, begin, begin.Add(s.length))
		if err != nil {
			return err
		}
		begin = begin.Add(s.length)
	}
	return nil
}

func (k *Keeper) sumOne(ctx context.Context, to berth.Resolution, begin, end time.Time) error {
	var periods []berth.HealthPeriod
	err := k.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		periods, err = tx.SumHealth(ctx, to, begin, end)
		return err
	})
	// All or nothing: the newest period there is counts as written for everyone.
	if err == nil && len(periods) > 0 {
		err = k.store.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.PutHealth(ctx, periods) })
	}
	return err
}

func (k *Keeper) drop(ctx context.Context, r berth.Resolution, before time.Time) error {
	return k.batches(ctx, func(tx store.Tx) (int, error) { return tx.ForgetHealth(ctx, r, before, k.Batch) })
}

// batches forgets until a batch is not full, so that no writer waits long.
func (k *Keeper) batches(ctx context.Context, forget func(store.Tx) (int, error)) error {
	for {
		n := 0
		err := k.store.InTx(ctx, berth.System(), func(tx store.Tx) (err error) {
			n, err = forget(tx)
			return err
		})
		if err != nil || n < k.Batch {
			return err
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
