package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unite-hub/berth/internal/meter"
)

// sampling reads what the kernel counts of many real containers, as the meter
// does, beside the Engine's ways to learn the same.
func (b *bench) sampling(ctx context.Context) (err error) {
	n := b.pick(300, 30)
	var mu sync.Mutex
	var ids []string
	defer func() {
		g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
		g.SetLimit(8)
		for _, id := range ids {
			g.Go(func() error { return b.raw.call(gctx, "DELETE", "/containers/"+id+"?force=1", nil, nil) })
		}
		err = errors.Join(err, g.Wait())
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for range n {
		g.Go(func() error {
			var id struct{ ID string }
			err := b.raw.call(gctx, "POST", "/containers/create", object{"Image": image, "Env": []string{"PORT=3000"},
				"HostConfig": object{"NetworkMode": "none", "Memory": 64 << 20}}, &id)
			if err != nil {
				return err
			}
			mu.Lock()
			ids = append(ids, id.ID)
			mu.Unlock()
			return b.raw.call(gctx, "POST", "/containers/"+id.ID+"/start", nil, nil)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	kernel := meter.NewKernel("/sys/fs/cgroup", "/proc")
	var cpu, wall sample
	for range b.pick(21, 5) {
		began, used := time.Now(), ownCPU()
		for _, id := range ids {
			if _, ok := kernel.Sample(id, began); !ok {
				return fmt.Errorf("container %s can't be sampled", id)
			}
		}
		cpu, wall = append(cpu, ownCPU()-used), append(wall, time.Since(began))
	}
	fmt.Printf("   one sweep over %d containers         %s of CPU (bound 50 ms at 300), p95 %s; %s by the clock\n", n, fine(cpu.median()), fine(cpu.quantile(.95)), fine(wall.median()))
	began := time.Now()
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, id := range ids {
		g.Go(func() error {
			return b.raw.call(gctx, "GET", "/containers/"+id+"/stats?stream=false&one-shot=true", nil, nil)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	api := time.Since(began)
	fmt.Printf("   the Engine's stats API, 8 at a time  %.0f × as long   %s\n", float64(api)/float64(wall.median()), ms(api))
	began = time.Now()
	if out, err := exec.CommandContext(ctx, "docker", "stats", "--no-stream").CombinedOutput(); err != nil {
		return fmt.Errorf("docker stats: %w\n%s", err, out)
	}
	fmt.Printf("   docker stats --no-stream             %.0f × as long   %s\n", float64(time.Since(began))/float64(wall.median()), ms(time.Since(began)))
	return nil
}

// ownCPU is what this process has used, of all its threads.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
