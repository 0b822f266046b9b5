package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unite-hub/berth/internal/testbed"
)

// restartBerth lets the control plane run with other flags.
func (b *bench) restartBerth(ctx context.Context, args ...string) error {
	if err := b.berth.Stop(); err != nil {
		return err
	}
	b.berth.Args = args
	return b.berth.Start(ctx)
}

// deploy replaces a running container by one of another version: Berth without
// observation beside the same with the raw API.
func (b *bench) deploy(ctx context.Context) (err error) {
	if err := b.restartBerth(ctx, "--observe", "0s"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.restartBerth(context.WithoutCancel(ctx))) }()
	org, _, err := b.berth.start(ctx)
	if err != nil {
		return err
	}
	t, _, err := b.raw.start(ctx)
	if err != nil {
		return err
	}
	var stopped, whole, ours sample
	for i := range b.pick(30, 4) {
		next := []string{nextImage, image}[i%2]
		sides := []func() error{
			func() error {
				s, w, err := b.raw.replace(ctx, &t, next)
				stopped, whole = append(stopped, s), append(whole, w)
				return err
			},
			func() error {
				begin := time.Now()
				err := b.berth.call(ctx, "POST", "/api/tenants/"+org+"/deploy?wait=60", object{"imageTag": next}, nil)
				ours = append(ours, time.Since(begin))
				return err
			},
		}
		for k := range sides {
			if err := sides[(i+k)%2](); err != nil {
				return err
			}
		}
	}
	compare("deploy; raw: create, start, probe, stop (bound 1.15)", stopped, ours)
	compare("deploy; raw: the same, and remove", whole, ours)
	return errors.Join(b.berth.remove(ctx, org), b.raw.remove(ctx, t))
}

// moves changes a tenant's version again and again under a steady load, and in
// between lets the raw API make and remove a container that has nothing to do
// with it under the same load: both phases meet the same machine.
func (b *bench) moves(ctx context.Context) (err error) {
	const rate = 500
	if err := b.restartBerth(ctx, "--observe", "3s"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.restartBerth(context.WithoutCancel(ctx))) }()
	var made struct{ ExternalPort int }
	org, _, err := b.berth.startFrom(ctx, object{"imageTag": image, "cpuLimit": 1})
	if err != nil {
		return err
	}
	if err := b.berth.call(ctx, "GET", "/api/tenants/"+org, nil, &made); err != nil {
		return err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", made.ExternalPort)
	sockets := &sockets{addr: addr}
	load := &testbed.Load{URL: "http://" + addr + "/", Rate: rate}
	load.Start()
	stop := func() testbed.Tally { return load.Stop() }
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	load.Cut() // connections are made by now
	var during, beside, quiet testbed.Tally
	rounds := b.pick(15, 3)
	for i := range rounds {
		if err := pause(ctx, time.Duration(b.pick(5, 1))*time.Second); err != nil {
			return err
		}
		quiet.Add(load.Cut())
		if err := sockets.open(); err != nil {
			return err
		}
		path, body := "deploy", object{"imageTag": []string{nextImage, image}[i%2]}
		if i%3 == 2 {
			path, body = "rollback", object{}
		}
		watch := sockets.watch(4 * time.Second) // the drain's deadline is 30 s
		begin := time.Now()
		if err := b.berth.call(ctx, "POST", "/api/tenants/"+org+"/"+path+"?wait=120", body, nil); err != nil {
			return err
		}
		took := time.Since(begin)
		if err := watch(); err != nil {
			return err
		}
		during.Add(load.Cut())
		if err := b.churn(ctx, took); err != nil {
			return err
		}
		beside.Add(load.Cut())
	}
	quiet.Add(stop())
	stop = nil
	all := during
	all.Add(beside)
	all.Add(quiet)
	fmt.Printf("   %d requests at %d a second, %d changes: %d failed, %d found no connection (bound 0) %q\n",
		all.Requests, rate, rounds, all.Failed, all.Late, all.Causes)
	fmt.Printf("   %d WebSockets open at a change: %d broken before traffic had moved and %v later (bound 0)\n", sockets.opened, sockets.broken, 4*time.Second)
	fmt.Printf("   p99 during changes                 %.2f × p99 beside an unrelated create and remove (bound 1.25)   p50 %s / %s / %s, p99 %s / %s / %s (changes / unrelated / quiet)\n",
		float64(during.P(.99))/float64(beside.P(.99)), fine(during.P(.5)), fine(beside.P(.5)), fine(quiet.P(.5)), fine(during.P(.99)), fine(beside.P(.99)), fine(quiet.P(.99)))
	return b.berth.remove(ctx, org)
}

func fine(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// churn makes and removes containers with the raw API for a while.
func (b *bench) churn(ctx context.Context, d time.Duration) error {
	for begin := time.Now(); time.Since(begin) < d; {
		t, _, err := b.raw.start(ctx)
		if err != nil {
			return err
		}
		if err := b.raw.remove(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// sockets are WebSockets that are open while a version changes.
type sockets struct {
	addr           string
	now            []*testbed.Socket
	opened, broken int
}

func (s *sockets) open() error {
	for _, old := range s.now {
		_ = old.Close() // of the version before
	}
	s.now = nil
	for range 5 {
		one, err := testbed.OpenSocket(s.addr)
		if err != nil {
			return err
		}
		s.now = append(s.now, one)
		s.opened++
	}
	return nil
}

// watch uses the sockets for a while, then closes them: from then on nothing
// holds up the end of the change. The returned function waits for that.
func (s *sockets) watch(d time.Duration) (wait func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for begin := time.Now(); time.Since(begin) < d; {
			for i, one := range s.now {
				if one == nil {
					continue
				}
				if err := one.Echo("still here"); err != nil {
					s.broken++
					s.now[i] = nil
				}
			}
			<-time.After(20 * time.Millisecond)
		}
		for _, one := range s.now {
			if one != nil {
				_ = one.Close()
			}
		}
		s.now = nil
	}()
	return func() error { <-done; return nil }
}
