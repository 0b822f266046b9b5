package fanout_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/fanout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tap is a source that a test feeds.
type tap struct {
	opened atomic.Int32
	ended  chan struct{}
	in     chan string
}

func newTap() *tap { return &tap{ended: make(chan struct{}, 9), in: make(chan string)} }

func (p *tap) open(ctx context.Context) (fanout.Source[string], error) {
	p.opened.Add(1)
	return func(send func(string)) error {
		defer func() { p.ended <- struct{}{} }()
		for {
			select {
			case m, more := <-p.in:
				if !more {
					return errors.New("cut off")
				}
				if m == "" {
					return nil
				}
				send(m)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}, nil
}

func hub() *fanout.Hub[string, string] {
	return &fanout.Hub[string, string]{Sources: 2, Buffer: 10, Size: func(s string) int { return len(s) }}
}

func join(t *testing.T, h *fanout.Hub[string, string], key string, p *tap) (*fanout.Reader[string], bool) {
	t.Helper()
	r, first, err := h.Join(t.Context(), key, p.open)
	if err != nil {
		t.Fatal(err)
	}
	return r, first
}

func want(t *testing.T, r *fanout.Reader[string], text string, missed int) {
	t.Helper()
	if m, n, err := r.Next(t.Context()); m != text || n != missed || err != nil {
		t.Errorf("got %q after %d missed (%v), want %q after %d", m, n, err, text, missed)
	}
}

func TestManyReadersOfAKeyShareOneSource(t *testing.T) {
	h, p := hub(), newTap()
	var readers []*fanout.Reader[string]
	for i := range 50 {
		r, first := join(t, h, "a", p)
		if first != (i == 0) {
			t.Errorf("reader %d is the first: %v", i, first)
		}
		readers = append(readers, r)
	}
	p.in <- "one"
	for _, r := range readers {
		want(t, r, "one", 0)
	}
	if n := p.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	for _, r := range readers[1:] {
		r.Close()
	}
	p.in <- "two"
	want(t, readers[0], "two", 0)
	readers[0].Close()
	readers[0].Close()
	<-p.ended // with the last reader, and not before
	r, first := join(t, h, "a", p)
	if !first || p.opened.Load() != 2 {
		t.Errorf("the next reader opens it again: %v, %d times", first, p.opened.Load())
	}
	r.Close()
	<-p.ended
}

func TestAReaderWhoDoesNotReadBlocksNobodyAndIsToldWhatItMissed(t *testing.T) {
	h, p := hub(), newTap()
	slow, _ := join(t, h, "a", p)
	fast, _ := join(t, h, "a", p)
	for range 1000 {
		p.in <- "12345"
		want(t, fast, "12345", 0)
	}
	p.in <- "last"
	want(t, fast, "last", 0)
	want(t, slow, "12345", 999)
	want(t, slow, "last", 0)
	slow.Close()
	fast.Close()
	<-p.ended
}

func TestASourcesEndComesAfterItsLastMessage(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*tap)
		want string
	}{
		"ended":  {func(p *tap) { p.in <- "" }, io.EOF.Error()},
		"broken": {func(p *tap) { close(p.in) }, "cut off"},
	} {
		h, p := hub(), newTap()
		r, _ := join(t, h, "a", p)
		p.in <- "one"
		c.end(p)
		<-p.ended
		want(t, r, "one", 0)
		for range 2 {
			if _, _, err := r.Next(t.Context()); err == nil || err.Error() != c.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.Close()
	}
}

func TestAHubRefusesASourceTooMany(t *testing.T) {
	h, p := hub(), newTap()
	a, _ := join(t, h, "a", p)
	b, _ := join(t, h, "b", p)
	if _, _, err := h.Join(t.Context(), "c", p.open); !berth.Is(err, berth.CodeEngineUnavailable) {
		t.Errorf("a third source: %v", err)
	}
	again, first := join(t, h, "a", p)
	if first {
		t.Error("a source that runs was opened again")
	}
	a.Close()
	again.Close()
	<-p.ended
	c, _ := join(t, h, "c", p)
	c.Close()
	b.Close()
	<-p.ended
	<-p.ended
}

func TestWhoWaitsForASourceThatCantBeOpenedIsTold(t *testing.T) {
	h := hub()
	asked, answer := make(chan struct{}), make(chan struct{})
	open := func(context.Context) (fanout.Source[string], error) {
		close(asked)
		<-answer
		return nil, errors.New("no such container")
	}
	errs := make(chan error, 1)
	go func() { _, _, err := h.Join(t.Context(), "a", open); errs <- err }()
	<-asked
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Join(impatient, "a", open); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait: %v", err)
	}
	close(answer)
	if err := <-errs; err == nil || err.Error() != "no such container" {
		t.Errorf("%v", err)
	}
}

// What one source sends may take its time: it holds up no other.
func TestWhatOneSourceSendsHoldsUpNoOther(t *testing.T) {
	weighed, weigh := make(chan struct{}), make(chan struct{})
	h := hub()
	h.Size = func(s string) int {
		if s == "heavy" {
			close(weighed)
			<-weigh
		}
		return len(s)
	}
	heavy, light := newTap(), newTap()
	r1, _ := join(t, h, "heavy", heavy)
	r2, _ := join(t, h, "light", light)
	heavy.in <- "heavy"
	<-weighed
	light.in <- "light"
	if m, _, err := r2.Next(t.Context()); m != "light" || err != nil {
		t.Errorf("%q %v", m, err)
	}
	r2.Close()
	close(weigh)
	r1.Close()
	<-heavy.ended
	<-light.ended
}
