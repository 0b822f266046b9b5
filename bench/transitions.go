package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
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
	ratio := float64(ours.median()) / float64(stopped.median())
	compare("deploy; raw: create, start, probe, stop ("+b.bound(ratio, 1.15)+")", stopped, ours)
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
	other, _, err := b.raw.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.raw.remove(context.WithoutCancel(ctx), other)) }()
	m := &moving{bench: b, org: org, addr: addr, other: other, load: &testbed.Load{URL: "http://" + addr + "/", Rate: rate},
		http: &http.Client{Timeout: 5 * time.Second}}
	rounds := b.pick(15, 3)
	if err := m.run(ctx, rounds); err != nil {
		return err
	}
	all := m.first
	all.Add(m.during)
	all.Add(m.beside)
	all.Add(m.quiet)
	fmt.Printf("   %d requests at %d a second, %d changes: %d failed (%s) %q; %d waited for one of 256 connections, %d left the load itself more than 5 ms late\n",
		all.Requests, rate, rounds, all.Failed, b.bound(float64(all.Failed), 0), all.Causes, all.Waited, all.Behind)
	fmt.Printf("   %d WebSockets open at a change: %d broken before the new version answered and %v later (%s); then we closed the others, so that the drain could end\n",
		m.opened, m.broken, watched, b.bound(float64(m.broken), 0))
	ratio := float64(m.during.P(.99)) / float64(m.beside.P(.99))
	fmt.Printf("   p99 during changes                 %.2f × p99 while the raw API makes and removes one unrelated container (%s)   p50 %s / %s / %s, p99 %s / %s / %s (changes / unrelated / quiet)\n",
		ratio, b.bound(ratio, 1.25), fine(m.during.P(.5)), fine(m.beside.P(.5)), fine(m.quiet.P(.5)), fine(m.during.P(.99)), fine(m.beside.P(.99)), fine(m.quiet.P(.99)))
	return b.berth.remove(ctx, org)
}

// watched is for how long WebSockets are used after the new version answers.
const watched = 4 * time.Second // the drain's deadline is 30 s

// moving is a tenant that changes under load.
type moving struct {
	*bench
	org, addr string
	other     tenant // in whose network the raw API makes its container
	load      *testbed.Load
	http      *http.Client

	first, during, beside, quiet testbed.Tally // by when the request was due
	opened, broken               int           // WebSockets
	took                         time.Duration // by the last change
}

// run is quiet, changes the tenant, and lets the raw API make and remove a
// container for as long, again and again under one load. Which of the two comes
// first takes turns.
func (m *moving) run(ctx context.Context, rounds int) error {
	m.load.Start(&m.first)
	defer m.load.Stop()
	if err := pause(ctx, 2*time.Second); err != nil { // connections are made by then
		return err
	}
	m.took = 8 * time.Second // before there was any
	for i := range rounds {
		m.load.Into(&m.quiet)
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
		phases := []func(context.Context, int) error{m.change, m.churn}
		for k := range phases {
			if err := phases[(i+k)%2](ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// change deploys another version, or goes back to the one before.
func (m *moving) change(ctx context.Context, i int) error {
	version, err := m.version(ctx)
	if err != nil {
		return err
	}
	open, err := m.sockets()
	if err != nil {
		return err
	}
	m.opened += len(open)
	m.load.Into(&m.during)
	path, body := "deploy", object{"imageTag": []string{nextImage, image}[i%2]}
	if i%3 == 2 {
		path, body = "rollback", object{}
	}
	over := make(chan error, 1)
	go func() {
		broken, err := use(ctx, open, func() (bool, error) { now, err := m.version(ctx); return now != version, err })
		m.broken += broken
		over <- err
	}()
	begin := time.Now()
	err = m.berth.call(ctx, "POST", "/api/tenants/"+m.org+"/"+path+"?wait=120", body, nil)
	m.took = time.Since(begin)
	return errors.Join(err, <-over)
}

// churn makes a container with the raw API and removes it: what a change costs
// the Engine, at its pace, while as many WebSockets are used.
func (m *moving) churn(ctx context.Context, _ int) error {
	open, err := m.sockets()
	if err != nil {
		return err
	}
	m.load.Into(&m.beside)
	begin := time.Now()
	over := make(chan error, 1)
	go func() {
		_, err := use(ctx, open, func() (bool, error) { return time.Since(begin) > m.took-watched, nil })
		over <- err
	}()
	body := containerBody(m.other.name, image, 0.5)
	delete(body["HostConfig"].(object), "Mounts")
	id, err := m.raw.run(ctx, m.other.name, m.other.name+"_churn", body)
	if err != nil {
		return errors.Join(err, <-over)
	}
	if err := errors.Join(pause(ctx, m.took-time.Since(begin)), <-over); err != nil {
		return err
	}
	if err := m.raw.call(ctx, "POST", "/containers/"+id+"/stop?t=10", nil, nil); err != nil {
		return err
	}
	return m.raw.call(ctx, "DELETE", "/containers/"+id+"?force=1", nil, nil)
}

// version is what the tenant answers to be.
func (m *moving) version(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.addr+"/api/health", http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := m.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var body struct{ Version string }
	return body.Version, json.NewDecoder(res.Body).Decode(&body)
}

func (m *moving) sockets() (open []*testbed.Socket, err error) {
	for range 5 {
		one, err := testbed.OpenSocket(m.addr)
		if err != nil {
			return nil, err
		}
		open = append(open, one)
	}
	return open, nil
}

// use uses sockets until something has come about, and a while longer, then
// closes them: from then on nothing holds up the end of a change.
func use(ctx context.Context, open []*testbed.Socket, about func() (bool, error)) (broken int, err error) {
	defer func() {
		for _, s := range open {
			_ = s.Close()
		}
	}()
	var until time.Time
	for end := time.Now().Add(time.Minute); until.IsZero() || time.Now().Before(until); {
		open = slices.DeleteFunc(open, func(s *testbed.Socket) bool {
			bad := s.Echo("still here") != nil
			if bad {
				broken++
			}
			return bad
		})
		if until.IsZero() {
			switch came, err := about(); {
			case err != nil:
				return broken, err
			case came:
				until = time.Now().Add(watched)
			case time.Now().After(end):
				return broken, errors.New("no other version answered within a minute")
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return broken, err
		}
	}
	return broken, nil
}

func fine(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
