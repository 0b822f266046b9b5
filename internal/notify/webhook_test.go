package notify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/netguard"
	"github.com/unite-hub/berth/internal/notify"
	"github.com/unite-hub/berth/internal/store"
)

func (w *world) webhook(allow ...netip.Prefix) map[berth.ChannelType]notify.Sender {
	return map[berth.ChannelType]notify.Sender{
		berth.ChannelWebhook: notify.NewWebhook(w.box, w.now, netguard.NewDialer(berth.DefaultPool(), allow, time.Second).DialContext),
	}
}

// attempted waits for a number of attempts of a channel's only delivery.
func (w *world) attempted(id string, n int) berth.Delivery {
	w.Helper()
	w.until("an attempt", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].Attempt >= n })
	return w.deliveries(id)[0]
}

func TestATwelfthFailureIsTheLastAndIsLogged(t *testing.T) {
	w := newWorld(t)
	r := receive(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	id := w.channel(r.URL)
	w.event(berth.EventUnhealthy)
	var log bytes.Buffer
	stop := w.run(notify.Config{Senders: w.webhook(loopback()), Log: slog.New(slog.NewTextHandler(&log, nil))})
	for n := 1; n < 12; n++ {
		d := w.attempted(id, n)
		if d.Attempt != n || d.State != berth.DeliveryPending || d.StatusCode != http.StatusBadGateway || !d.NextAt.After(d.At) {
			t.Errorf("after %d: %+v", n, d)
		}
		w.skip.Add(int64(7 * time.Hour)) // past the longest wait
	}
	d := w.attempted(id, 12)
	if d.State != berth.DeliveryFailed || !d.NextAt.IsZero() {
		t.Errorf("after the last: %+v", d)
	}
	w.skip.Add(int64(100 * time.Hour))
	next := w.event(berth.EventUnhealthy) // shows that rounds went by
	w.until("another", func() bool {
		return slices.ContainsFunc(w.deliveries(id), func(d berth.Delivery) bool { return d.EventID == next && d.Attempt > 0 })
	})
	stop()
	if n := len(r.all()); n != 12+1 {
		t.Errorf("it was asked %d times", n)
	}
	if !strings.Contains(log.String(), "notification given up") || !strings.Contains(log.String(), "channel="+id) || !strings.Contains(log.String(), "delivery="+d.ID) {
		t.Errorf("logged %q", log.String())
	}
	if c := w.stored(id); !c.Enabled || c.LastError == "" {
		t.Errorf("a channel that fails is disabled: %+v", c)
	}
}

func TestAChannelThatFailsForThreeDaysIsCalledFailingUntilItWorks(t *testing.T) {
	w := newWorld(t)
	var well atomic.Bool
	r := receive(t, func(rw http.ResponseWriter, _ *http.Request) {
		if !well.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	})
	id := w.channel(r.URL)
	w.event(berth.EventUnhealthy)
	defer w.start(w.store, loopback())()
	w.attempted(id, 1)
	since := w.stored(id).FailingSince
	if got := w.stored(id).State(w.now()); got != "enabled" || since.IsZero() {
		t.Errorf("%s after one failure, failing since %v", got, since)
	}
	w.skip.Add(int64(6 * time.Hour))
	w.attempted(id, 2)
	w.skip.Add(int64(66*time.Hour - time.Minute))
	if got := w.stored(id).State(w.now()); got != "enabled" {
		t.Errorf("%s before three days", got)
	}
	w.skip.Add(int64(time.Minute))
	if c := w.stored(id); c.State(w.now()) != "failing" || !c.Enabled || c.FailingSince != since {
		t.Errorf("%s after three days, since %v: %+v", c.State(w.now()), since, c)
	}
	well.Store(true)
	w.skip.Add(int64(7 * time.Hour))
	w.until("delivered", func() bool { return w.deliveries(id)[0].State == berth.DeliveryDelivered })
	if c := w.stored(id); c.State(w.now()) != "enabled" || c.LastError != "" {
		t.Errorf("%+v", c)
	}
}

func TestDeliveriesGoAfterThirtyDaysAndEventsWhenTheyAreOldEnough(t *testing.T) {
	const day = 24 * time.Hour
	w := newWorld(t)
	r := receive(t, ok)
	down := receive(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	works, fails := w.channel(r.URL), w.channel(down.URL)
	first := w.event(berth.EventUnhealthy)
	stop := w.run(notify.Config{Senders: w.webhook(loopback()), Events: 60 * day})
	defer func() { stop() }()
	w.until("delivered", func() bool { l := w.deliveries(works); return len(l) == 1 && l[0].State == berth.DeliveryDelivered })
	w.attempted(fails, 1)
	w.skip.Add(int64(10 * day))
	second := w.event(berth.EventUnhealthy)
	w.until("the second", func() bool { l := w.deliveries(works); return len(l) == 2 && l[0].State == berth.DeliveryDelivered })
	ids := func(list []berth.Delivery) (out []string) {
		for _, d := range list {
			out = append(out, d.EventID)
		}
		return out
	}
	w.skip.Add(int64(21 * day))
	w.until("the first delivery is forgotten", func() bool { return slices.Equal(ids(w.deliveries(works)), []string{second}) })
	if got := ids(w.deliveries(fails)); !slices.Contains(got, first) {
		t.Errorf("what is still to be delivered was forgotten: %v", got)
	}
	events := func() (out []string) {
		w.must(w.store.View(t.Context(), berth.System(), func(tx store.Tx) error {
			list, _, err := tx.ListEvents(t.Context(), org, store.Page{})
			for _, e := range list {
				out = append(out, e.ID)
			}
			return err
		}))
		return out
	}
	if got := events(); !slices.Equal(got, []string{second, first}) {
		t.Errorf("events %v after 31 days", got)
	}
	w.skip.Add(int64(30 * day))
	w.until("the first event is forgotten", func() bool { return slices.Equal(events(), []string{second}) })
}

func TestAnEventThatNobodyWasToldOfOutlivesItsTime(t *testing.T) {
	const year = 365 * 24 * time.Hour
	w := newWorld(t)
	r := receive(t, ok)
	id := w.channel(r.URL)
	for range 3 {
		w.event(berth.EventUnhealthy)
	}
	w.skip.Add(int64(10 * year)) // Berth was away that long
	stop := w.start(w.store, loopback())
	w.until("all are told of", func() bool { return len(r.all()) == 3 })
	w.until("all are recorded", func() bool {
		return !slices.ContainsFunc(w.deliveries(id), func(d berth.Delivery) bool { return d.State != berth.DeliveryDelivered })
	})
	stop()
}

// pipes makes connections to nobody: what is sent is read, and never answered.
func pipes(open *sync.WaitGroup) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		open.Go(func() { _, _ = io.Copy(io.Discard, there) })
		return here, nil
	}
}

func TestAnAttemptLastsTenSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.channel("http://h.example/")
		w.event(berth.EventUnhealthy)
		var open sync.WaitGroup
		stop := w.run(notify.Config{Poll: time.Second, Senders: map[berth.ChannelType]notify.Sender{
			berth.ChannelWebhook: notify.NewWebhook(w.box, w.now, pipes(&open)),
		}})
		<-time.After(9 * time.Second)
		synctest.Wait()
		if d := w.deliveries(id)[0]; d.Attempt != 0 {
			t.Errorf("too early: %+v", d)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if d := w.deliveries(id)[0]; d.Attempt != 1 || d.Duration != 10*time.Second || d.State != berth.DeliveryPending || d.Error != "the receiver did not answer in time" {
			t.Errorf("%+v", d)
		}
		stop()
		open.Wait()
	})
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	w := newWorld(t)
	written := make(chan int, 1)
	r := receive(t, func(rw http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		total := 0
		for {
			n, err := rw.Write(chunk)
			if total += n; err != nil {
				written <- total
				return
			}
		}
	})
	id := w.channel(r.URL)
	w.event(berth.EventUnhealthy)
	defer w.start(w.store, loopback())()
	if n := <-written; n > 64<<20 { // what the kernel buffers is a tenth of it
		t.Errorf("%d MB were taken", n>>20)
	}
	w.until("delivered", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].State == berth.DeliveryDelivered })
	if d := w.deliveries(id)[0]; d.StatusCode != http.StatusOK || d.Error != "" {
		t.Errorf("%+v", d)
	}
}

