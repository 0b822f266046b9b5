package docker_test

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

func poll(t *testing.T, h *http.Client, a netip.AddrPort) {
	for {
		resp, err := h.Get("http://" + a.String() + "/health")
		if err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestZZBench(t *testing.T) {
	var n atomic.Int64
	o := options()
	o.BeforeRequest = func(*http.Request) error { n.Add(1); return nil }
	e := open(t, o)
	ctx := context.Background()
	e.Info(ctx)
	tr := &http.Transport{DisableKeepAlives: true}
	h := &http.Client{Transport: tr}
	raw := func(s berth.Stack) (string, string) {
		nw, err := shared.api.NetworkCreate(ctx, s.Network, client.NetworkCreateOptions{Driver: "bridge", IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: s.Subnet}}}})
		must(t, err)
		pl := int64(64)
		c, err := shared.api.ContainerCreate(ctx, client.ContainerCreateOptions{Name: berth.ContainerName(s.OrganizationID),
			Config:     &container.Config{Image: s.Services[0].Image, Env: []string{"PORT=3000"}},
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(s.Network), Resources: container.Resources{Memory: 256 << 20, MemorySwap: 256 << 20, NanoCPUs: 5e8, PidsLimit: &pl}}})
		must(t, err)
		_, err = shared.api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		must(t, err)
		i, err := shared.api.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		must(t, err)
		poll(t, h, netip.AddrPortFrom(i.Container.NetworkSettings.Networks[s.Network].IPAddress, 3000))
		return c.ID, nw.ID
	}
	var ours, theirs, rmOurs, rmTheirs []time.Duration
	for range 12 {
		s := stack(t)
		b := time.Now()
		c0 := n.Load()
		ob, err := e.Apply(ctx, s)
		must(t, err)
		c1 := n.Load()
		poll(t, h, ob.Containers[0].Address)
		ours = append(ours, time.Since(b))
		b = time.Now()
		must(t, e.Remove(ctx, berth.Removal{OrganizationID: s.OrganizationID}))
		rmOurs = append(rmOurs, time.Since(b))
		t.Log("calls", c1-c0, "remove", n.Load()-c1)
		s = stack(t)
		b = time.Now()
		c, nw := raw(s)
		theirs = append(theirs, time.Since(b))
		b = time.Now()
		_, err = shared.api.ContainerRemove(ctx, c, client.ContainerRemoveOptions{Force: true})
		must(t, err)
		_, err = shared.api.NetworkRemove(ctx, nw, client.NetworkRemoveOptions{})
		must(t, err)
		rmTheirs = append(rmTheirs, time.Since(b))
	}
	for _, x := range [][]time.Duration{ours, theirs, rmOurs, rmTheirs} {
		slices.Sort(x)
	}
	m := func(x []time.Duration) time.Duration { return (x[5] + x[6]) / 2 }
	t.Logf("serial: ours %v raw %v ratio %.2f; remove ours %v raw %v ratio %.2f", m(ours), m(theirs), float64(m(ours))/float64(m(theirs)), m(rmOurs), m(rmTheirs), float64(m(rmOurs))/float64(m(rmTheirs)))
	par := func(f func(berth.Stack)) time.Duration {
		var st []berth.Stack
		for range 12 {
			st = append(st, stack(t))
		}
		sem := make(chan struct{}, 4)
		var wg sync.WaitGroup
		b := time.Now()
		for _, s := range st {
			sem <- struct{}{}
			wg.Go(func() { f(s); <-sem })
		}
		wg.Wait()
		return time.Since(b)
	}
	var po, pr, ro, rr time.Duration
	for range 3 {
		var mu sync.Mutex
		var done []berth.Stack
		po += par(func(s berth.Stack) {
			ob, err := e.Apply(ctx, s)
			must(t, err)
			poll(t, h, ob.Containers[0].Address)
			mu.Lock()
			done = append(done, s)
			mu.Unlock()
		})
		var rawIDs [][2]string
		pr += par(func(s berth.Stack) {
			c, nw := raw(s)
			mu.Lock()
			rawIDs = append(rawIDs, [2]string{c, nw})
			mu.Unlock()
		})
		i := 0
		ro += par(func(berth.Stack) {
			mu.Lock()
			s := done[i]
			i++
			mu.Unlock()
			must(t, e.Remove(ctx, berth.Removal{OrganizationID: s.OrganizationID}))
		})
		i = 0
		rr += par(func(berth.Stack) {
			mu.Lock()
			s := rawIDs[i]
			i++
			mu.Unlock()
			_, err := shared.api.ContainerRemove(ctx, s[0], client.ContainerRemoveOptions{Force: true})
			must(t, err)
			_, err = shared.api.NetworkRemove(ctx, s[1], client.NetworkRemoveOptions{})
			must(t, err)
		})
	}
	t.Logf("parallel 4: ours %v raw %v ratio %.2f; remove %v %v ratio %.2f", po/36, pr/36, float64(po)/float64(pr), ro/36, rr/36, float64(ro)/float64(rr))
}
