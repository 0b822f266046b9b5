package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/netguard"
	"github.com/unite-hub/berth/internal/notify"
	"github.com/unite-hub/berth/internal/secret"
	"github.com/unite-hub/berth/internal/secret/secrettest"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	org  = "550e8400-e29b-41d4-a716-446655440001"
	text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

type world struct {
	*testing.T
	dir   string
	box   *secret.Box
	store *sqlite.Store
	skip  atomic.Int64 // how far the clock is ahead
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, dir: t.TempDir()}
	var err error
	w.box, err = secrettest.Create(w.dir)
	w.must(err)
	w.open()
	t.Cleanup(func() { w.must(w.store.Close()) })
	return w
}

func (w *world) open() {
	var err error
	w.store, err = sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(w.dir, "berth.db")})
	w.must(err)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) now() time.Time { return time.Now().UTC().Add(time.Duration(w.skip.Load())) }

func (w *world) tx(fn func(ctx context.Context, tx store.Tx) error) {
	w.Helper()
	ctx := context.Background()
	w.must(w.store.InTx(ctx, berth.System(), func(tx store.Tx) error { return fn(ctx, tx) }))
}

func (w *world) channel(url string) string {
	id := berth.NewID()
	sealed, err := w.box.Seal([]byte(text), berth.ChannelContext(id))
	w.must(err)
	return w.add(store.StoredChannel{Ciphertext: sealed, Channel: berth.Channel{ID: id, Type: berth.ChannelWebhook, Target: url}})
}

func (w *world) mailbox(address string) string {
	return w.add(store.StoredChannel{Channel: berth.Channel{ID: berth.NewID(), Type: berth.ChannelEmail, Target: address}})
}

func (w *world) add(c store.StoredChannel) string {
	c.Kinds, c.Enabled, c.CreatedAt = berth.NotifiedKinds(), true, w.now()
	w.tx(func(ctx context.Context, tx store.Tx) error { return tx.InsertChannel(ctx, c) })
	return c.ID
}

// stored is a channel as it is now.
func (w *world) stored(id string) (c store.StoredChannel) {
	w.must(w.store.View(context.Background(), berth.System(), func(tx store.Tx) (err error) {
		c, err = tx.Channel(context.Background(), id)
		return err
	}))
	return c
}

func (w *world) event(kind string) string {
	e := berth.Event{ID: berth.NewID(), OrganizationID: org, At: w.now(), Kind: kind, Message: "m"}
	w.tx(func(ctx context.Context, tx store.Tx) error { return tx.InsertEvent(ctx, e) })
	return e.ID
}

// start runs a dispatcher on s until the returned function is called.
func (w *world) start(s store.Store, allow ...netip.Prefix) (stop func()) {
	return w.run(notify.Config{Store: s, Senders: map[berth.ChannelType]notify.Sender{
		berth.ChannelWebhook: notify.NewWebhook(w.box, w.now, netguard.NewDialer(berth.DefaultPool(), allow, time.Second).DialContext),
	}})
}

// run runs what c says, on the world's store and clock, until the returned
// function is called.
func (w *world) run(c notify.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c.Now = w.now
	if c.Store == nil {
		c.Store = w.store
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Poll == 0 {
		c.Poll = 5 * time.Millisecond
	}
	d := notify.New(c)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() {
		cancel()
		w.must(<-ended)
	}
}

func (w *world) deliveries(channel string) (list []berth.Delivery) {
	w.must(w.store.View(context.Background(), berth.System(), func(tx store.Tx) (err error) {
		list, _, err = tx.ListDeliveries(context.Background(), channel, store.Page{})
		return err
	}))
	return list
}

// until waits for ok.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end:
			w.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// receiver is a server that remembers what it got.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []got
}

type got struct{ id, event string }

func receive(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		id := q.Header.Get("webhook-id")
		// As the specification says, without the package's own code.
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + q.Header.Get("webhook-timestamp") + "." + string(body)))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); want != q.Header.Get("webhook-signature") {
			t.Errorf("signature %q, want %q", q.Header.Get("webhook-signature"), want)
		}
		var b struct {
			Type string
			Data struct{ EventID, OrganizationID string }
		}
		if err := json.Unmarshal(body, &b); err != nil || b.Type != "tenant.unhealthy" || b.Data.OrganizationID != org {
			t.Errorf("body %s: %v", body, err)
		}
		r.mu.Lock()
		r.got = append(r.got, got{id, b.Data.EventID})
		r.mu.Unlock()
		answer(w, q)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got(nil), r.got...)
}

func loopback() netip.Prefix { return netip.MustParsePrefix("127.0.0.0/8") }

func ok(http.ResponseWriter, *http.Request) {}

