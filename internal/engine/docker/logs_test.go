package docker_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/docker"
)

// streams counts the followed streams of the Engine that are open through p.
func (p *proxy) streams() (open, ever *atomic.Int64) {
	open, ever = new(atomic.Int64), new(atomic.Int64)
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/logs") && r.URL.Query().Get("follow") == "1" {
			open.Add(1)
			ever.Add(1)
			defer open.Add(-1)
		}
		through.ServeHTTP(w, r)
	})
	return open, ever
}

// counting is a tenant that writes numbered lines when it is asked to: never
// faster than a test reads them, however busy the machine is.
type counting struct {
	*proxy
	manual
	t       *testing.T
	engine  *docker.Engine
	org     string
	address netip.AddrPort
	written int
}

func newCounting(t *testing.T) *counting {
	t.Helper()
	p := newProxy(t)
	o := options()
	o.Host, o.ReadTimeout = p.host, time.Minute
	c := &counting{proxy: p, manual: newManual(t), t: t, engine: open(t, o)}
	s := stack(t)
	s.Services[0].Command = []string{"begun"}
	seen, err := c.engine.Apply(t.Context(), s)
	must(t, err)
	c.org, c.address = s.OrganizationID, seen.Instances[0].Address
	eventually(t, "the program listens", func() bool { _, ok := c.Get(t, c.address, "/health"); return ok })
	return c
}

// write has n lines written.
func (c *counting) write(n int) {
	c.t.Helper()
	if _, ok := c.Get(c.t, c.address, "/count?n="+strconv.Itoa(n)); !ok {
		c.t.Fatal("the program does not count")
	}
	c.written += n
}

func (c *counting) logs(tail int) io.ReadCloser {
	c.t.Helper()
	r, err := c.engine.Logs(c.t.Context(), c.org, berth.LogOptions{Follow: true, Tail: tail})
	must(c.t, err)
	late := time.AfterFunc(2*time.Minute, func() { _ = r.Close() }) // lines that never come
	c.t.Cleanup(func() {
		late.Stop()
		_ = r.Close()
	})
	return r
}

// number is the number of a line that the tenant wrote.
func number(t *testing.T, lines *bufio.Scanner) (n int) {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the log ended: %v", lines.Err())
	}
	if lines.Text() == "begun" { // before the first
		return 0
	}
	if _, err := fmt.Sscanf(lines.Text(), "line %d", &n); err != nil {
		t.Errorf("unexpected line %q", lines.Text())
	}
	return n
}

func TestEverybodyWhoFollowsAContainerSharesOneStreamAndSeesEachLineOnce(t *testing.T) {
	t.Parallel()
	const readers, lines = 30, 1000
	c := newCounting(t)
	open, ever := c.streams()
	c.write(400)
	closing := make(chan struct{})
	var done sync.WaitGroup
	var progress [readers]atomic.Int64 // the last line that each has read
	slowest := func(of int) (least int64) {
		least = math.MaxInt64
		for i := range of {
			least = min(least, progress[i].Load())
		}
		return least
	}
	for i := range readers { // they come one after the other, while lines come
		r := c.logs(1 + i*10)
		c.write(20)
		done.Go(func() {
			scan := bufio.NewScanner(r)
			first := number(t, scan)
			seen, most := map[int]bool{first: true}, first
			for len(seen) < lines && !t.Failed() {
				n := number(t, scan)
				if seen[n] {
					t.Errorf("reader %d: line %d came twice", i, n)
				}
				seen[n], most = true, max(most, n)
				progress[i].Store(int64(most))
			}
			// The two streams of a container are not in order among each other: of the
			// lines at both ends, some come before, some after.
			for n := first + 200; n < most-200; n++ {
				if !seen[n] {
					t.Errorf("reader %d: line %d never came", i, n)
				}
			}
			progress[i].Store(math.MaxInt64) // nobody waits for it any more
			<-closing
			_ = r.Close()
		})
	}
	eventually(t, "one stream is open for all", func() bool { return open.Load() == 1 })
	eventually(t, "all have read", func() bool {
		least := slowest(readers)
		if least != math.MaxInt64 && int64(c.written) < least+500 {
			c.write(20)
		}
		return least == math.MaxInt64 || t.Failed()
	})
	close(closing)
	done.Wait()
	eventually(t, "the stream ends with its last reader", func() bool { return open.Load() == 0 })
	if n := ever.Load(); n != 1 {
		t.Errorf("%d streams were opened", n)
	}
}

// Between the moment from which a reader hears of new lines and the moment in
// which it has read the old ones, as many lines may come as wait for it.
func TestLinesThatComeWhileAReaderReadsWhatCameBeforeAreSeenOnce(t *testing.T) {
	t.Parallel()
	const before, between, after = 50, 1200, 300
	c := newCounting(t)
	var held atomic.Bool
	asked, goOn := make(chan struct{}), make(chan struct{})
	c.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		q := r.URL.Query()
		if held.Load() && strings.HasSuffix(r.URL.Path, "/logs") && q.Get("follow") != "1" && q.Get("since") != "" {
			asked <- struct{}{}
			<-goOn
		}
		through.ServeHTTP(w, r)
	})
	c.write(before)
	first := bufio.NewScanner(c.logs(1))
	hear := func(all int) {
		for n := 0; n < all; {
			n = max(n, number(t, first))
		}
	}
	c.write(before)
	hear(2 * before) // from the stream by now, or about to be
	held.Store(true)
	second := bufio.NewScanner(c.logs(1))
	from := number(t, second)
	<-asked // it hears of new lines since
	c.write(between)
	hear(2*before + between)
	held.Store(false)
	close(goOn)
	c.write(after)
	seen, fresh := map[int]bool{from: true}, 0
	for fresh < between+after {
		n := number(t, second)
		if seen[n] {
			t.Fatalf("line %d came twice", n)
		}
		if seen[n] = true; n > 2*before {
			fresh++
		}
	}
}

func TestAReaderOfALogWhoStandsStillIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	c := newCounting(t)
	c.write(1)
	still, quick := bufio.NewScanner(c.logs(1)), bufio.NewScanner(c.logs(1))
	number(t, still)
	for n := number(t, quick); n < 20_000; { // far more than waits for one reader
		if c.written < n+200 {
			c.write(400)
		}
		n = max(n, number(t, quick))
	}
	for range 20_000 {
		if !still.Scan() {
			t.Fatalf("the log ended: %v", still.Err())
		}
		if strings.Contains(still.Text(), "lines were missed here") {
			return
		}
	}
	t.Error("nobody said that lines were missed")
}