// names is a server of names whose answers change.
type names struct {
	net.PacketConn
	mu    sync.Mutex
	addrs [][4]byte
	asked int
}

func newNames(t *testing.T) *names {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{PacketConn: c}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1500)
		for {
			size, from, err := c.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if answer := n.answer(buffer[:size]); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-ended
	})
	return n
}

func (n *names) set(addrs ...[4]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = addrs
}

func (n *names) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	out := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	n.mu.Lock()
	defer n.mu.Unlock()
	if q.Type == dnsmessage.TypeA && q.Name.String() == "hooks.test." {
		n.asked++
		for _, a := range n.addrs {
			out.Answers = append(out.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: a},
			})
		}
	}
	packed, _ := out.Pack()
	return packed
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.LocalAddr().String())
	}}
}

// twoAt listens on two addresses with the same port.
func twoAt(t *testing.T, a, b string) (net.Listener, net.Listener) {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", net.JoinHostPort(a, "0"))
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(first.Addr().String())
		if second, err := net.Listen("tcp", net.JoinHostPort(b, port)); err == nil {
			return first, second
		}
		_ = first.Close()
	}
	t.Fatal("no port is free on both")
	return nil, nil
}

// 127.0.0.2 stands for an address outside, so that the test stays on this machine.
func TestANameThatTurnsInsideAfterItWasGoodReachesNothing(t *testing.T) {
	w := newWorld(t)
	good, bad := twoAt(t, "127.0.0.2", "127.0.0.1")
	var delivered, trapped atomic.Int64
	serve := func(l net.Listener, hits *atomic.Int64) {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
		_ = s.Listener.Close()
		s.Listener = l
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew && hits == &trapped {
				hits.Add(1) // a connection is too much already
			}
		}
		s.Start()
		t.Cleanup(s.Close)
	}
	serve(good, &delivered)
	serve(bad, &trapped)
	n := newNames(t)
	dialer := netguard.NewDialer(berth.DefaultPool(), []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, time.Second)
	dialer.Resolver = n.resolver()
	_, port, _ := net.SplitHostPort(good.Addr().String())
	id := w.channel("http://" + net.JoinHostPort("hooks.test", port) + "/")
	defer w.run(notify.Config{Senders: map[berth.ChannelType]notify.Sender{berth.ChannelWebhook: notify.NewWebhook(w.box, w.now, dialer.DialContext)}})()
	outside, inside := [4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 1}
	for i, c := range []struct {
		addrs  [][4]byte
		passes bool
	}{{[][4]byte{outside}, true}, {[][4]byte{inside}, false}, {[][4]byte{inside, outside}, true}, {[][4]byte{{10, 64, 0, 2}, inside}, false}} {
		n.set(c.addrs...)
		before := delivered.Load()
		event := w.event(berth.EventUnhealthy)
		var d berth.Delivery
		w.until("an attempt", func() bool {
			list := w.deliveries(id)
			at := slices.IndexFunc(list, func(d berth.Delivery) bool { return d.EventID == event && d.Attempt > 0 })
			if at >= 0 {
				d = list[at]
			}
			return at >= 0
		})
		if passed := d.State == berth.DeliveryDelivered; passed != c.passes || delivered.Load()-before > 1 || !passed && !strings.Contains(d.Error, "inside") {
			t.Errorf("%d: resolved to %v: %+v", i, c.addrs, d)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if trapped.Load() != 0 || n.asked < 4 {
		t.Errorf("%d times inside, %d names looked up", trapped.Load(), n.asked)
	}
}
