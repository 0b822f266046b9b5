package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/testbed"
)

// Bounds at 10,000 tenants.
const (
	mostManyCore  = 25    // percent of one core
	mostManyMB    = 250   // resident
	mostManyTx    = 250   // ms of a writer transaction
	mostManyLS    = 30    // ms of berth ls --limit 100, at the median
	mostManyRatio = 1.2   // cost per tenant, of the largest size to the smallest
	mostTaken     = 2     // s until the first order after a start is taken
	mostCarried   = 5     // s until it is carried out
	mostLooked    = 60    // s until all tenants were looked at
	sumsEvery     = 300.  // s between rounds of sums, which the time measured need not hold one of
	hourlyEvery   = 3600. // s between those in which an hour is summed up
)

// manyFigures are what one size cost.
type manyFigures struct {
	size int
	core float64 // percent
	mb   float64 // resident
}

// tenThousand has control planes of 2,000, 5,000 and 10,000 tenants run in
// processes of their own, one after another, on each database: real loop,
// stores, monitor, meter, keepers, edge and API, on the fake engine.
func (b *bench) tenThousand(ctx context.Context) (err error) {
	t, _, err := b.raw.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.raw.remove(context.WithoutCancel(ctx), t)) }()
	addr, err := b.raw.address(ctx, t.name, t.container)
	if err != nil {
		return err
	}
	sizes := []int{2000, 5000, 10000}
	if b.quick {
		sizes = []int{2000}
	}
	if b.size > 0 {
		sizes = []int{b.size}
	}
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		if b.database != "" && b.database != database {
			continue
		}
		var all []manyFigures
		for _, size := range sizes {
			f, err := b.manyOn(ctx, database, manyOrder{Size: size, Address: addr, Container: t.container, Minutes: b.pick(150, 0), Profile: b.profileOf(database, size)})
			if err != nil {
				return fmt.Errorf("%d on %s: %w", size, database, err)
			}
			all = append(all, f)
		}
		if small, large := all[0], all[len(all)-1]; len(all) > 1 {
			times := float64(small.size) / float64(large.size)
			ratio, memory := times*large.core/small.core, times*large.mb/small.mb
			fmt.Printf("   %-10s cost per tenant at %d  %.2f × that at %d (%s); memory per tenant %.2f × (%s)\n",
				database, large.size, ratio, small.size, b.bound(ratio, mostManyRatio), memory, b.bound(memory, mostManyRatio))
		}
	}
	return nil
}

func (b *bench) manyOn(ctx context.Context, database string, order manyOrder) (f manyFigures, err error) {
	dir, err := os.MkdirTemp("", "berth-many")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	order.Database = "sqlite:" + filepath.Join(dir, "berth.db")
	if database == "PostgreSQL" {
		server, err := testbed.StartPostgres(ctx, "fsync=on", "shared_buffers=256MB")
		if err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		if err := server.CreateDatabase(ctx, "many", ""); err != nil {
			return f, err
		}
		order.Database = server.URL("many")
	}
	c, err := startChild(ctx, order)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := b.manyStart(ctx, database, order, c); err != nil {
		return f, err
	}
	return b.manyWatch(ctx, database, order, c)
}

// manyStart measures what happens right after a start.
func (b *bench) manyStart(ctx context.Context, database string, order manyOrder, c *manyChild) error {
	began := time.Now()
	taken, carried, err := c.firstOrder(ctx)
	if err != nil {
		return err
	}
	taken += c.ready.Ready
	carried += c.ready.Ready
	all, err := c.ask("all")
	if err != nil {
		return err
	}
	fmt.Printf("   %-10s %5d tenants, start   API after %.2f s; first order taken after %.2f s (%s), carried out after %.2f s (%s); all looked at after %.1f s (%s)\n"+
		"   %-10s               meanwhile: writer transactions at most %.0f ms (%s), %d looks, %d lists, %d stacks applied\n",
		database, order.Size, c.ready.Ready.Seconds(), taken.Seconds(), b.bound(taken.Seconds(), mostTaken), carried.Seconds(), b.bound(carried.Seconds(), mostCarried),
		all.All.Seconds(), b.bound(all.All.Seconds(), mostLooked), "", float64(all.Longest.Milliseconds()), all.Where, all.Looks, all.Lists, all.Applied)
	return pause(ctx, max(0, 35*time.Second-time.Since(began))) // every tenant was probed and measured twice
}

