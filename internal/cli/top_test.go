package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/unite-hub/berth/client"
)

func ptr[T any](v T) *T { return &v }

// watched is a topView in a bubble, with what it drew last.
type watched struct {
	view topView
	keys chan byte
	end  chan error

	mu    sync.Mutex
	drawn []string
	list  []client.Metrics
	err   error
}

func watch(t *testing.T, list ...client.Metrics) *watched {
	w := &watched{keys: make(chan byte), list: list, end: make(chan error, 1)}
	w.view = topView{
		sort: "cpu", size: func() (int, int) { return 80, 24 }, now: time.Now,
		fetch: func(context.Context) ([]client.Metrics, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.list, w.err
		},
		draw: func(lines []string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.drawn = lines
			return nil
		},
	}
	go func() { w.end <- w.view.run(t.Context(), w.keys) }()
	synctest.Wait()
	return w
}

// next has the API answer otherwise, and waits until that was drawn.
func (w *watched) next(err error, list ...client.Metrics) {
	w.mu.Lock()
	w.list, w.err = list, err
	w.mu.Unlock()
	<-time.After(topEvery)
	synctest.Wait()
}

func (w *watched) last() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drawn
}

// order is the first word of each tenant's line.
func (w *watched) order() string {
	var slugs []string
	for _, l := range w.last()[4:] {
		slugs = append(slugs, strings.Fields(l)[0])
	}
	return strings.Join(slugs, " ")
}

func (w *watched) press(key byte) {
	w.keys <- key
	synctest.Wait()
}

func at(org string, cpu, memory *float64, readAt time.Time, rx int64) client.Metrics {
	return client.Metrics{OrganizationID: org, Slug: org, CPUPercent: cpu, MemoryUsageMB: memory, ReadAt: &readAt, NetworkRxBytes: &rx}
}

func TestTopSortsByKeyAndEndsWithQ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		w := watch(t, at("idle", ptr(1.0), ptr(900.0), now, 0), at("busy", ptr(80.0), ptr(10.0), now, 0), at("unread", nil, nil, now, 0))
		if got := w.order(); got != "busy idle unread" {
			t.Errorf("by cpu: %s", got)
		}
		for key, want := range map[byte]string{'m': "idle busy unread", 'a': "busy idle unread", 'x': "busy idle unread"} {
			w.press('c')
			if w.press(key); w.order() != want {
				t.Errorf("after %c: %s, want %s", key, w.order(), want)
			}
		}
		w.press('q')
		if err := <-w.end; err != nil {
			t.Error(err)
		}
	})
}

func TestTopShowsWhatCountersRoseByAndOutlivesAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		w := watch(t, at("one", nil, nil, now, 1000))
		if !strings.Contains(w.last()[4], " - ") || strings.Contains(w.last()[4], "1000") {
			t.Errorf("a rate of one reading: %q", w.last()[4])
		}
		w.next(nil, at("one", nil, nil, now.Add(2*time.Second), 1000+2*300))
		if !strings.Contains(w.last()[4], "300 B") {
			t.Errorf("600 bytes in 2 s: %q", w.last()[4])
		}
		w.next(errors.New("refused"))
		if !strings.Contains(w.last()[1], "stale: refused") || !strings.Contains(w.last()[4], "300 B") {
			t.Errorf("%q", w.last())
		}
		w.next(nil, at("one", nil, nil, now.Add(4*time.Second), 5))
		if strings.Contains(strings.Join(w.last(), "\n"), "stale") || strings.Contains(w.last()[4], " B") {
			t.Errorf("a counter that began anew: %q", w.last())
		}
		w.press(3)
		if err := <-w.end; err != nil {
			t.Error(err)
		}
	})
}

func TestTopFitsTheTerminal(t *testing.T) {
	v := topView{sort: "cpu", now: time.Now, lines: map[string]topLine{}}
	for i := range 50 {
		id := fmt.Sprint("tenant-with-a-long-name-", i)
		v.lines[id] = topLine{Metrics: client.Metrics{OrganizationID: id, Slug: id + "\x1b[2J"}}
	}
	for _, size := range [][2]int{{80, 24}, {20, 5}, {10, 1}, {200, 100}} {
		v.size = func() (int, int) { return size[0], size[1] }
		lines := v.frame()
		if len(lines) > size[1] {
			t.Errorf("%d lines on %v", len(lines), size)
		}
		for _, l := range lines {
			if len([]rune(l)) >= size[0] || strings.Contains(l, "\x1b") {
				t.Errorf("%q on %v", l, size)
			}
		}
	}
}

func TestTopEndsWhenTheFirstAnswerIsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := topView{sort: "cpu", size: func() (int, int) { return 80, 24 }, now: time.Now,
			fetch: func(context.Context) ([]client.Metrics, error) { return nil, errors.New("not supported yet") },
			draw:  func([]string) error { return nil }}
		if err := v.run(t.Context(), nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestKeysWorkWhileAnAnswerIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := topView{sort: "cpu", size: func() (int, int) { return 80, 24 }, now: time.Now,
			fetch: func(ctx context.Context) ([]client.Metrics, error) { <-ctx.Done(); return nil, ctx.Err() },
			draw:  func([]string) error { return nil }}
		keys := make(chan byte, 1)
		keys <- 3
		if err := v.run(t.Context(), keys); err != nil {
			t.Error(err)
		}
	})
}

// On a real pseudo-terminal: Ctrl-C ends it, and leaves the terminal as it was.
func TestTopGivesTheTerminalBack(t *testing.T) {
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 10, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	state := func() (s *term.State) {
		_ = control(terminal, func(fd int) (err error) { s, err = term.GetState(fd); return err })
		return s
	}
	before := fmt.Sprintf("%+v", *state())
	seen := make(chan string, 1)
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for pressed := false; ; {
			n, err := master.Read(buf)
			all.Write(buf[:n])
			if !pressed && strings.Contains(all.String(), "acme") {
				pressed = true
				_, _ = master.Write([]byte{3})
			}
			if err != nil || strings.HasSuffix(all.String(), leaveScreen) {
				seen <- all.String()
				return
			}
		}
	}()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"tenants":[{"organizationId":"1","slug":"acme","cpuPercent":5}],"nextCursor":null}`)
	})
	code := Main(t.Context(), onTerminal(t, api, terminal, "top"))
	var out string
	select {
	case out = <-seen:
	case <-time.After(10 * time.Second):
		t.Fatal("the screen was not left")
	}
	if code != 0 || !strings.HasPrefix(out, enterScreen) || !strings.HasSuffix(out, leaveScreen) {
		t.Errorf("exit %d, %q", code, out)
	}
	if after := fmt.Sprintf("%+v", *state()); after != before {
		t.Errorf("the terminal was %s and is %s", before, after)
	}
	_ = master.Close() // ends the read of keys
	_ = terminal.Close()
}

func onTerminal(t *testing.T, api http.Handler, terminal *os.File, args ...string) Env {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		server.Close()
	})
	url := server.URL
	return Env{Args: args, Stdin: terminal, Stdout: terminal, Stderr: io.Discard, Getenv: func(name string) string {
		return map[string]string{"BERTH_URL": url, "BERTH_TOKEN": "t"}[name]
	}}
}
