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
	defer func() { err = errors.Join(err, b.raw.close()) }()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for range n {
		g.Go(func() error {
			var id struct{ ID string }
			_, name := b.raw.name()
			err := b.raw.call(gctx, "POST", "/containers/create?name="+name, object{"Image": image, "Env": []string{"PORT=3000"},
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
	started := time.Now() // the same in every sweep: another one would have each container's files found anew
	sweep := func() error {
		for _, id := range ids {
			if _, ok := kernel.Sample(id, started); !ok {
				return fmt.Errorf("container %s can't be sampled", id)
			}
		}
		return nil
	}
	if err := sweep(); err != nil {
		return err
	}
	var cpu, wall sample
	for range b.pick(21, 5) {
		began, used := time.Now(), ownCPU()
		if err := sweep(); err != nil {
			return err
		}
		cpu, wall = append(cpu, ownCPU()-used), append(wall, time.Since(began))
	}
	fmt.Printf("   one sweep over %d containers         %s of CPU (%s, in ms at 300), p95 %s; %s by the clock\n", n, fine(cpu.median()),
		b.bound(float64(cpu.median().Microseconds())/1000, 50), fine(cpu.quantile(.95)), fine(wall.median()))
	peers := []struct {
		name string
		ask  func() (own time.Duration, err error)
	}{
		{"the Engine's stats API, 8 at a time", func() (time.Duration, error) { return b.askStats(ctx, ids) }},
		{"docker stats --no-stream", func() (time.Duration, error) { return dockerStats(ctx) }},
	}
	for _, p := range peers {
		engine, err := engineTime()
		if err != nil {
			return err
		}
		began := time.Now()
		own, err := p.ask()
		if err != nil {
			return err
		}
		took := time.Since(began)
		after, err := engineTime()
		if err != nil {
			return err
		}
		engine = after - engine
		fmt.Printf("   %-36s %.0f × the CPU (asking %s, the Engine %s), %.0f × as long (%s)\n", p.name,
			float64(own+engine)/float64(cpu.median()), ms(own), ms(engine), float64(took)/float64(wall.median()), ms(took))
	}
	return nil
}

// askStats asks the Engine for each container's figures, and returns what that
// cost who asks.
func (b *bench) askStats(ctx context.Context, ids []string) (own time.Duration, err error) {
	used := ownCPU()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, id := range ids {
		g.Go(func() error {
			return b.raw.call(ctx, "GET", "/containers/"+id+"/stats?stream=false&one-shot=true", nil, nil)
		})
	}
	err = g.Wait()
	return ownCPU() - used, err
}

func dockerStats(ctx context.Context) (own time.Duration, err error) {
	cmd := exec.CommandContext(ctx, "docker", "stats", "--no-stream")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("docker stats: %w\n%s", err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// ownCPU is what this process has used, of all its threads.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