// manyWatch measures what the fleet costs while nothing happens.
func (b *bench) manyWatch(ctx context.Context, database string, order manyOrder, c *manyChild) (f manyFigures, err error) {
	window := time.Duration(b.pick(120, 20)) * time.Second
	if _, err := c.ask("profile"); err != nil {
		return f, err
	}
	before, err := cpuOf(c.cmd.Process.Pid)
	if err != nil {
		return f, err
	}
	began := time.Now()
	var process, call sample
	for time.Since(began) < window {
		if err := pause(ctx, 2*time.Second); err != nil {
			return f, err
		}
		at := time.Now()
		if err := c.list(ctx); err != nil {
			return f, err
		}
		call = append(call, time.Since(at))
		at = time.Now()
		if err := b.berthLS(ctx, c); err != nil {
			return f, err
		}
		process = append(process, time.Since(at))
	}
	after, err := cpuOf(c.cmd.Process.Pid)
	if err != nil {
		return f, err
	}
	took := time.Since(began)
	a, err := c.ask("measured")
	if err != nil {
		return f, err
	}
	rss, err := rssOf(c.cmd.Process.Pid)
	if err != nil {
		return f, err
	}
	held, err := c.ask("held") // after its memory was read: it collects garbage
	if err != nil {
		return f, err
	}
	sums, err := c.ask("sums")
	if err != nil {
		return f, err
	}
	ofSums := 100 * (sums.Sums.Seconds()/sumsEvery + sums.Hourly.Seconds()/hourlyEvery)
	f = manyFigures{size: order.Size, core: 100*(after-before).Seconds()/took.Seconds() + ofSums}
	fakes := float64(c.ready.Fakes) / (1 << 20)
	f.mb = float64(rss)/(1<<20) - fakes
	fmt.Printf("   %-10s %5d tenants, health and usage at %v  %.2f %% of one core (%s), of it %.2f for sums; %.0f MB resident (%s), without the fakes' %.0f\n"+
		"   %-10s               of the memory, %.0f MB are reachable without the fakes, and %.0f MB the stacks of %d goroutines; %.0f MB are not Go's\n"+
		"   %-10s               longest writer transaction %d ms (%s; %s; of sums %d ms, %s); berth ls --limit 100 %s (%s), p95 %s; the call alone %s, p95 %s; %d looks, %d lists, %d stacks applied\n",
		database, order.Size, crowdWatched, f.core, b.bound(f.core, mostManyCore), ofSums, f.mb, b.bound(f.mb, mostManyMB), fakes,
		"", float64(held.Live)/(1<<20)-fakes, float64(a.Stacks)/(1<<20), a.Goroutines, float64(rss-a.Runtime)/(1<<20),
		"", a.Longest.Milliseconds(), b.bound(float64(max(a.Longest, sums.Longest).Milliseconds()), mostManyTx), a.Where, sums.Longest.Milliseconds(), sums.Where,
		ms(process.median()), b.bound(float64(process.median().Milliseconds()), mostManyLS), ms(process.quantile(.95)), fine(call.median()), fine(call.quantile(.95)),
		a.Looks, a.Lists, a.Applied)
	return f, nil
}

func (b *bench) berthLS(ctx context.Context, c *manyChild) error {
	cmd := exec.CommandContext(ctx, "bin/berth", "ls", "--limit", "100")
	cmd.Env = append(os.Environ(), "BERTH_URL="+c.ready.URL, "BERTH_TOKEN="+c.ready.Token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("berth ls: %w: %s", err, out)
	}
	return nil
}

// manyChild is a control plane in a process of its own.
type manyChild struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *json.Decoder
	ready manyAnswer
}

func startChild(ctx context.Context, order manyOrder) (*manyChild, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &manyChild{cmd: exec.CommandContext(ctx, self, "-many")}
	c.cmd.Stderr = os.Stderr
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(os.Interrupt) }
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(c.in).Encode(order)
	if err == nil {
		err = c.out.Decode(&c.ready)
	}
	if err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

func (c *manyChild) end() error {
	_ = c.in.Close() // it ends with its input
	return c.cmd.Wait()
}

// ask has the child do something and returns its answer.
func (c *manyChild) ask(what string) (a manyAnswer, err error) {
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		return a, err
	}
	return a, c.out.Decode(&a)
}

// firstOrder provisions and starts one more tenant: how long it took until the
// order was taken, and until it was carried out.
func (c *manyChild) firstOrder(ctx context.Context) (taken, carried time.Duration, err error) {
	side := &berthSide{Process: &testbed.Process{URL: c.ready.URL, Token: c.ready.Token}, http: http.DefaultClient}
	began := time.Now()
	body := object{"organizationId": berth.NewID(), "tenantName": "First", "start": true, "imageTag": shardImage}
	var made struct{ OrganizationID string }
	if err := side.call(ctx, "POST", "/api/tenants/provision?wait=0", body, &made); err != nil {
		return 0, 0, err
	}
	taken = time.Since(began)
	for {
		var list struct {
			Deployments []struct{ Status string }
		}
		if err := side.call(ctx, "GET", "/api/tenants/"+body["organizationId"].(string)+"/deployments", nil, &list); err != nil {
			return 0, 0, err
		}
		switch status := list.Deployments[0].Status; status {
		case "completed":
			return taken, time.Since(began), nil
		case "pending":
		default:
			return 0, 0, fmt.Errorf("the first order ended %s", status)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
}

// list asks for 100 tenants.
func (c *manyChild) list(ctx context.Context) error {
	side := &berthSide{Process: &testbed.Process{URL: c.ready.URL, Token: c.ready.Token}, http: http.DefaultClient}
	return side.call(ctx, "GET", "/api/tenants?limit=100", nil, nil)
}

// profileOf is the file for the profile of one size on one database.
func (b *bench) profileOf(database string, size int) string {
	if b.profile == "" {
		return ""
	}
	return fmt.Sprintf("%s.%s.%d", b.profile, database, size)
}