func TestEveryEventThatWasAskedForIsDeliveredOnceAndSigned(t *testing.T) {
	w := newWorld(t)
	r := receive(t, ok)
	w.event("unhealthy") // before the channel
	id := w.channel(r.URL)
	want := map[string]bool{}
	for range 5 {
		want[w.event("unhealthy")] = true
		w.event("drift") // not asked for
	}
	stop := w.start(w.store, loopback())
	w.until("five delivered", func() bool {
		n := 0
		for _, d := range w.deliveries(id) {
			if d.State == berth.DeliveryDelivered && d.StatusCode == 200 && d.Attempt == 1 {
				n++
			}
		}
		return n == 5
	})
	stop()
	for _, g := range r.all() {
		if !want[g.event] {
			t.Errorf("event %s came twice or unasked", g.event)
		}
		delete(want, g.event)
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestNothingIsDialledInside(t *testing.T) {
	w := newWorld(t)
	r := receive(t, ok)
	id := w.channel(r.URL)
	w.event("unhealthy")
	stop := w.start(w.store)
	defer stop()
	w.until("an attempt failed", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].Attempt == 1 })
	if d := w.deliveries(id)[0]; !strings.Contains(d.Error, "inside") || len(r.all()) != 0 {
		t.Errorf("%+v, received %v", d, r.all())
	}
}

func TestARefusedDeliveryIsTriedAgainWithTheSameIDAndARedirectIsARefusal(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int64
	r := receive(t, func(rw http.ResponseWriter, q *http.Request) {
		if n.Add(1) == 1 {
			http.Redirect(rw, q, "/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	id := w.channel(r.URL)
	w.event("unhealthy")
	stop := w.start(w.store, loopback())
	defer stop()
	w.until("a first attempt", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].Attempt == 1 })
	if d := w.deliveries(id)[0]; d.State != berth.DeliveryPending || d.StatusCode != 307 || d.NextAt.Sub(d.At) < 4*time.Second {
		t.Errorf("after a refusal: %+v", d)
	}
	w.skip.Store(int64(time.Minute))
	w.until("delivered", func() bool { return w.deliveries(id)[0].State == berth.DeliveryDelivered })
	if l := r.all(); len(l) != 2 || l[0] != l[1] {
		t.Errorf("received %v", l)
	}
}

func TestAReceiverThatIsGoneDisablesItsChannel(t *testing.T) {
	w := newWorld(t)
	r := receive(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusGone) })
	id := w.channel(r.URL)
	w.event("unhealthy")
	stop := w.start(w.store, loopback())
	defer stop()
	w.until("failed", func() bool { l := w.deliveries(id); return len(l) == 1 && l[0].State == berth.DeliveryFailed })
	w.must(w.store.View(t.Context(), berth.System(), func(tx store.Tx) error {
		c, err := tx.Channel(t.Context(), id)
		if c.Enabled || c.State(w.now()) != "disabled" {
			t.Errorf("%+v", c)
		}
		return err
	}))
}

func TestASlowReceiverDelaysNobodyElse(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	slow := receive(t, func(http.ResponseWriter, *http.Request) { <-release })
	fast := receive(t, ok)
	w.channel(slow.URL)
	w.channel(fast.URL)
	for range 10 {
		w.event("unhealthy")
	}
	stop := w.start(w.store, loopback())
	w.until("the fast one has all", func() bool { return len(fast.all()) == 10 })
	if n := len(slow.all()); n > 1 {
		t.Errorf("the slow one is asked %d times at once", n)
	}
	stop()
	close(release)
}

// dying is a store that dies at a write transaction, and stays dead.
type dying struct {
	store.Store
	left atomic.Int64
	dead chan struct{}
	once sync.Once
}

func (d *dying) InTx(ctx context.Context, a berth.Actor, fn func(store.Tx) error) error {
	if d.left.Add(-1) < 0 {
		d.once.Do(func() { close(d.dead) })
		return errors.New("dead")
	}
	return d.Store.InTx(ctx, a, fn)
}

func TestADeathAtAnyMomentLosesNoEventAndKeepsItsID(t *testing.T) {
	for writes := range 5 { // 0: before the deliveries are made; 1 and more: before an attempt is recorded
		t.Run(fmt.Sprint(writes), func(t *testing.T) {
			w := newWorld(t)
			r := receive(t, ok)
			id := w.channel(r.URL)
			want := map[string]string{}
			for range 4 {
				want[w.event("unhealthy")] = ""
			}
			d := &dying{Store: w.store, dead: make(chan struct{})}
			d.left.Store(int64(writes))
			stop := w.start(d, loopback())
			<-d.dead
			stop()
			w.must(w.store.Close())
			w.open()
			stop = w.start(w.store, loopback())
			w.until("all delivered", func() bool {
				n := 0
				for _, d := range w.deliveries(id) {
					if d.State == berth.DeliveryDelivered {
						n++
					}
				}
				return n == 4
			})
			stop()
			for _, g := range r.all() {
				if before := want[g.event]; before != "" && before != g.id {
					t.Errorf("event %s came as %s and as %s", g.event, before, g.id)
				}
				want[g.event] = g.id
			}
			for event, id := range want {
				if id == "" {
					t.Errorf("event %s was lost", event)
				}
			}
			if len(want) != 4 {
				t.Errorf("received %v", want)
			}
		})
	}
}
