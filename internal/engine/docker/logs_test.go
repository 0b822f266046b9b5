package docker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/unite-hub/berth"
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

// counting returns an engine behind a proxy, and a tenant on it that writes
// numbered lines for ever.
func counting(t *testing.T) (*proxy, func(ctx context.Context, tail int) io.ReadCloser) {
	t.Helper()
	p := newProxy(t)
	o := options()
	o.Host = p.host
	e := open(t, o)
	s := stack(t)
	s.Services[0].Command = []string{"count"}
	_, err := e.Apply(t.Context(), s)
	must(t, err)
	return p, func(ctx context.Context, tail int) io.ReadCloser {
		r, err := e.Logs(ctx, s.OrganizationID, berth.LogOptions{Follow: true, Tail: tail})
		must(t, err)
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
}

// number is the number of a line that the tenant wrote.
func number(t *testing.T, lines *bufio.Scanner) (n int) {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the log ended: %v", lines.Err())
	}
	if _, err := fmt.Sscanf(lines.Text(), "line %d", &n); err != nil {
		t.Errorf("unexpected line %q", lines.Text())
	}
	return n
}

func TestEverybodyWhoFollowsAContainerSharesOneStreamAndSeesEachLineOnce(t *testing.T) {
	p, logs := counting(t)
	open, ever := p.streams()
	var readers sync.WaitGroup
	closing := make(chan struct{})
	for i := range 30 { // they come one after the other, while lines come
		r := logs(t.Context(), 1+i*10)
		lines := bufio.NewScanner(r)
		first := number(t, lines)
		readers.Go(func() {
			seen := map[int]bool{first: true}
			most := first
			for range 1000 {
				n := number(t, lines)
				if seen[n] {
					t.Errorf("reader %d: line %d came twice", i, n)
				}
				seen[n], most = true, max(most, n)
			}
			// The two streams of a container are not in order among each other: of the
			// lines at both ends, some come before, some after.
			for n := first + 200; n < most-200; n++ {
				if !seen[n] {
					t.Errorf("reader %d: line %d never came", i, n)
				}
			}
			<-closing
			_ = r.Close()
		})
	}
	eventually(t, "one stream is open for all", func() bool { return open.Load() == 1 })
	close(closing)
	readers.Wait()
	eventually(t, "the stream ends with its last reader", func() bool { return open.Load() == 0 })
	if n := ever.Load(); n != 1 {
		t.Errorf("%d streams were opened", n)
	}
}

// Between the moment from which a reader hears of new lines and the moment in
// which it has read the old ones, as many lines may come as wait for it.
func TestLinesThatComeWhileAReaderReadsWhatCameBeforeAreSeenOnce(t *testing.T) {
	const between = 1200
	p, logs := counting(t)
	var readers atomic.Int64
	asked, goOn := make(chan struct{}), make(chan struct{})
	p.breakWith(func(w http.ResponseWriter, r *http.Request, through http.Handler) {
		q := r.URL.Query()
		if strings.HasSuffix(r.URL.Path, "/logs") && q.Get("follow") != "1" && q.Get("since") != "" && readers.Load() == 2 {
			asked <- struct{}{}
			<-goOn
		}
		through.ServeHTTP(w, r)
	})
	first := bufio.NewScanner(logs(t.Context(), 1))
	for n := 0; n < 1000; { // long since at what comes
		n = max(n, number(t, first))
	}
	readers.Store(2)
	second := bufio.NewScanner(logs(t.Context(), 1))
	from := number(t, second)
	<-asked // it hears of new lines since
	for n := from; n < from+between; {
		n = max(n, number(t, first))
	}
	close(goOn)
	seen, most := map[int]bool{from: true}, from
	for range 2 * between {
		n := number(t, second)
		if seen[n] {
			t.Fatalf("line %d came twice", n)
		}
		seen[n], most = true, max(most, n)
	}
	for n := from + 200; n < most-200; n++ { // the two streams are not in order among each other
		if !seen[n] {
			t.Errorf("line %d never came", n)
		}
	}
}

func TestAReaderOfALogWhoStandsStillIsToldWhatItMissed(t *testing.T) {
	_, logs := counting(t)
	still, quick := bufio.NewScanner(logs(t.Context(), 1)), bufio.NewScanner(logs(t.Context(), 1))
	from := number(t, still)
	for n := number(t, quick); n < from+20_000; { // far more than waits for one reader
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
