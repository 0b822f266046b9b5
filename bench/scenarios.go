package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

func (b *bench) pick(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

func (b *bench) oneAfterAnother(ctx context.Context) error {
	var rawTimes, berthTimes sample
	for i := range b.pick(20, 4) {
		sides := []func() error{
			func() error { return one(ctx, &rawTimes, b.raw.start, b.raw.remove) },
			func() error { return one(ctx, &berthTimes, b.berth.start, b.berth.remove) },
		}
		// Neither side always goes first.
		for k := range sides {
			if err := sides[(i+k)%2](); err != nil {
				return err
			}
		}
	}
	compare("provision + start", rawTimes, berthTimes)
	return nil
}

// one starts one tenant, notes how long it took, and removes it.
func one[T any](ctx context.Context, times *sample, start func(context.Context) (T, time.Duration, error), remove func(context.Context, T) error) error {
	t, took, err := start(ctx)
	if err != nil {
		return err
	}
	*times = append(*times, took)
	return remove(ctx, t)
}

// block starts n tenants at four at a time, then removes them alike.
func block[T any](ctx context.Context, n int, start func(context.Context) (T, time.Duration, error), remove func(context.Context, T) error) (each sample, up, down time.Duration, err error) {
	var mu sync.Mutex
	var all []T
	begin := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for range n {
		g.Go(func() error {
			t, took, err := start(gctx)
			mu.Lock()
			defer mu.Unlock()
			all, each = append(all, t), append(each, took)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, 0, err
	}
	up = time.Since(begin)
	begin = time.Now()
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, t := range all {
		g.Go(func() error { return remove(gctx, t) })
	}
	err = g.Wait()
	return each, up, time.Since(begin), err
}

func (b *bench) fourAtATime(ctx context.Context) error {
	var rawEach, berthEach, rawUp, berthUp, rawDown, berthDown sample
	for range b.pick(3, 1) {
		n := b.pick(24, 8)
		each, up, down, err := block(ctx, n, b.raw.start, b.raw.remove)
		if err != nil {
			return err
		}
		rawEach, rawUp, rawDown = append(rawEach, each...), append(rawUp, up), append(rawDown, down)
		each, up, down, err = block(ctx, n, b.berth.start, b.berth.remove)
		if err != nil {
			return err
		}
		berthEach, berthUp, berthDown = append(berthEach, each...), append(berthUp, up), append(berthDown, down)
	}
	compareMedians("provision + start, each", rawEach, berthEach)
	compareTotals("provision + start, whole blocks", rawUp, berthUp)
	compareTotals("deprovision, whole blocks", rawDown, berthDown)
	return nil
}

func (b *bench) idle(ctx context.Context) error {
	window := time.Duration(b.pick(60, 10)) * time.Second
	if err := b.idleAt(ctx, 0, window); err != nil {
		return err
	}
	n := b.pick(100, 10)
	var mu sync.Mutex
	var orgs []string
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for range n {
		g.Go(func() error {
			org, _, err := b.berth.start(gctx)
			mu.Lock()
			defer mu.Unlock()
			orgs = append(orgs, org)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := pause(ctx, 15*time.Second); err != nil { // until the loop has nothing left to do
		return err
	}
	if err := b.idleAt(ctx, n, window); err != nil {
		return err
	}
	if err := b.list(ctx, n); err != nil {
		return err
	}
	// The same tenants without their control plane: the Engine's own idle.
	if err := b.berth.Stop(); err != nil {
		return err
	}
	alone, err := engineCPU(ctx, window)
	if err != nil {
		return err
	}
	fmt.Printf("   Engine's own idle at %d tenants     %.2f %% of one core\n", n, alone)
	if err := b.berth.Start(ctx); err != nil {
		return err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, org := range orgs {
		g.Go(func() error { return b.berth.remove(gctx, org) })
	}
	return g.Wait()
}

func (b *bench) idleAt(ctx context.Context, n int, window time.Duration) error {
	before, err := cpuOf(b.berth.Pid())
	if err != nil {
		return err
	}
	engine, err := engineCPU(ctx, window)
	if err != nil {
		return err
	}
	after, err := cpuOf(b.berth.Pid())
	if err != nil {
		return err
	}
	rss, err := rssOf(b.berth.Pid())
	if err != nil {
		return err
	}
	fmt.Printf("   control plane at %3d tenants, idle  %.2f %% of one core, %.1f MB resident; Engine meanwhile %.2f %% of one core\n",
		n, 100*(after-before).Seconds()/window.Seconds(), float64(rss)/(1<<20), engine)
	return nil
}

// list compares `berth ls` with one list call of the raw API.
func (b *bench) list(ctx context.Context, n int) error {
	var rawTimes, berthTimes sample
	for range b.pick(10, 3) {
		begin := time.Now()
		if err := b.raw.call(ctx, "GET", "/containers/json?all=1", nil, nil); err != nil {
			return err
		}
		rawTimes = append(rawTimes, time.Since(begin))
		begin = time.Now()
		if out, err := b.berth.Command(ctx, "ls", "-o", "json").CombinedOutput(); err != nil {
			return fmt.Errorf("berth ls: %w\n%s", err, out)
		}
		berthTimes = append(berthTimes, time.Since(begin))
	}
	compare(fmt.Sprintf("berth ls (a process) at %d", n), rawTimes, berthTimes)
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
